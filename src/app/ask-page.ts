/** What `npm run ask` and `npm run score` talk to: the engine of this site, in this browser. */
import { toWireError } from '../base/errors.ts';
import { createWorkerEngine } from '../worker/client.ts';

export const commandApi = { engine: createWorkerEngine(), toWireError };

Object.assign(globalThis, { tramontane: commandApi });
