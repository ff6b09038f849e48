/**
 * The one place that reaches inside WebLLM. Its package is untouched; what its API cannot do is done here, on the
 * loaded pipeline object: stop a long prefill between chunks, see token ids, bound whitespace in JSON grammars, run
 * forced decoding, run and time prefill and decode by themselves, and tell when the device is lost.
 *
 * Internals may change with any release, so the version is pinned exactly and every member used is checked for.
 */
import webLlmPackage from '@mlc-ai/web-llm/package.json' with { type: 'json' };
import { yieldToEventLoop } from '../base/abort.ts';
import { TramontaneError } from '../base/errors.ts';
import type { LibraryCounters, TokenLogprob } from './api.ts';

export const SUPPORTED_WEBLLM_VERSION = '0.2.86';

/** Consecutive whitespace characters that a JSON grammar allows: small models would otherwise emit nothing else. */
const MAX_JSON_WHITESPACE = 2;

/** Options of WebLLM's sampling: no model's defaults shall enter. */
const GREEDY = { temperature: 0, top_p: 1, frequency_penalty: 0, presence_penalty: 0, repetition_penalty: 1 };

interface TvmTensor {
  shape: number[];
  view(shape: number[]): TvmTensor;
  copyFrom(source: TvmTensor | ArrayLike<number>): TvmTensor;
  toArray(): Float32Array | Int32Array;
  dispose(): void;
}

interface TvmArray {
  get(index: number): TvmTensor;
}

// biome-ignore lint/suspicious/noExplicitAny: TVM's packed functions take and return anything.
type TvmFunction = ((...args: any[]) => any) & { dispose?(): void };

interface TvmInstance {
  beginScope(): void;
  endScope(): void;
  detachFromCurrentScope<T>(object: T): T;
  makeShapeTuple(shape: number[]): unknown;
  scalar(value: number, dtype: string): unknown;
  getGlobalFunc(name: string): TvmFunction;
  empty(shape: number[], dtype: string, device: unknown): TvmTensor;
  cpu(): unknown;
  lib: {
    exports: Record<string, (() => number) | undefined>;
    webGPUContext: { device: GPUDevice; currAllocatedBytes: number };
  };
}

interface GrammarCompiler {
  compileJSONSchema(
    schema: string,
    anyWhitespace?: boolean,
    indent?: number,
    separators?: [string, string],
    strictMode?: boolean,
    maxWhitespaceCount?: number,
  ): Promise<unknown>;
}

/** What this module uses of WebLLM's LLMChatPipeline. */
interface Pipeline {
  tvm: TvmInstance;
  vm: { getFunction(name: string): TvmFunction };
  device: { sync(): Promise<void> };
  tokenizer: {
    encode(text: string): Int32Array;
    decode(ids: Int32Array): string;
  };
  params: unknown;
  kvCache: unknown;
  embed: TvmFunction;
  decoding: TvmFunction;
  fKVCacheBeginForward: TvmFunction;
  fKVCacheEndForward: TvmFunction;
  fullVocabSize: number;
  contextWindowSize: number;
  prefillChunkSize: number;
  filledKVCacheLength: number;
  outputIds: number[];
  outputMessage: string;
  tokenLogprobArray: TokenLogprob[];
  grammarCompiler: GrammarCompiler | undefined;
  resetChat(keepStats?: boolean): void;
  forwardPrefill(...args: unknown[]): Promise<unknown>;
  forwardDecodeToken(tokenId: number): Promise<TvmTensor>;
  sampleFromRawLogits(logits: TvmTensor, options: object): Promise<number>;
  embedAndForward(data: unknown, length: number): Promise<unknown>;
  getInputData(): Promise<[(number[] | object)[], number, unknown]>;
}

const OBJECTS = ['tvm', 'vm', 'device', 'tokenizer', 'params', 'kvCache'] as const;
const FUNCTIONS = [
  'embed',
  'decoding',
  'fKVCacheBeginForward',
  'fKVCacheEndForward',
  'resetChat',
  'forwardPrefill',
  'forwardDecodeToken',
  'sampleFromRawLogits',
  'embedAndForward',
  'getInputData',
] as const;
const NUMBERS = ['fullVocabSize', 'contextWindowSize', 'prefillChunkSize', 'filledKVCacheLength'] as const;

export interface PrefillReport {
  /** Ids of the whole context: what the KV cache held, then the new ones. */
  contextTokens: readonly number[];
  /** How many of them were in the KV cache. */
  cachedTokens: number;
}

/**
 * Runs `action`, in which WebLLM creates its GPU device, and hands the device to `onDevice` as soon as it exists:
 * a load that fails or is cancelled leaves the device, and gigabytes on it, out of anybody's reach otherwise.
 */
export async function withDeviceCapture<T>(
  onDevice: (device: GPUDevice) => void,
  action: () => Promise<T>,
): Promise<T> {
  const { gpu } = navigator;
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  const wrapper: GPU['requestAdapter'] = async (options) => {
    const adapter = await requestAdapter(options);
    if (adapter === null) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      onDevice(device);
      return device;
    };
    return adapter;
  };
  gpu.requestAdapter = wrapper;
  try {
    return await action();
  } finally {
    // The method proper is on the prototype.
    if (gpu.requestAdapter === wrapper) Reflect.deleteProperty(gpu, 'requestAdapter');
  }
}

/** @throws TramontaneError `library-invalid` if WebLLM is another version than this module was written for. */
export function requireWebLlmVersion(): void {
  if (webLlmPackage.version !== SUPPORTED_WEBLLM_VERSION) {
    throw new TramontaneError(
      'library-invalid',
      `WebLLM ${webLlmPackage.version} is installed; this adapter was written for ${SUPPORTED_WEBLLM_VERSION}.`,
      { nextStep: `Install @mlc-ai/web-llm@${SUPPORTED_WEBLLM_VERSION}.` },
    );
  }
}

export class WebLlmAdapter {
  readonly #pipeline: Pipeline;
  readonly #score: TvmFunction | null;
  readonly #scoreChunkLength: number;
  #inPrefill = false;
  #signal: AbortSignal | null = null;
  #onPrefill: ((report: PrefillReport) => void) | null = null;
  #contextTokens: number[] = [];

  /**
   * @param engine a WebLLM MLCEngine with `modelId` loaded
   * @param scoreChunkLength most tokens in a call of the library's `score`; 0 for a library that has none
   * @throws TramontaneError `library-invalid` if the pipeline does not look as expected
   */
  constructor(engine: unknown, modelId: string, scoreChunkLength: number) {
    requireWebLlmVersion();
    const pipelines = (engine as { loadedModelIdToPipeline?: unknown }).loadedModelIdToPipeline;
    const pipeline = pipelines instanceof Map ? pipelines.get(modelId) : undefined;
    this.#pipeline = requirePipeline(pipeline);
    this.#scoreChunkLength = scoreChunkLength;
    const { tvm, vm } = this.#pipeline;
    tvm.beginScope();
    this.#score = scoreChunkLength > 0 ? tvm.detachFromCurrentScope(vm.getFunction('score')) : null;
    tvm.endScope();
    this.#install();
  }

  get gpuDevice(): GPUDevice {
    return this.#pipeline.tvm.lib.webGPUContext.device;
  }

  get contextLength(): number {
    return this.#pipeline.contextWindowSize;
  }

  get vocabularySize(): number {
    return this.#pipeline.fullVocabSize;
  }

  /** Ids generated in this answer so far, its end-of-turn token left out. */
  get outputTokens(): readonly number[] {
    return this.#pipeline.outputIds;
  }

  /** The answer so far, cut at a stop string if it met one. */
  get outputText(): string {
    return this.#pipeline.outputMessage;
  }

  /** One entry for each of `outputTokens`, where log-probabilities were asked for. */
  get outputLogprobs(): readonly TokenLogprob[] {
    return this.#pipeline.tokenLogprobArray.slice(0, this.#pipeline.outputIds.length);
  }

  encode(text: string): number[] {
    return text === '' ? [] : Array.from(this.#pipeline.tokenizer.encode(text));
  }

  /**
   * Watches the next request: `signal` stops its prefill between chunks (the call then rejects with the signal's
   * reason and the chat must be reset), `onPrefill` hears of its prompt.
   */
  watch(signal: AbortSignal | null, onPrefill: ((report: PrefillReport) => void) | null): void {
    this.#signal = signal;
    this.#onPrefill = onPrefill;
  }

  /** Forgets the conversation and empties the KV cache. */
  resetChat(): void {
    this.#pipeline.resetChat();
    this.#contextTokens = [];
  }

  /** True if the answer was cut at a stop string: the KV cache then holds tokens that the text does not. */
  wasCutAtStopString(): boolean {
    const { tokenizer, outputIds, outputMessage } = this.#pipeline;
    return tokenizer.decode(new Int32Array(outputIds)) !== outputMessage;
  }

  readCounters(): LibraryCounters {
    const exports = this.#pipeline.tvm.lib.exports;
    const read = (name: string) => exports[name]?.() ?? null;
    return {
      liveObjects: read('tramontane_live_objects'),
      gpuBuffers: read('tramontane_gpu_buffer_count'),
      gpuAllocations: read('tramontane_gpu_allocation_total'),
      dispatches: read('tramontane_dispatch_total'),
    };
  }

  /** Tokens in the KV cache. */
  get contextTokenCount(): number {
    return this.#pipeline.filledKVCacheLength;
  }

  /** Takes tokens off the KV cache's end until `length` are left. What a conversation said is then no longer true. */
  cutContext(length: number): void {
    const pipeline = this.#pipeline;
    const { tvm } = pipeline;
    const surplus = pipeline.filledKVCacheLength - length;
    if (surplus < 0) throw new RangeError(`the KV cache cannot be cut to ${length}: it has fewer tokens`);
    if (surplus === 0) return;
    tvm.beginScope();
    try {
      // Of TVM's runtime: prebuilt libraries have it too.
      const popTokens = tvm.getGlobalFunc('vm.builtin.kv_state_popn');
      popTokens(pipeline.kvCache, tvm.scalar(0, 'int64'), tvm.scalar(surplus, 'int32'));
    } finally {
      tvm.endScope();
    }
    pipeline.filledKVCacheLength = length;
    this.#contextTokens.length = Math.min(this.#contextTokens.length, length);
  }

  /**
   * A chat's prefill without the chat: chunk after chunk, waiting for the GPU and looking at `signal` after each.
   * @returns for each chunk, when it was done by `now`
   */
  async prefill(tokens: readonly number[], signal: AbortSignal | null, now: () => number): Promise<number[]> {
    const pipeline = this.#pipeline;
    const times: number[] = [];
    this.#signal = signal;
    this.#inPrefill = true;
    try {
      for (let start = 0; start < tokens.length; start += pipeline.prefillChunkSize) {
        const chunk = tokens.slice(start, start + pipeline.prefillChunkSize);
        pipeline.tvm.beginScope();
        try {
          await pipeline.embedAndForward([chunk], chunk.length);
        } finally {
          pipeline.tvm.endScope();
        }
        times.push(now());
      }
      return times;
    } finally {
      this.#inPrefill = false;
      this.#signal = null;
    }
  }

  /** A chat's decode step without the chat: the most probable token after `token`, read back from the GPU. */
  async decodeGreedy(token: number): Promise<number> {
    const logits = await this.#pipeline.forwardDecodeToken(token);
    try {
      return await this.#pipeline.sampleFromRawLogits(logits, GREEDY);
    } finally {
      logits.dispose();
    }
  }

  /** Most tokens that one {@link forward} call may get. */
  maxForwardTokens(mode: 'prefill' | 'decode'): number {
    return mode === 'decode' || this.#score === null ? 1 : this.#scoreChunkLength;
  }

  /**
   * Runs `tokens` through the model after what the KV cache holds.
   * @returns logits of every position, f32 [tokens, vocabulary] row-major
   */
  async forward(tokens: readonly number[], mode: 'prefill' | 'decode'): Promise<Float32Array> {
    const pipeline = this.#pipeline;
    const { tvm } = pipeline;
    const most = this.maxForwardTokens(mode);
    if (tokens.length < 1 || tokens.length > most) {
      throw new RangeError(`forward takes 1 to ${most} tokens, got ${tokens.length}`);
    }
    tvm.beginScope();
    try {
      const ids = tvm.empty([tokens.length], 'int32', pipeline.device).copyFrom([...tokens]);
      const embedded: TvmTensor = pipeline.embed(ids, pipeline.params);
      const input = embedded.view([1, ...embedded.shape]);
      const lengths = tvm.makeShapeTuple([tokens.length]);
      pipeline.fKVCacheBeginForward(pipeline.kvCache, tvm.makeShapeTuple([0]), lengths);
      const run = mode === 'decode' || this.#score === null ? pipeline.decoding : this.#score;
      const result: TvmArray = run(input, pipeline.kvCache, pipeline.params);
      pipeline.fKVCacheEndForward(pipeline.kvCache);
      pipeline.filledKVCacheLength += tokens.length;
      const logits = result.get(0);
      const host = tvm.empty(logits.shape, 'float32', tvm.cpu()).copyFrom(logits);
      await pipeline.device.sync();
      return host.toArray() as Float32Array;
    } finally {
      tvm.endScope();
    }
  }

  #install(): void {
    const pipeline = this.#pipeline;
    const forwardPrefill = pipeline.forwardPrefill.bind(pipeline);
    pipeline.forwardPrefill = async (...args) => {
      this.#inPrefill = true;
      try {
        return await forwardPrefill(...args);
      } finally {
        this.#inPrefill = false;
      }
    };

    const getInputData = pipeline.getInputData.bind(pipeline);
    pipeline.getInputData = async () => {
      const input = await getInputData();
      const cachedTokens = pipeline.filledKVCacheLength;
      if (cachedTokens === 0) this.#contextTokens = [];
      for (const part of input[0])
        if (Array.isArray(part)) for (const id of part) this.#contextTokens.push(id);
      this.#onPrefill?.({ contextTokens: [...this.#contextTokens], cachedTokens });
      return input;
    };

    // WebLLM runs all chunks of a prefill in one chain of microtasks and looks at its interrupt flag only afterwards.
    // Waiting for the GPU after each chunk, and giving messages a turn, lets an abort arrive in between.
    const embedAndForward = pipeline.embedAndForward.bind(pipeline);
    pipeline.embedAndForward = async (data, length) => {
      const logits = await embedAndForward(data, length);
      if (this.#inPrefill) {
        await pipeline.device.sync();
        await yieldToEventLoop();
        this.#signal?.throwIfAborted();
      }
      return logits;
    };

    const forwardDecodeToken = pipeline.forwardDecodeToken.bind(pipeline);
    pipeline.forwardDecodeToken = (tokenId) => {
      this.#contextTokens.push(tokenId);
      return forwardDecodeToken(tokenId);
    };

    // WebLLM makes its grammar compiler when it first needs one, and calls it with defaults.
    let compiler = pipeline.grammarCompiler;
    Object.defineProperty(pipeline, 'grammarCompiler', {
      configurable: true,
      get: () => compiler,
      set(value: GrammarCompiler | undefined) {
        compiler = value;
        if (value === undefined) return;
        const compile = value.compileJSONSchema.bind(value);
        value.compileJSONSchema = (schema) => compile(schema, true, -1, undefined, true, MAX_JSON_WHITESPACE);
      },
    });
  }
}

function requirePipeline(value: unknown): Pipeline {
  const found = value as Record<string, unknown> | undefined;
  const missing =
    found === undefined
      ? ['pipeline']
      : [
          ...OBJECTS.filter((name) => typeof found[name] !== 'object' || found[name] === null),
          ...FUNCTIONS.filter((name) => typeof found[name] !== 'function'),
          ...NUMBERS.filter((name) => typeof found[name] !== 'number'),
        ];
  if (missing.length > 0) {
    throw new TramontaneError('library-invalid', `WebLLM's pipeline lacks ${missing.join(', ')}.`, {
      nextStep: `Use an unmodified @mlc-ai/web-llm@${SUPPORTED_WEBLLM_VERSION}.`,
      data: { missing },
    });
  }
  return value as Pipeline;
}
