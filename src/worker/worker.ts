/** The worker: an engine over the weight store in IndexedDB, served to the page. */
import { WebLlmEngine } from '../engine/webllm-engine.ts';
import { IndexedDbWeightStore } from '../storage/weight-store.ts';
import type { Endpoint, EngineAnswer, EngineMessage } from './protocol.ts';
import { serveEngine } from './serve-engine.ts';

const scope = globalThis as unknown as Endpoint<EngineMessage, EngineAnswer> & { name: string };
serveEngine(new WebLlmEngine({ store: new IndexedDbWeightStore(), baseUrl: scope.name }), scope);
