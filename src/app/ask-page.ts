/** The page that commands drive (`npm run ask`, `npm run score`): the site's engine, without anything to look at. */
import { toWireError } from '../base/errors.ts';
import { createEngine } from './create-engine.ts';
import { versions } from './versions.ts';

export const commandApi = { engine: await createEngine(), toWireError, versions };

Object.assign(globalThis, { tramontane: commandApi });
