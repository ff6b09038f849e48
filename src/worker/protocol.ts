/**
 * Messages between a page and the worker that runs the engine. Types only. Every call has an id of its own; a stream
 * is pulled: the worker makes the next chunk only when it is asked for, so a slow page is never flooded.
 */
import type { WireError } from '../base/errors.ts';
import type {
  AdapterReport,
  ChatChunk,
  ChatMessage,
  ChatRequest,
  LoadedModel,
  LoadOptions,
  ModelSource,
  Progress,
  ScoreRequest,
  ScoreResult,
} from '../engine/api.ts';

/** Calls answered by one value. */
export interface Calls {
  getAdapter: { input: null; output: AdapterReport | null };
  loadModel: { input: { source: ModelSource; options: LoadOptions }; output: LoadedModel };
  unloadModel: { input: null; output: null };
  score: { input: ScoreRequest; output: ScoreResult };
  tokenizeChat: { input: readonly ChatMessage[]; output: number[] };
  deleteModel: { input: string; output: null };
  listStoredModels: { input: null; output: { id: string; byteLength: number }[] };
  dispose: { input: null; output: null };
}

export type CallName = keyof Calls;

/** From page to worker. */
export type ClientMessage =
  | { [Name in CallName]: { kind: 'call'; id: number; name: Name; input: Calls[Name]['input'] } }[CallName]
  | { kind: 'stream'; id: number; request: ChatRequest }
  /** Asks stream `id` for its next chunk. */
  | { kind: 'pull'; id: number }
  /** Aborts call or stream `id`; it still answers, with an error or with what it has. */
  | { kind: 'abort'; id: number; reason: WireError };

/** From worker to page. */
export type WorkerMessage =
  /** Sent once, when the worker's code runs. */
  | { kind: 'ready' }
  | { kind: 'result'; id: number; output: Calls[CallName]['output'] }
  | { kind: 'error'; id: number; error: WireError }
  | { kind: 'progress'; id: number; progress: Progress }
  | { kind: 'chunk'; id: number; chunk: ChatChunk }
  | { kind: 'end'; id: number }
  /** The model that calls will run on has changed (loaded, unloaded, lost with its GPU). */
  | { kind: 'model'; model: LoadedModel | null };

/** The part of a Worker, a MessagePort or a worker's own scope that the protocol needs. */
export interface Endpoint<In, Out> {
  postMessage(message: Out): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<In>) => void): void;
}
