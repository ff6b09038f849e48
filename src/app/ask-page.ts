/**
 * The page that commands and tests drive (`npm run ask`, `npm run score`, `npm run bench`): the site's engine, model
 * manager and benchmark, without anything to look at.
 */
import { toWireError } from '../base/errors.ts';
import { createEngine } from './create-engine.ts';
import { versions } from './versions.ts';

export const commandApi = {
  engine: await createEngine(),
  createManager: async () => (await import('../worker/client.ts')).createWorkerManager(),
  loadBench: () => import('./bench-command.ts'),
  toWireError,
  versions,
};

Object.assign(globalThis, { tramontane: commandApi });
