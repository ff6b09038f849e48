/**
 * Messages between a page and its workers: one runs the engine, one imports and keeps models. Types only. Every call has
 * an id of its own; a stream is pulled: the worker makes the next chunk only when it is asked for, so a slow page is
 * never flooded.
 */
import type { WireError } from '../base/errors.ts';
import type {
  AdapterReport,
  BuildList,
  ChatChunk,
  ChatMessage,
  ChatRequest,
  DecodeTiming,
  GpuMemoryProbe,
  ImportModelOptions,
  ImportPreview,
  ImportSource,
  LibraryCounters,
  LoadCallOptions,
  LoadedModel,
  LoadedModelFacts,
  LoadOptions,
  ModelSource,
  PendingModelInfo,
  PrefillTiming,
  Progress,
  ScoreRequest,
  ScoreResult,
  StoredModelInfo,
  StoreReadTiming,
  VerifyReport,
} from '../engine/api.ts';

/** Calls answered by one value: what goes in and what comes out. */
export type CallMap<Name extends string> = Record<Name, { input: unknown; output: unknown }>;

/** Calls to an engine. */
export interface EngineCalls {
  getAdapter: { input: null; output: AdapterReport | null };
  loadModel: { input: { source: ModelSource; options: LoadOptions }; output: LoadedModel };
  unloadModel: { input: null; output: null };
  score: { input: ScoreRequest; output: ScoreResult };
  tokenizeChat: { input: readonly ChatMessage[]; output: number[] };
  deleteModel: { input: string; output: null };
  listStoredModels: { input: null; output: StoredModelInfo[] };
  fillContext: { input: readonly number[]; output: PrefillTiming };
  cutContext: { input: number; output: null };
  timePrefill: { input: readonly number[]; output: PrefillTiming };
  timeDecode: { input: { firstToken: number; count: number }; output: DecodeTiming };
  readCounters: { input: null; output: LibraryCounters };
  timeStoreReads: { input: null; output: StoreReadTiming };
  describeModel: { input: null; output: LoadedModelFacts };
  dispose: { input: null; output: null };
}

/** Calls to a model manager. Files and blobs are cloned by reference: their bytes are not copied. */
export interface ManagerCalls {
  getAdapter: { input: null; output: AdapterReport | null };
  listBuilds: { input: ImportSource; output: BuildList | null };
  inspectSource: { input: ImportSource; output: ImportPreview };
  importModel: {
    input: { source: ImportSource; options: Omit<ImportModelOptions, keyof LoadCallOptions> };
    output: StoredModelInfo;
  };
  listStoredModels: { input: null; output: StoredModelInfo[] };
  listPendingModels: { input: null; output: PendingModelInfo[] };
  verifyModel: { input: string; output: VerifyReport };
  exportModel: { input: string; output: { name: string; contents: Blob } };
  deleteModel: { input: string; output: null };
  discardPendingModel: { input: string; output: null };
  probeGpuMemory: { input: number; output: GpuMemoryProbe };
  dispose: { input: null; output: null };
}

/** From page to worker. */
export type CallMessage<Calls extends CallMap<keyof Calls & string>> =
  | {
      [Name in keyof Calls & string]: { kind: 'call'; id: number; name: Name; input: Calls[Name]['input'] };
    }[keyof Calls & string]
  /** Aborts call or stream `id`; it still answers, with an error or with what it has. */
  | { kind: 'abort'; id: number; reason: WireError };

export type EngineMessage =
  | CallMessage<EngineCalls>
  | { kind: 'stream'; id: number; request: ChatRequest }
  /** Asks stream `id` for its next chunk. */
  | { kind: 'pull'; id: number };

export type ManagerMessage = CallMessage<ManagerCalls>;

/** From worker to page. */
export type CallAnswer =
  /** Sent once, when the worker's code runs. */
  | { kind: 'ready' }
  | { kind: 'result'; id: number; output: unknown }
  | { kind: 'error'; id: number; error: WireError }
  | { kind: 'progress'; id: number; progress: Progress };

export type EngineAnswer =
  | CallAnswer
  | { kind: 'chunk'; id: number; chunk: ChatChunk }
  | { kind: 'end'; id: number }
  /** The model that calls will run on has changed (loaded, unloaded, lost with its GPU). */
  | { kind: 'model'; model: LoadedModel | null };

/** The part of a Worker, a MessagePort or a worker's own scope that the protocol needs. */
export interface Endpoint<In, Out> {
  postMessage(message: Out): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<In>) => void): void;
}
