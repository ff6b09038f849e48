/**
 * An engine without a model: it answers from a script, at a chosen speed, and fails on demand. The page's tests and
 * its developers use it (`?engine=fake&rate=200`, see {@link fakeEngineOptionsFromUrl}); it keeps every promise of
 * the `Engine` interface that a page can notice, and computes nothing.
 */
import { delay } from '../base/abort.ts';
import { type ErrorCode, TramontaneError } from '../base/errors.ts';
import { ProgressMeter } from '../base/progress-meter.ts';
import type {
  AdapterReport,
  BenchmarkEngine,
  CallOptions,
  ChatChunk,
  ChatCompletion,
  ChatMessage,
  ChatRequest,
  DecodeTiming,
  FinishReason,
  LibraryCounters,
  LoadCallOptions,
  LoadedModel,
  LoadedModelFacts,
  LoadOptions,
  ModelSource,
  PrefillTiming,
  ProgressPhase,
  ScoreRequest,
  ScoreResult,
  StoredModelInfo,
  StoreReadTiming,
  Timings,
  Usage,
} from './api.ts';
import { type FakeAdapter, fakeAdapter, numberParameter, playTransfer } from './fake-parts.ts';
import { fakeAnswer, fakeJson, splitTokens } from './fake-script.ts';

/** Time as the fake engine sees it; tests give one that passes at once. */
export interface FakeClock {
  now(): number;
  delay(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export interface FakeEngineOptions {
  clock: FakeClock;
  /** Tokens per second. */
  rate: number;
  /** How long a load takes. */
  loadMs: number;
  /** Time before an answer's first token. */
  prefillMs: number;
  /** Tokens per second of a measured prefill. */
  prefillRate: number;
  /** Share of its rates at which it runs, at a time of its clock: below 1 it is throttled. */
  speed(nowMs: number): number;
  adapter: FakeAdapter;
  /** Fails with this code, at this point, this many times. */
  fail: ErrorCode | null;
  failAt: 'load' | 'chat' | 'measure';
  /** Calls, at that point, that succeed before the first that fails. */
  failAfter: number;
  failCount: number;
  /** Bytes that loading claims to move. */
  byteLength: number;
  contextLength: number;
  /** True when the weights are stored already: listed as such, and loaded without a download. */
  stored: boolean;
  /** What `json_schema` requests get. */
  json: 'valid' | 'invalid';
}

const defaults: FakeEngineOptions = {
  clock: { now: () => performance.now(), delay },
  rate: 40,
  loadMs: 900,
  prefillMs: 120,
  prefillRate: 900,
  speed: () => 1,
  adapter: 'good',
  fail: null,
  failAt: 'chat',
  failAfter: 0,
  failCount: 1,
  byteLength: 98_000_000,
  contextLength: 8192,
  stored: false,
  json: 'valid',
};

/** Reads `?rate= &prefill-rate= &load-ms= &prefill-ms= &adapter= &fail= &at= &fail-count= &fail-after= &stored &json=`. */
export function fakeEngineOptionsFromUrl(parameters: URLSearchParams): Partial<FakeEngineOptions> {
  const number = (name: string) => numberParameter(parameters, name);
  const options: Record<string, unknown> = {
    rate: number('rate'),
    loadMs: number('load-ms'),
    prefillMs: number('prefill-ms'),
    prefillRate: number('prefill-rate'),
    failCount: number('fail-count'),
    failAfter: number('fail-after'),
    contextLength: number('context'),
    adapter: parameters.get('adapter') ?? undefined,
    fail: parameters.get('fail') ?? undefined,
    failAt: parameters.get('at') ?? undefined,
    json: parameters.get('json') ?? undefined,
    stored: parameters.has('stored') || undefined,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

const nextSteps: Partial<Record<ErrorCode, string>> = {
  'download-failed': 'Check the connection and try again; what was downloaded is kept.',
  'storage-quota': 'Free 40 MB on this device, then try again.',
  'context-exceeded': 'Start a new chat, or shorten the message.',
  'device-lost': 'Load the model again; the conversation is kept.',
  'worker-crashed': 'Load the model again; the conversation is kept.',
  'out-of-memory': 'Close other tabs that use the GPU, then load the model again.',
};

const messages: Partial<Record<ErrorCode, string>> = {
  'download-failed': 'The download stopped at shard 3 of 5: the connection was lost.',
  'storage-quota': 'The model needs 98 MB of storage, and 58 MB are left.',
  'context-exceeded': 'The conversation has 9,120 tokens, and the model reads 8,192.',
  'device-lost': 'The GPU was reset by the driver while it was answering.',
  'worker-crashed': 'The worker that runs the model ended unexpectedly.',
  'out-of-memory': 'The GPU has no memory left for this model.',
};

/** Codes after which no model is loaded any more. */
const fatalCodes: readonly ErrorCode[] = ['device-lost', 'worker-crashed', 'out-of-memory'];

export function createFakeEngine(options: Partial<FakeEngineOptions> = {}): BenchmarkEngine {
  return new FakeEngine({ ...defaults, ...options });
}

const VOCABULARY_SIZE = 49_152;
const CHUNK_TOKENS = 256;
/** Of the time of a load. */
const READ_SHARE = 0.15;

/** What the fake model finds most probable after a token. */
function fakeNextToken(token: number): number {
  return (token * 31 + 7) % VOCABULARY_SIZE;
}

class FakeEngine implements BenchmarkEngine {
  readonly #options: FakeEngineOptions;
  readonly #clock: FakeClock;
  readonly #stored = new Map<string, StoredModelInfo>();
  #loaded: LoadedModel | null = null;
  #failuresLeft: number;
  #answers = 0;
  #queue: Promise<void> = Promise.resolve();
  #previousTokens = 0;
  /** Tokens in the KV cache of a measurement. */
  #depth = 0;
  #successesLeft: number;

  constructor(options: FakeEngineOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#failuresLeft = options.fail === null ? 0 : options.failCount;
    this.#successesLeft = options.failAfter;
  }

  async getAdapter(): Promise<AdapterReport | null> {
    return fakeAdapter(this.#options.adapter);
  }

  #failIfDue(at: FakeEngineOptions['failAt']): void {
    const { fail, failAt } = this.#options;
    if (fail === null || failAt !== at || this.#failuresLeft <= 0) return;
    if (this.#successesLeft > 0) {
      this.#successesLeft -= 1;
      return;
    }
    this.#failuresLeft -= 1;
    if (fatalCodes.includes(fail)) this.#loaded = null;
    const nextStep = nextSteps[fail];
    throw new TramontaneError(
      fail,
      messages[fail] ?? `The fake engine failed with ${fail}, as it was told to.`,
      nextStep === undefined ? {} : { nextStep },
    );
  }

  async loadModel(source: ModelSource, options: LoadOptions & LoadCallOptions = {}): Promise<LoadedModel> {
    const { signal, onProgress } = options;
    signal?.throwIfAborted();
    this.#loaded = null;
    const adapter = await this.getAdapter();
    if (adapter === null) {
      throw new TramontaneError('webgpu-unavailable', 'This browser offers no WebGPU.');
    }
    const { loadMs } = this.#options;
    const byteLength = (source as { byteLength?: number }).byteLength ?? this.#options.byteLength;
    const wasStored = this.#stored.has(source.id) || this.#options.stored;
    const phases: [ProgressPhase, number, number][] = [
      ...(wasStored ? [] : ([['download', 0.5, byteLength]] as [ProgressPhase, number, number][])),
      ['read', READ_SHARE, byteLength],
      ['upload', 0.15, byteLength],
      ['compile', 0.2, 34],
    ];
    for (const [phase, share, totalBytes] of phases) {
      await playTransfer(
        { phase, totalBytes, durationMs: loadMs * share },
        {
          signal,
          delay: (milliseconds, aborted) => this.#clock.delay(milliseconds, aborted),
          onProgress: (progress) => {
            onProgress?.(progress);
            if (phase === 'download' && progress.bytes >= totalBytes * 0.6) this.#failIfDue('load');
          },
        },
      );
    }
    this.#failIfDue('load');
    this.#stored.set(source.id, {
      id: source.id,
      name: source.name ?? source.id,
      quantization: source.quantization ?? null,
      parameterCount: source.parameterCount ?? null,
      byteLength,
      contextLength: this.#options.contextLength,
      maxContextLength: this.#options.contextLength,
      kvBytesPerToken: null,
      layerCount: null,
      licence: source.licence ?? null,
      library: null,
      source: { name: source.id, url: source.url ?? null },
      storedAt: Date.now(),
    });
    this.#loaded = {
      id: source.id,
      contextLength: options.contextLength ?? this.#options.contextLength,
      defaultTemperature: 0.7,
      vocabularySize: 49_152,
      adapter,
      memory: {
        weightBytes: byteLength,
        kvCacheBytes: 184_320_000,
        activationBytes: 12_000_000,
        totalBytes: byteLength + 196_320_000,
      },
      library: 'generated:f16,subgroups',
    };
    return this.#loaded;
  }

  async unloadModel(): Promise<void> {
    this.#loaded = null;
  }

  getLoadedModel(): LoadedModel | null {
    return this.#loaded;
  }

  async *streamChat(request: ChatRequest, options: LoadCallOptions = {}): AsyncGenerator<ChatChunk> {
    const { signal, onProgress } = options;
    signal?.throwIfAborted();
    const before = this.#queue;
    let release = () => {};
    this.#queue = new Promise((resolve) => {
      release = resolve;
    });
    try {
      await before;
      signal?.throwIfAborted();
      yield* this.#answer(request, signal, onProgress);
    } finally {
      release();
    }
  }

  async *#answer(
    request: ChatRequest,
    signal: AbortSignal | undefined,
    onProgress: LoadCallOptions['onProgress'],
  ): AsyncGenerator<ChatChunk> {
    const model = this.#requireModel();
    const promptTokens = request.messages.reduce(
      (sum, message) => sum + splitTokens(message.content).length + 4,
      0,
    );
    if (promptTokens >= model.contextLength) {
      throw new TramontaneError(
        'context-exceeded',
        `The conversation has ${promptTokens} tokens, and the model reads ${model.contextLength}.`,
        { nextStep: 'Start a new chat, or shorten the message.' },
      );
    }
    const { rate, prefillMs } = this.#options;
    const startedAt = this.#clock.now();
    this.#answers += 1;
    const identity = {
      id: `fake-${this.#answers}`,
      object: 'chat.completion.chunk' as const,
      created: Math.floor(Date.now() / 1000),
      model: model.id,
    };
    const format = request.response_format;
    const text =
      format === undefined || format.type === 'text'
        ? fakeAnswer(request.messages, request.seed ?? this.#answers)
        : fakeJson(format.type === 'json_schema' ? format.json_schema.schema : {}, this.#options.json);
    const tokens = splitTokens(text);
    const limit = Math.min(
      tokens.length,
      request.max_completion_tokens ?? request.max_tokens ?? Number.POSITIVE_INFINITY,
      model.contextLength - promptTokens,
    );
    const cached = request.cache_prompt === false ? 0 : Math.min(this.#previousTokens, promptTokens - 1);
    const newTokens = promptTokens - cached;
    const reading = new ProgressMeter(newTokens, 0, () => this.#clock.now());
    onProgress?.({ phase: 'prefill', ...reading.read() });
    for (let start = 0; start < newTokens; start += CHUNK_TOKENS) {
      const length = Math.min(CHUNK_TOKENS, newTokens - start);
      await this.#clock.delay((prefillMs * length) / newTokens, signal);
      onProgress?.({ phase: 'prefill', ...reading.add(length) });
    }
    const firstTokenAt = this.#clock.now();
    let done = 0;
    let finish: FinishReason = limit < tokens.length ? 'length' : 'stop';
    for (; done < limit; done += 1) {
      const dueAt = firstTokenAt + (done * 1000) / rate;
      const waitMs = dueAt - this.#clock.now();
      if (waitMs > 0) {
        try {
          await this.#clock.delay(waitMs, signal);
        } catch {
          // An abort after the first token ends the answer; it does not throw.
        }
      }
      if (signal?.aborted) {
        finish = 'abort';
        break;
      }
      if (done === Math.min(20, limit - 1)) this.#failIfDue('chat');
      yield {
        ...identity,
        choices: [
          {
            index: 0,
            delta: { ...(done === 0 ? { role: 'assistant' as const } : {}), content: tokens[done]! },
            finish_reason: null,
          },
        ],
        completion_tokens: done + 1,
      };
    }
    const now = this.#clock.now();
    this.#previousTokens = promptTokens + done;
    const usage: Usage = {
      prompt_tokens: promptTokens,
      completion_tokens: done,
      total_tokens: promptTokens + done,
      prompt_tokens_details: { cached_tokens: cached },
    };
    const timings: Timings = {
      timeToFirstTokenMs: firstTokenAt - startedAt,
      prefillTokens: newTokens,
      prefillMs: firstTokenAt - startedAt,
      decodeTokens: Math.max(0, done - 1),
      decodeMs: now - firstTokenAt,
      grammarMs: 0,
      grammarStartMs: 0,
    };
    yield {
      ...identity,
      choices: [{ index: 0, delta: {}, finish_reason: finish }],
      completion_tokens: done,
      usage,
      timings,
      token_ids: tokens.slice(0, done).map((_, index) => index),
    };
  }

  async completeChat(request: ChatRequest, options: LoadCallOptions = {}): Promise<ChatCompletion> {
    let content = '';
    let last: ChatChunk | null = null;
    for await (const chunk of this.streamChat(request, options)) {
      content += chunk.choices[0]?.delta.content ?? '';
      last = chunk;
    }
    return {
      id: last!.id,
      object: 'chat.completion',
      created: last!.created,
      model: last!.model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content },
          finish_reason: last!.choices[0]!.finish_reason!,
        },
      ],
      usage: last!.usage!,
      timings: last!.timings!,
      token_ids: last!.token_ids!,
    };
  }

  async score(request: ScoreRequest): Promise<ScoreResult> {
    const model = this.#requireModel();
    const tokens = 'tokens' in request.input ? [...request.input.tokens] : [];
    const positions = tokens.map((token, i) => {
      const previous = tokens[i - 1];
      const top =
        previous === undefined ? null : [{ token: fakeNextToken(previous), logprob: Math.log(0.9) }];
      return top && { token, logprob: token === top[0]?.token ? Math.log(0.9) : Math.log(1e-6), top };
    });
    return { model: model.id, adapter: model.adapter, tokens, positions, perplexity: 1 / 0.9 };
  }

  async fillContext(tokens: readonly number[], options: CallOptions = {}): Promise<PrefillTiming> {
    this.#requireModel();
    this.#depth = 0;
    return this.timePrefill(tokens, options);
  }

  async cutContext(length: number): Promise<void> {
    this.#requireModel();
    this.#depth = Math.min(this.#depth, length);
  }

  async timePrefill(tokens: readonly number[], { signal }: CallOptions = {}): Promise<PrefillTiming> {
    const chunkMs: number[] = [];
    for (let start = 0; start < tokens.length; start += CHUNK_TOKENS) {
      const length = Math.min(CHUNK_TOKENS, tokens.length - start);
      chunkMs.push(await this.#measure(length / this.#options.prefillRate, length, signal));
    }
    return { ms: chunkMs.reduce((sum, ms) => sum + ms, 0), chunkMs };
  }

  async timeDecode(
    { firstToken, count }: { firstToken: number; count: number },
    { signal }: CallOptions = {},
  ): Promise<DecodeTiming> {
    const stepMs: number[] = [];
    const tokens: number[] = [];
    for (let token = firstToken; tokens.length < count; ) {
      stepMs.push(await this.#measure(1 / this.#options.rate, 1, signal));
      token = fakeNextToken(token);
      tokens.push(token);
    }
    return { ms: stepMs.reduce((sum, ms) => sum + ms, 0), stepMs, tokens };
  }

  /** Takes as long as so many tokens would, at the present speed. */
  async #measure(seconds: number, tokens: number, signal?: AbortSignal): Promise<number> {
    const model = this.#requireModel();
    if (this.#depth + tokens > model.contextLength) {
      throw new TramontaneError('context-exceeded', `${tokens} tokens after ${this.#depth} do not fit.`);
    }
    this.#failIfDue('measure');
    const start = this.#clock.now();
    await this.#clock.delay((seconds * 1000) / this.#options.speed(start), signal);
    this.#depth += tokens;
    return this.#clock.now() - start;
  }

  async timeStoreReads({ signal }: CallOptions = {}): Promise<StoreReadTiming> {
    this.#requireModel();
    const { byteLength, loadMs } = this.#options;
    const ms = loadMs * READ_SHARE;
    await this.#clock.delay(ms, signal);
    return { ms, storedBytes: byteLength, loadReadBytes: byteLength };
  }

  async readCounters(): Promise<LibraryCounters> {
    return { liveObjects: 0, gpuBuffers: 0, gpuAllocations: 0, dispatches: 0 };
  }

  async describeModel(): Promise<LoadedModelFacts> {
    const { memory } = this.#requireModel();
    return {
      name: 'Scripted model',
      quantization: 'none',
      parameterCount: 135_000_000,
      weightBytes: memory?.weightBytes ?? 0,
      sourceSha256: null,
      tensorCacheSha256: '0'.repeat(64),
      library: { byteLength: 0, sha256: '0'.repeat(64) },
      runtime: null,
      webLlm: 'none',
      stopTokenIds: [2],
      description: null,
      deviceLimits: {},
      deviceFeatures: [],
    };
  }

  #requireModel(): LoadedModel {
    if (this.#loaded !== null) return this.#loaded;
    throw new TramontaneError('model-not-loaded', 'No model is loaded.', { nextStep: 'Load a model first.' });
  }

  async tokenizeChat(conversation: readonly ChatMessage[]): Promise<number[]> {
    return conversation.flatMap((message) => splitTokens(message.content).map((_, index) => index));
  }

  async deleteModel(id: string): Promise<void> {
    this.#stored.delete(id);
  }

  async listStoredModels(): Promise<StoredModelInfo[]> {
    return [...this.#stored.values()];
  }

  async dispose(): Promise<void> {
    this.#loaded = null;
  }
}
