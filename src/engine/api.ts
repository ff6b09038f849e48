/**
 * The engine interface: what the element, the commands, the benchmark and other clients talk to. Types only.
 *
 * Requests and chunks have the shape of OpenAI's chat completions, so existing client code carries over. Two
 * implementations exist: `WebLlmEngine` (in a worker, or in Node on Dawn) and the worker client that forwards to it.
 */
import type { ModelDescription } from '../models/model-description.ts';

export type ChatRole = 'system' | 'user' | 'assistant' | 'tool';

export interface ChatMessage {
  role: ChatRole;
  content: string;
}

export interface JsonSchemaFormat {
  name: string;
  schema: Record<string, unknown>;
  strict?: boolean;
}

export type ResponseFormat =
  | { type: 'text' }
  /** Any JSON object. */
  | { type: 'json_object' }
  | { type: 'json_schema'; json_schema: JsonSchemaFormat };

export interface ChatRequest {
  messages: readonly ChatMessage[];
  /** 0 is greedy. Default: the model's own. */
  temperature?: number;
  /** In (0, 1]. */
  top_p?: number;
  /** Keep the k most probable tokens; 0 or absent keeps all. */
  top_k?: number;
  /** Keep tokens at least this fraction as probable as the most probable one, in [0, 1]. */
  min_p?: number;
  /** At most this many tokens in the answer. Default: what is left of the context. */
  max_completion_tokens?: number;
  /** Deprecated name of `max_completion_tokens`. */
  max_tokens?: number;
  /** In [-2, 2]. */
  frequency_penalty?: number;
  /** In [-2, 2]. */
  presence_penalty?: number;
  /** Above 0; 1 changes nothing. */
  repetition_penalty?: number;
  /** Added to the logits of single tokens, by id; values in [-100, 100]. */
  logit_bias?: Readonly<Record<string, number>>;
  /**
   * Same seed and same request: same answer. What was cached may differ in rounding from what is computed again: where
   * that matters, set `cache_prompt` to false.
   */
  seed?: number;
  /** Up to four strings at which the answer ends. */
  stop?: string | readonly string[];
  response_format?: ResponseFormat;
  logprobs?: boolean;
  /** 0 to 5. */
  top_logprobs?: number;
  /** False computes the whole prompt. Default: what the KV cache already begins with is kept. */
  cache_prompt?: boolean;
  /** Report the ids of the whole prompt as `prompt_token_ids` on the last chunk. */
  return_token_ids?: boolean;
  /** Go on past the model's end-of-turn token and past stop strings, up to the token limit: for benchmarks. */
  ignore_eos?: boolean;
}

export type FinishReason = 'stop' | 'length' | 'abort';

export interface TokenLogprob {
  token: string;
  logprob: number;
  top_logprobs: { token: string; logprob: number }[];
}

export interface Usage {
  /** Tokens of the whole conversation as the model saw it, cached ones included. */
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: {
    /** Tokens that were already in the KV cache and were not computed again. */
    cached_tokens: number;
  };
}

export interface Timings {
  timeToFirstTokenMs: number;
  /** Tokens computed in the prefill (without cached ones), and how long that took. */
  prefillTokens: number;
  prefillMs: number;
  decodeTokens: number;
  decodeMs: number;
  /** Time to compile the grammar and to compute its masks; 0 without one. */
  grammarMs: number;
  /** The part of `grammarMs` that came before the first token: compiling. */
  grammarStartMs: number;
}

export interface ChatChunk {
  id: string;
  object: 'chat.completion.chunk';
  /** Unix seconds. */
  created: number;
  model: string;
  choices: {
    index: 0;
    delta: { role?: 'assistant'; content?: string };
    finish_reason: FinishReason | null;
    logprobs?: { content: TokenLogprob[] };
  }[];
  /** Tokens generated so far, those included whose text is held back. */
  completion_tokens: number;
  /** On the last chunk only. */
  usage?: Usage;
  timings?: Timings;
  /** On the last chunk only: the ids the model generated, its end-of-turn token left out. */
  token_ids?: number[];
  /** On the last chunk only, if asked for: the ids of the whole context before the answer. */
  prompt_token_ids?: number[];
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: {
    index: 0;
    message: { role: 'assistant'; content: string };
    finish_reason: FinishReason;
    logprobs?: { content: TokenLogprob[] };
  }[];
  usage: Usage;
  timings: Timings;
  token_ids: number[];
  prompt_token_ids?: number[];
}

export type ProgressPhase = 'download' | 'import' | 'read' | 'upload' | 'compile' | 'prefill';

export interface Progress {
  phase: ProgressPhase;
  /** Bytes done in this phase; for `compile`, kernels; for `prefill`, tokens. */
  bytes: number;
  totalBytes: number;
  /** Over the last few seconds; 0 while unknown. */
  bytesPerSecond: number;
  /** Null while unknown. */
  etaMs: number | null;
}

export interface AdapterReport {
  vendor: string;
  architecture: string;
  description: string;
  /** True for a software adapter (SwiftShader, llvmpipe): correct but slow. */
  isSoftware: boolean;
  shaderF16: boolean;
  subgroups: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
  maxBufferBytes: number;
  maxStorageBindingBytes: number;
  maxWorkgroupStorageBytes: number;
  maxInvocationsPerWorkgroup: number;
  maxStorageBuffersPerStage: number;
}

/** Where a model comes from. */
export interface ModelSource {
  /** Names the model in the weight store and in answers. */
  id: string;
  /**
   * Absolute or page-relative URL of the folder that holds `mlc-chat-config.json` and `tensor-cache.json`. Absent: the
   * model is loaded from the weight store only.
   */
  url?: string;
  /** URL of a prebuilt WebLLM model library. Absent: the library is generated for this device. */
  modelLibUrl?: string;
  /** What people are told of a stored model whose own files do not tell. */
  name?: string;
  quantization?: string | null;
  parameterCount?: number | null;
  licence?: string | null;
}

/** A model as a person chooses it: an entry of a site's `models/models.json`, or one that was imported. */
export interface ModelCard extends ModelSource {
  name: string;
  description: string;
  /** Download and storage size of the weights. */
  byteLength: number;
  /** As in {@link StoredModelInfo}: null where the model's files do not tell. */
  quantization: string | null;
  parameterCount: number | null;
  contextLength: number | null;
  maxContextLength: number | null;
  kvBytesPerToken: number | null;
  layerCount: number | null;
  /** SPDX identifier. */
  licence: string | null;
  /** As in {@link StoredModelInfo}; absent where the library is generated. */
  library?: { needsShaderF16: boolean } | null;
  /** A page about the model; null for files from this device. */
  sourceUrl: string | null;
}

export interface LoadOptions {
  /** Tokens of context to plan the KV cache for. Default: the model's own `context_window_size`. */
  contextLength?: number;
  /** Tokens per prefill chunk. Default: chosen from the model's size. */
  prefillChunkLength?: number;
  /**
   * For tests and doubtful devices: do not use these features even where the adapter has them. `software-kernels` are
   * the variants for adapters that are really a CPU.
   */
  disable?: readonly ('shader-f16' | 'subgroups' | 'software-kernels')[];
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface LoadCallOptions extends CallOptions {
  onProgress?: (progress: Progress) => void;
}

/** What the model library planned at load, in bytes. */
export interface MemoryPlan {
  weightBytes: number;
  kvCacheBytes: number;
  activationBytes: number;
  totalBytes: number;
}

export interface LoadedModel {
  id: string;
  contextLength: number;
  /** The sampling temperature its makers recommend. */
  defaultTemperature: number;
  vocabularySize: number;
  adapter: AdapterReport;
  /** Null for a prebuilt library, which does not tell. */
  memory: MemoryPlan | null;
  /** `generated:f16,subgroups` and so on, or `prebuilt`. */
  library: string;
}

/** Input of a forced decoding: the given tokens, or text encoded without a template. */
export type ScoreInput = { text: string } | { tokens: readonly number[] };

export interface ScoreRequest {
  input: ScoreInput;
  /** Alternatives to report per position, 0 to 64. Default 5. */
  top?: number;
  /** Positions from this index on are computed by decode steps instead of prefill. Default: none. */
  decodeFrom?: number;
  /** Report the raw logits of these token ids at each position. */
  logitsOf?: readonly number[];
}

export interface ScorePosition {
  token: number;
  /** Natural logarithm of the probability of `token` given all before it. */
  logprob: number;
  top: { token: number; logprob: number }[];
  /** In the order of `logitsOf`, if that was given. */
  logits?: number[];
}

export interface ScoreResult {
  model: string;
  adapter: AdapterReport;
  tokens: number[];
  /** Entry i tells of the prediction of token i from those before it; entry 0 is null. */
  positions: (ScorePosition | null)[];
  perplexity: number;
}

export interface Engine {
  /** The adapter that models will run on, or null where there is no WebGPU. */
  getAdapter(options?: CallOptions): Promise<AdapterReport | null>;

  /**
   * Loads a model, unloading the one before it. Weights that are not yet stored are downloaded and stored first.
   * Aborting keeps what was stored.
   */
  loadModel(source: ModelSource, options?: LoadOptions & LoadCallOptions): Promise<LoadedModel>;

  unloadModel(): Promise<void>;

  /** The model in use, or null. */
  getLoadedModel(): LoadedModel | null;

  /**
   * Answers a conversation, chunk by chunk. Requests queue in order of arrival. Aborting stops within one token, or
   * within one prefill chunk, keeps the model loaded, and ends the stream with `finish_reason: 'abort'`; a request
   * aborted before it has its first token throws `signal.reason` instead. `onProgress` hears how much is read of what
   * the KV cache lacks of the prompt (phase `prefill`), once at the beginning and after each prefill chunk.
   * @throws TramontaneError `request-invalid`, `schema-invalid`, `context-exceeded`, `model-not-loaded`, `device-lost`
   */
  streamChat(request: ChatRequest, options?: LoadCallOptions): AsyncIterable<ChatChunk>;

  /** As {@link streamChat}, collected. */
  completeChat(request: ChatRequest, options?: LoadCallOptions): Promise<ChatCompletion>;

  /** Forced decoding: how probable the model finds the given tokens. Clears the KV cache. */
  score(request: ScoreRequest, options?: CallOptions): Promise<ScoreResult>;

  /** Token ids that a conversation renders to, generation prompt included. Nothing is run. */
  tokenizeChat(messages: readonly ChatMessage[], options?: CallOptions): Promise<number[]>;

  /** Forgets stored weights of a model. @throws TramontaneError `model-busy` while another tab stores or loads it */
  deleteModel(id: string): Promise<void>;

  /** Models whose weights are stored whole. */
  listStoredModels(): Promise<StoredModelInfo[]>;

  /** Ends the engine; pending calls reject. */
  dispose(): Promise<void>;
}

/** What is running, exactly: for reports that others should be able to check. */
export interface LoadedModelFacts {
  name: string;
  /** As its makers name it: `Q4_1`, `Q4_K_M`. */
  quantization: string;
  /** Null for a prebuilt model, whose files do not tell. */
  parameterCount: number | null;
  weightBytes: number;
  /** SHA-256 of the file it was imported from, in hex; null unless it was computed from the file itself. */
  sourceSha256: string | null;
  /** SHA-256 of `tensor-cache.json`, which lists the hashes of all weights. */
  tensorCacheSha256: string;
  library: { byteLength: number; sha256: string };
  /** Hash of the generated library's runtime; null for a prebuilt one. */
  runtime: string | null;
  webLlm: string;
  /** Ids that end an answer. */
  stopTokenIds: readonly number[];
  /** Null for a prebuilt model that brings no description of ours. */
  description: ModelDescription | null;
  /** Of the GPU device that the model runs on, not of the adapter. */
  deviceLimits: Readonly<Record<string, number>>;
  deviceFeatures: readonly string[];
}

/** Times of a prefill, by the engine's own clock. The GPU has finished when each chunk's time ends. */
export interface PrefillTiming {
  ms: number;
  chunkMs: number[];
}

/** Times of decode steps, by the engine's own clock. A step ends when its token has been read back. */
export interface DecodeTiming {
  ms: number;
  stepMs: number[];
  /** What was generated, greedily. */
  tokens: number[];
}

/** Counters of a generated model library, since it was loaded; null for a prebuilt one. */
export interface LibraryCounters {
  liveObjects: number | null;
  gpuBuffers: number | null;
  gpuAllocations: number | null;
  dispatches: number | null;
}

/** How the weight store is read. */
export interface StoreReadTiming {
  /** Of one read of all shards. */
  ms: number;
  /** Of the shards, as they are stored. */
  storedBytes: number;
  /** Of shards, taken out of the store by the load of the model. */
  loadReadBytes: number;
}

/**
 * An engine that can be measured below the level of chats. {@link fillContext} begins a measurement: the conversation
 * in the KV cache is forgotten. The next chat or score ends it. All throw `request-invalid`, `context-exceeded`,
 * `model-not-loaded`, `device-lost`, or the signal's reason when aborted, within one chunk or token.
 */
export interface BenchmarkEngine extends Engine {
  /** Empties the KV cache and fills it with `tokens`, which need not be text. None: it is empty. */
  fillContext(tokens: readonly number[], options?: CallOptions): Promise<PrefillTiming>;

  /** Forgets the tokens in the KV cache from position `length` on. */
  cutContext(length: number): Promise<void>;

  /** Runs tokens through the model after what the KV cache holds, in chunks as for a chat. Nothing is sampled. */
  timePrefill(tokens: readonly number[], options?: CallOptions): Promise<PrefillTiming>;

  /**
   * Decode steps as a chat has them, sampling on the GPU and the readback of each token included, greedy, past any
   * end-of-turn token. The first step's input is `firstToken`.
   */
  timeDecode(request: { firstToken: number; count: number }, options?: CallOptions): Promise<DecodeTiming>;

  readCounters(): Promise<LibraryCounters>;

  /** Reads the loaded model's shards from the weight store once more, one after the other, and does nothing with them. */
  timeStoreReads(options?: CallOptions): Promise<StoreReadTiming>;

  describeModel(): Promise<LoadedModelFacts>;
}

/** A model in the weight store, as a person sees it. */
export interface StoredModelInfo {
  id: string;
  name: string;
  /** As its makers name it: `Q4_1`, `Q4_K_M`. Null, like the numbers below, where the model's files do not tell. */
  quantization: string | null;
  parameterCount: number | null;
  /** Bytes of the weights. */
  byteLength: number;
  /** Tokens of context that the build is configured for, and the most the model was made for. */
  contextLength: number | null;
  maxContextLength: number | null;
  /** KV cache per token of context, of all layers together. Null where a prebuilt model's files do not tell. */
  kvBytesPerToken: number | null;
  /** Each layer's keys, and its values, are one GPU binding: this bounds the context. Null as above. */
  layerCount: number | null;
  /** SPDX identifier, where the source tells. */
  licence: string | null;
  /** What its prebuilt library needs; null where the library is generated. */
  library: { needsShaderF16: boolean } | null;
  /** Where it came from: the name of the file or folder, and its address (null for local files). */
  source: { name: string; url: string | null };
  /** Unix milliseconds. */
  storedAt: number;
}

/** An import or download that did not end: what is stored of it will be used when it is started again. */
export interface PendingModelInfo {
  id: string;
  name: string;
  /** `site`: a folder that is loaded as it is, of this site or with a library of its own; `import`: what a person brought. */
  source: { kind: 'site' | 'import'; name: string; url: string | null };
  /** Bytes of the source that need not be read again, of all that will be. */
  doneBytes: number;
  totalBytes: number;
  /** Unix milliseconds. */
  updatedAt: number;
}

/** What a person offers for import. */
export type ImportSource =
  /** A GGUF, all splits of one (`NAME-00001-of-00003.gguf`, …), or the files of an MLC-layout folder. */
  | {
      kind: 'files';
      files: readonly File[];
      /** Of each file, from the folder that was chosen down: `folder/name`. Default: what the files tell of it. */
      paths?: readonly string[];
    }
  /**
   * `https:` address of a GGUF, of the first split of one, or of an MLC-layout folder (ending in `/`); or
   * `hf:owner/repo[/path][@revision]` for the same on Hugging Face; or `hf:owner/repo[:Q4_K_M][@revision]` for the GGUF
   * of a repository that has one, or one of that quantization.
   *
   * `libraryUrl` (MLC-layout folders only): address of a prebuilt WebLLM model library, which is stored with the
   * weights and runs them; for models that no library of ours can run. Absent: the library is generated at load.
   * `temperature`: what the makers of such a model recommend, where its folder tells otherwise.
   */
  | { kind: 'address'; address: string; libraryUrl?: string; temperature?: number };

/** A GGUF of a repository, as its name tells. */
export interface SourceBuild {
  source: ImportSource & { kind: 'address' };
  /** Path in the repository; of splits, which are one build, that of the first. */
  name: string;
  /** `Q4_K_M`, as the file is named; null where the name does not tell. */
  quantization: string | null;
  /** Of all its files. */
  byteLength: number;
  fileCount: number;
  /** Whether weights of this quantization can be run; null where only the header will tell. */
  runs: boolean | null;
}

/** What an address leaves to choose. */
export interface BuildList {
  /** `owner/repo`. */
  repository: string;
  /** The quantization or name that was asked for, where there is none such: `builds` are then all there are. */
  missing: string | null;
  /** At least one, in the repository's order. */
  builds: readonly SourceBuild[];
}

/** What is known of a source from its header alone. */
export interface ImportPreview {
  /** The name it will have in the weight store. */
  id: string;
  layout: 'gguf' | 'mlc';
  name: string;
  quantization: string;
  parameterCount: number;
  /** Bytes that will be read of the source, and that will be stored. */
  sourceBytes: number;
  storedBytes: number;
  maxContextLength: number;
  /** As in {@link StoredModelInfo}. */
  kvBytesPerToken: number | null;
  layerCount: number | null;
  /** Chat template, as recognised: `mistral-v11`. */
  template: string;
  /** The sampling temperature it will be given. */
  temperature: number;
  licence: string | null;
  source: { name: string; url: string | null };
  /** SHA-256 of the file as its host lists it, in hex, to compare by hand; null where it lists none, and for splits. */
  listedSha256: string | null;
  /** Bytes of weights by tensor type: `Q4_K`, `Q6_K`, `F32`. */
  formats: readonly { type: string; byteLength: number }[];
  /** An interrupted import of this very source. */
  resumes: PendingModelInfo | null;
  /** An interrupted import under this name of another source, or of this one before it changed. */
  obstructs: PendingModelInfo | null;
  /** A model of this id that is stored whole and would be replaced. */
  replaces: StoredModelInfo | null;
}

export interface ImportModelOptions extends LoadCallOptions {
  /** Tokens of context to configure. Default: the model's own, at most 8192; with a prebuilt library, the folder's own. */
  contextLength?: number;
  /** Forget an interrupted import of the same name that {@link ImportPreview.obstructs} tells of, and start anew. */
  restart?: boolean;
}

/** Which files of a stored model are not what was stored. */
export interface VerifyReport {
  files: number;
  byteLength: number;
  /** Names of files that are missing or altered. */
  damaged: readonly string[];
}

/** How much of a wanted amount a GPU grants. */
export interface GpuMemoryProbe {
  wantedBytes: number;
  grantedBytes: number;
}

/** The weight store and what comes into it: what pages for importing and for storage talk to. */
export interface ModelManager {
  getAdapter(options?: CallOptions): Promise<AdapterReport | null>;

  /**
   * Looks up the files of a repository on Hugging Face, where the address is of one and leaves a choice.
   * @returns null where the source is one model
   * @throws TramontaneError `address-invalid`, `download-failed`, `config-invalid`, `format-unsupported`
   */
  listBuilds(source: ImportSource, options?: CallOptions): Promise<BuildList | null>;

  /**
   * Reads the header of a source and refuses what cannot run, before any weights are read.
   * @throws FormatError, TramontaneError `template-unsupported`, `tokenizer-*`, `architecture-unsupported`,
   *   `download-failed`, `range-unsupported`, `address-invalid`, `address-ambiguous`
   */
  inspectSource(source: ImportSource, options?: CallOptions): Promise<ImportPreview>;

  /**
   * Imports a model into the weight store, going on where an interrupted import of the same source ended. Aborting
   * keeps what is stored.
   * @throws as {@link inspectSource}; `storage-quota`, `storage-failed`, `source-changed`, `model-busy` where another
   *   tab writes the same model
   */
  importModel(source: ImportSource, options?: ImportModelOptions): Promise<StoredModelInfo>;

  listStoredModels(): Promise<StoredModelInfo[]>;
  listPendingModels(): Promise<PendingModelInfo[]>;

  /** Reads a stored model and compares its files with the checksums recorded when they were stored. */
  verifyModel(id: string, options?: LoadCallOptions): Promise<VerifyReport>;

  /**
   * A stored model as one file: an uncompressed tar of its folder, which any static host can serve when unpacked. Its
   * bytes are read from the store when the blob is read.
   */
  exportModel(id: string): Promise<{ name: string; contents: Blob }>;

  /** Deletes a model: whole, pending, or both. @throws TramontaneError `model-busy` */
  deleteModel(id: string): Promise<void>;

  /**
   * Forgets an import or download that has not ended, and what only it has stored: a whole model of the same name stays.
   * @throws TramontaneError `model-busy`
   */
  discardPendingModel(id: string): Promise<void>;

  /** Allocates GPU memory in steps up to `wantedBytes`, and frees it: limits tell what is allowed, not what is there. */
  probeGpuMemory(wantedBytes: number, options?: CallOptions): Promise<GpuMemoryProbe>;

  /** Ends the manager; pending calls reject. */
  dispose(): Promise<void>;
}
