/** The manager's worker: a model manager over the weight store in IndexedDB, served to the page. */
import { StoreModelManager } from '../engine/model-manager.ts';
import { IndexedDbWeightStore } from '../storage/weight-store.ts';
import type { CallAnswer, Endpoint, ManagerMessage } from './protocol.ts';
import { serveManager } from './serve-manager.ts';

const scope = globalThis as unknown as Endpoint<ManagerMessage, CallAnswer> & { name: string };
serveManager(new StoreModelManager({ store: new IndexedDbWeightStore() }), scope);
