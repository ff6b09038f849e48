/**
 * The one place that reaches inside WebLLM. Its package is untouched; what its API cannot do is done here, on the
 * loaded pipeline object: keep of the KV cache what a prompt begins with, stop a long prefill between chunks, see token
 * ids, bound whitespace in JSON grammars, run forced decoding, run and time prefill and decode by themselves, and tell
 * when the device is lost.
 *
 * Internals may change with any release, so the version is pinned exactly and every member used is checked for.
 */
import webLlmPackage from '@mlc-ai/web-llm/package.json' with { type: 'json' };
import { yieldToEventLoop } from '../base/abort.ts';
import { assert } from '../base/assert.ts';
import { TramontaneError } from '../base/errors.ts';
import type { LibraryCounters, TokenLogprob } from './api.ts';
import { CachedContext, type PromptTurn } from './cached-context.ts';

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

/** Token ids, or an image. */
type PromptPart = number[] | object;

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
  /** Of models that have recurrent layers too. */
  rnnState: unknown;
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
  resetKVCache(): void;
  forwardPrefill(...args: unknown[]): Promise<unknown>;
  forwardDecodeToken(tokenId: number): Promise<TvmTensor>;
  sampleFromRawLogits(logits: TvmTensor, options: object): Promise<number>;
  embedAndForward(data: PromptPart[], length: number): Promise<unknown>;
  /** Parts of the prompt, their tokens, and how many tokens an image has. */
  getInputData(): Promise<[PromptPart[], number, unknown]>;
}

const OBJECTS = ['tvm', 'vm', 'device', 'tokenizer', 'params', 'kvCache'] as const;
const FUNCTIONS = [
  'embed',
  'decoding',
  'fKVCacheBeginForward',
  'fKVCacheEndForward',
  'resetChat',
  'resetKVCache',
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

export interface ChatWatch {
  /** Ids of the whole prompt. */
  prompt: readonly number[];
  /** Stops the prefill between chunks; the call then rejects with its reason. */
  signal: AbortSignal | null;
  onPrefill(report: PrefillReport): void;
  /** Called after each chunk of the prefill, with its tokens. */
  onPrefillChunk(tokenCount: number): void;
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
  #watch: ChatWatch | null = null;
  /** Where the answer to the watched chat begins; null before WebLLM has asked for its prompt. */
  #answerStart: number | null = null;
  /** True while a forward pass runs, and ever after if it failed: the KV cache is then in no known state. */
  #isForwarding = false;
  readonly #context = new CachedContext();
  #emptyCache = (): void => {};

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

  /** Ids of a prompt; an answer that the KV cache holds keeps the ids that the model gave. */
  encodeTurns(turns: readonly PromptTurn[]): number[] {
    return this.#context.encodeTurns(turns, (text) => this.encode(text));
  }

  /**
   * Begins a chat: the next request to WebLLM is its. Of its prompt only that is computed which the KV cache does not
   * begin with, whatever WebLLM is told of messages, and the cache keeps no more than it shares.
   */
  beginChat(watch: ChatWatch): void {
    this.#watch = watch;
    this.#signal = watch.signal;
  }

  /** Ends a chat, however it ended; what the KV cache holds of it stays for the next one. */
  endChat(): void {
    const pipeline = this.#pipeline;
    const start = this.#answerStart;
    this.#watch = null;
    this.#signal = null;
    this.#answerStart = null;
    if (this.#isForwarding) {
      this.resetChat();
      return;
    }
    const { tokens } = this.#context;
    pipeline.filledKVCacheLength = tokens.length;
    if (start === null || pipeline.outputIds.length === 0) return;
    const answer = [...pipeline.outputIds];
    const text = pipeline.tokenizer.decode(new Int32Array(answer));
    this.#context.addAnswer({ start, tokens: answer, text });
  }

  /** Forgets the conversation and empties the KV cache. */
  resetChat(): void {
    this.#isForwarding = false;
    this.#pipeline.resetChat();
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

  /** Takes tokens off the KV cache's end until `length` are left. */
  cutContext(length: number): void {
    const pipeline = this.#pipeline;
    const { tvm } = pipeline;
    const surplus = pipeline.filledKVCacheLength - length;
    if (surplus < 0) throw new RangeError(`the KV cache cannot be cut to ${length}: it has fewer tokens`);
    if (surplus === 0) return;
    if (length === 0) {
      this.#emptyCache();
      return;
    }
    tvm.beginScope();
    try {
      // Of TVM's runtime: prebuilt libraries have it too.
      const popTokens = tvm.getGlobalFunc('vm.builtin.kv_state_popn');
      popTokens(pipeline.kvCache, tvm.scalar(0, 'int64'), tvm.scalar(surplus, 'int32'));
    } catch (error) {
      // Nobody knows what is left of it.
      this.#emptyCache();
      throw error;
    } finally {
      tvm.endScope();
    }
    this.#context.cut(length);
    pipeline.filledKVCacheLength = length;
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

    // WebLLM empties the cache for any conversation that does not go on where the last one ended by itself. In a chat
    // it only believes so, until it asks for the prompt.
    const resetKVCache = pipeline.resetKVCache.bind(pipeline);
    this.#emptyCache = () => {
      pipeline.tvm.beginScope();
      try {
        resetKVCache();
      } finally {
        pipeline.tvm.endScope();
      }
      pipeline.filledKVCacheLength = 0;
      this.#context.cut(0);
    };
    pipeline.resetKVCache = () => {
      if (this.#watch === null) this.#emptyCache();
    };

    pipeline.getInputData = async () => {
      const watch = this.#watch;
      assert(watch !== null, 'a prompt is asked for outside of a chat');
      this.#answerStart = watch.prompt.length;
      const rest = this.#keepShared(watch.prompt);
      watch.onPrefill({ contextTokens: watch.prompt, cachedTokens: pipeline.filledKVCacheLength });
      return [[rest], rest.length, null];
    };

    // WebLLM runs all chunks of a prefill in one chain of microtasks and looks at its interrupt flag only afterwards.
    // Waiting for the GPU after each chunk, and giving messages a turn, lets an abort arrive in between.
    const embedAndForward = pipeline.embedAndForward.bind(pipeline);
    pipeline.embedAndForward = async (data, length) => {
      this.#isForwarding = true;
      const logits = await embedAndForward(data, length);
      this.#isForwarding = false;
      this.#context.append(idsOf(data));
      if (this.#inPrefill) {
        await pipeline.device.sync();
        await yieldToEventLoop();
        this.#signal?.throwIfAborted();
        this.#watch?.onPrefillChunk(length);
      }
      return logits;
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

  /** Cuts the KV cache to what it has in common with `prompt`. @returns the rest of the prompt */
  #keepShared(prompt: readonly number[]): number[] {
    const pipeline = this.#pipeline;
    pipeline.filledKVCacheLength = this.#context.tokens.length;
    // The logits to sample from are those of the last token: it is always computed.
    const length = Math.min(this.#context.commonLength(prompt), prompt.length - 1);
    // A recurrent state has no tokens to take off.
    const canCut = pipeline.rnnState === undefined || length === pipeline.filledKVCacheLength;
    this.cutContext(canCut ? length : 0);
    return prompt.slice(pipeline.filledKVCacheLength);
  }
}

function idsOf(parts: readonly PromptPart[]): number[] {
  return parts.flatMap((part) => (Array.isArray(part) ? (part as number[]) : []));
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
