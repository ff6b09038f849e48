/**
 * The engine on unmodified WebLLM: loads a model from the weight store with a library generated for this device (or a
 * prebuilt one), renders prompts, and streams answers. Runs in a worker, or in Node on Dawn.
 */
import type * as WebLlm from '@mlc-ai/web-llm';
import { delay } from '../base/abort.ts';
import { hidePrivateForms, stripPrivateForms } from '../base/control-text.ts';
import { errorMessage, isTramontaneError, TramontaneError } from '../base/errors.ts';
import { ProgressMeter } from '../base/progress-meter.ts';
import { sha256Hex } from '../base/sha256.ts';
import type { GpuCaps } from '../modellib/gpu-caps.ts';
import { encodeSamplingExtras } from '../modellib/kernels/sampling/sampling.plan.ts';
import type { LibrarySpec } from '../modellib/library-spec.ts';
import { link } from '../modellib/link.ts';
import { type LibraryPlan, lower } from '../modellib/lower.ts';
import { renderConversation } from '../models/chat-template.ts';
import {
  CONFIG_FILE,
  isMlcLayout,
  type ModelFiles,
  type PromptConfig,
  parseModelFiles,
  parsePromptConfig,
  TENSOR_CACHE_FILE,
  TOKENIZER_FILE,
} from '../models/model-files.ts';
import { withModelAlone, withModelFiles } from '../storage/model-lock.ts';
import type { StoredFile, WeightStore } from '../storage/weight-store.ts';
import { readAdapter, requireCaps } from './adapter-report.ts';
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
  Progress,
  ScoreRequest,
  ScoreResult,
  StoredModelInfo,
  StoreReadTiming,
  TokenLogprob,
  Usage,
} from './api.ts';
import { timeDecode, timePrefill, timeStoreReads } from './benchmark.ts';
import { checkChatRequest, grammarSchema, hashSeed, stopStrings } from './chat-request.ts';
import { collectChat } from './collect-chat.ts';
import { completeText } from './complete-text.ts';
import {
  type FetchedModel,
  fetchModel,
  type ModelDescriptionFiles,
  withStoredLibrary,
} from './fetch-model.ts';
import { plainTemplate } from './import/model-config.ts';
import { makePromptsOurs } from './import/prebuilt-prompts.ts';
import { describeLoadedModel, type LoadedParts } from './model-facts.ts';
import { ModelReader } from './model-reader.ts';
import { LIBRARY_FILE, requireFeatures } from './prebuilt-library.ts';
import { usualPrefillChunk } from './prefill-chunk.ts';
import { requireInteger } from './request-checks.ts';
import { RequestQueue } from './request-queue.ts';
import { scoreTokens } from './score.ts';
import { heldBack } from './stop-strings.ts';
import { listStoredModels, sweepModel } from './stored-models.ts';
import { checkTokenizer } from './tokenizer-check.ts';
import { type PrefillReport, WebLlmAdapter, withDeviceCapture } from './webllm-adapter.ts';
import { createWeightCaches } from './weight-cache.ts';

export interface WebLlmEngineOptions {
  store: WeightStore;
  /** Resolves relative model URLs; the page's own address. */
  baseUrl: string;
  /** The clock that benchmark calls are timed by, in milliseconds. Default: `performance.now`. */
  now?: () => number;
}

/** A model as loaded: everything that lives and dies with it. */
interface Session {
  model: LoadedModel;
  engine: WebLlm.MLCEngine;
  adapter: WebLlmAdapter;
  prompts: PromptConfig;
  generated: boolean;
  source: ModelSource;
  parts: LoadedParts;
  /** As its load read them. */
  shards: readonly StoredFile[];
  /** Taken out of the weight store by its load. */
  loadReadBytes: number;
  /** True from `fillContext` on, until the next chat or score: what the KV cache holds is no conversation. */
  isMeasuring: boolean;
  /** Set once the GPU device is gone. */
  lost: TramontaneError | null;
  /** The first error that the GPU reported outside of any call: what it computed since is not to be trusted. */
  gpuError: GPUError | null;
}

/** What can be known of a model before its weights are there. */
interface Preparation {
  prompts: PromptConfig;
  /** Null for a model whose weights only its prebuilt library knows. */
  parsed: ModelFiles | null;
  /** Null for a prebuilt library. */
  plan: LibraryPlan | null;
}

/** What WebLLM believes our models' addresses to be. Never fetched: every request is answered from the store. */
const STORE_URL = 'https://weights.invalid/';

/** How long to wait for word of a lost device when a call failed without a reason. */
const DEVICE_LOSS_MS = 50;

export class WebLlmEngine implements BenchmarkEngine {
  readonly #options: WebLlmEngineOptions;
  readonly #queue = new RequestQueue();
  readonly #now: () => number;
  #session: Session | null = null;
  /** Why there is no session, where one was lost. */
  #lost: TramontaneError | null = null;
  readonly #disposed = new AbortController();

  constructor(options: WebLlmEngineOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  getAdapter(): Promise<AdapterReport | null> {
    return readAdapter();
  }

  getLoadedModel(): LoadedModel | null {
    return this.#session?.model ?? null;
  }

  async loadModel(given: ModelSource, options: LoadOptions & LoadCallOptions = {}): Promise<LoadedModel> {
    const signal = this.#joinSignal(options.signal);
    const release = await this.#queue.acquire(signal);
    try {
      const report = await readAdapter();
      const caps = requireCaps(report, options.disable);
      // Everything that can be refused is refused before a shard is downloaded, and while the old model still runs.
      const preparation: { made: Preparation | null } = { made: null };
      const { store, baseUrl } = this.#options;
      const source = await withStoredLibrary(store, given);
      await withModelFiles(source.id, signal, async () => {
        const files = await fetchModel(source, {
          store,
          baseUrl,
          signal,
          ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
          ...(source.modelLibUrl !== undefined && { configure: makePromptsOurs }),
          check: (description) => {
            preparation.made = prepareModel(description, caps, options);
          },
        });
        await this.#unload();
        const loadOptions = { ...options, signal };
        this.#session = await this.#start(
          source,
          files,
          preparation.made!,
          report as AdapterReport,
          caps,
          loadOptions,
        );
      });
      await sweepModel(store, source.id);
      return this.#requireSession().model;
    } finally {
      release();
    }
  }

  async unloadModel(): Promise<void> {
    const release = await this.#queue.acquire();
    try {
      await this.#unload();
    } finally {
      release();
    }
  }

  async *streamChat(
    request: ChatRequest,
    options: LoadCallOptions = {},
  ): AsyncGenerator<ChatChunk, void, undefined> {
    const signal = this.#joinSignal(options.signal);
    const release = await this.#queue.acquire(signal);
    try {
      yield* this.#answer(this.#requireSession(), request, signal, options.onProgress);
    } finally {
      release();
    }
  }

  async completeChat(request: ChatRequest, options: LoadCallOptions = {}): Promise<ChatCompletion> {
    return collectChat(this.streamChat(request, options));
  }

  async score(request: ScoreRequest, options: CallOptions = {}): Promise<ScoreResult> {
    return this.#exclusively(options, async (session, signal) => {
      const { adapter, model } = session;
      session.isMeasuring = false;
      // A text is text: what looks like a private form in it must not become a control token.
      const tokens =
        'tokens' in request.input
          ? [...request.input.tokens]
          : adapter.encode(stripPrivateForms(request.input.text));
      const result = await scoreTokens(adapter, tokens, request, signal);
      adapter.resetChat();
      return { model: model.id, adapter: model.adapter, ...result };
    });
  }

  async fillContext(tokens: readonly number[], options: CallOptions = {}): Promise<PrefillTiming> {
    return this.#exclusively(options, (session, signal) => {
      session.adapter.resetChat();
      session.isMeasuring = true;
      return timePrefill(session.adapter, tokens, signal, this.#now);
    });
  }

  async cutContext(length: number): Promise<void> {
    await this.#exclusively({}, async (session) => {
      const { adapter } = requireMeasuring(session);
      requireInteger('length', length, 0, adapter.contextTokenCount);
      adapter.cutContext(length);
    });
  }

  async timePrefill(tokens: readonly number[], options: CallOptions = {}): Promise<PrefillTiming> {
    return this.#exclusively(options, (session, signal) =>
      timePrefill(requireMeasuring(session).adapter, tokens, signal, this.#now),
    );
  }

  async timeDecode(
    request: { firstToken: number; count: number },
    options: CallOptions = {},
  ): Promise<DecodeTiming> {
    return this.#exclusively(options, (session, signal) =>
      timeDecode(requireMeasuring(session).adapter, request, signal, this.#now),
    );
  }

  async readCounters(): Promise<LibraryCounters> {
    return this.#requireSession().adapter.readCounters();
  }

  async timeStoreReads(options: CallOptions = {}): Promise<StoreReadTiming> {
    return this.#exclusively(options, ({ shards, loadReadBytes, source }, signal) =>
      timeStoreReads(
        new ModelReader(this.#options.store, source.id, shards),
        loadReadBytes,
        signal,
        this.#now,
      ),
    );
  }

  async describeModel(): Promise<LoadedModelFacts> {
    const { parts, adapter } = this.#requireSession();
    return describeLoadedModel(parts, adapter.gpuDevice);
  }

  async tokenizeChat(messages: readonly ChatMessage[]): Promise<number[]> {
    const { prompts, adapter } = this.#requireSession();
    return renderConversation(prompts.template, messages, prompts.controlTokens).flatMap((turn) =>
      adapter.encode(turn.text),
    );
  }

  async deleteModel(id: string): Promise<void> {
    // In the queue: a load that is under way must not lose files that it counts on.
    const release = await this.#queue.acquire(this.#disposed.signal);
    try {
      await withModelAlone(id, () => this.#options.store.deleteModel(id));
    } finally {
      release();
    }
  }

  listStoredModels(): Promise<StoredModelInfo[]> {
    return listStoredModels(this.#options.store);
  }

  async dispose(): Promise<void> {
    this.#disposed.abort(new TramontaneError('engine-failed', 'The engine was disposed of.'));
    const release = await this.#queue.acquire();
    try {
      await this.#unload();
    } finally {
      release();
    }
  }

  /** A call ends when its caller or the whole engine says so. */
  #joinSignal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#disposed.signal : AbortSignal.any([signal, this.#disposed.signal]);
  }

  /** Runs `action` on the loaded model when its turn comes. After a failure the KV cache is empty. */
  async #exclusively<T>(
    options: CallOptions,
    action: (session: Session, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const signal = this.#joinSignal(options.signal);
    const release = await this.#queue.acquire(signal);
    try {
      const session = this.#requireSession();
      try {
        const result = await action(session, signal);
        throwGpuError(session);
        return result;
      } catch (error) {
        const explained = await this.#explain(session, error, signal);
        if (session.lost === null) session.adapter.resetChat();
        session.isMeasuring = false;
        throw explained;
      }
    } finally {
      release();
    }
  }

  #requireSession(): Session {
    if (this.#session === null) {
      throw (
        this.#lost ??
        new TramontaneError('model-not-loaded', 'No model is loaded.', { nextStep: 'Load a model first.' })
      );
    }
    return this.#session;
  }

  async #unload(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    this.#lost = null;
    // WebLLM has unloaded itself already where the device was lost.
    if (session !== null && session.lost === null) await session.engine.unload();
  }

  async #start(
    source: ModelSource,
    files: FetchedModel,
    { prompts, parsed, plan }: Preparation,
    report: AdapterReport,
    caps: GpuCaps,
    options: LoadOptions & LoadCallOptions,
  ): Promise<Session> {
    const { signal, onProgress } = options;
    const generated = source.modelLibUrl === undefined;
    const reader = new ModelReader(this.#options.store, source.id, files.shards, files.smallFiles);
    const overrides: Record<string, unknown> = { conv_template: plainTemplate(prompts.stopTokenIds) };
    if (options.contextLength !== undefined) {
      overrides.context_window_size = options.contextLength;
      // WebLLM refuses both at once.
      overrides.sliding_window_size = -1;
    }
    const wasm = plan === null ? new Uint8Array(await reader.read(LIBRARY_FILE)) : link(plan.spec);
    const baseUrl = `${STORE_URL}${encodeURIComponent(source.id)}/resolve/main/`;
    const totalBytes = files.shards.reduce((sum, shard) => sum + shard.byteLength, 0);
    const read = new ProgressMeter(totalBytes);
    const upload = new ProgressMeter(totalBytes);
    const shardNames = files.shards.map((shard) => shard.name);
    const kernelCount = plan === null ? 1 : countKernels(plan.spec);

    const made: { engine: WebLlm.MLCEngine | null; device: GPUDevice | null } = {
      engine: null,
      device: null,
    };
    const failure: LoadFailure = { lost: null, gpuError: null };
    const session: { current: Session | null } = { current: null };
    const libraryUrl = URL.createObjectURL(new Blob([wasm], { type: 'application/wasm' }));
    const restoreCaches = replaceGlobalCaches(
      createWeightCaches({
        baseUrl,
        fileNames: [CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE, ...shardNames],
        shardNames,
        readFile: async (name) => {
          signal?.throwIfAborted();
          if (name === shardNames[0]) onProgress?.({ phase: 'read', ...read.add(0) });
          const contents = await reader.read(name);
          // Later shards are read while earlier ones are uploaded: one phase at a time is enough to follow.
          if (shardNames.includes(name) && upload.read().bytes === 0) {
            onProgress?.({ phase: 'read', ...read.add(contents.byteLength) });
          }
          return contents;
        },
        onShard: (byteLength) => onProgress?.({ phase: 'upload', ...upload.add(byteLength) }),
      }),
    );
    try {
      const webllm = await import('@mlc-ai/web-llm');
      const engine = new webllm.MLCEngine({
        logLevel: 'SILENT',
        appConfig: {
          cacheBackend: 'cache',
          model_list: [
            {
              model: baseUrl,
              model_id: source.id,
              model_lib: libraryUrl,
            },
          ],
        },
        initProgressCallback: ({ progress, text }) => {
          if (!/shader modules/.test(text)) return;
          const compile: Progress = {
            phase: 'compile',
            bytes: Math.round(progress * kernelCount),
            totalBytes: kernelCount,
            bytesPerSecond: 0,
            etaMs: null,
          };
          onProgress?.(compile);
        },
      });
      made.engine = engine;
      await withDeviceCapture(
        (created) => {
          made.device = created;
          created.addEventListener('uncapturederror', (event) => {
            const { error } = event as GPUUncapturedErrorEvent;
            failure.gpuError ??= error;
            if (session.current !== null) session.current.gpuError ??= error;
          });
          created.lost.then((info) => {
            failure.lost = info;
            if (session.current !== null) this.#loseDevice(session.current, info);
          });
        },
        () => engine.reload(source.id, overrides as WebLlm.ChatOptions),
      );
      signal?.throwIfAborted();
      if (failure.gpuError !== null) throw failure.gpuError;
      const adapter = new WebLlmAdapter(engine, source.id, plan?.spec.scoreChunkLength ?? 0);
      const model: LoadedModel = {
        id: source.id,
        contextLength: adapter.contextLength,
        defaultTemperature: readTemperature(files.config),
        vocabularySize: adapter.vocabularySize,
        adapter: report,
        memory:
          plan === null
            ? null
            : {
                weightBytes: plan.weightBytes,
                kvCacheBytes: plan.kvCacheBytes,
                activationBytes: plan.activationBytes,
                totalBytes: plan.weightBytes + plan.kvCacheBytes + plan.activationBytes,
              },
        library: generated ? libraryLabel(caps) : 'prebuilt',
      };
      session.current = {
        model,
        engine,
        adapter,
        prompts,
        generated,
        source,
        parts: {
          id: source.id,
          parsed,
          stopTokenIds: prompts.stopTokenIds,
          config: files.config,
          tensorCacheSha256: await sha256Hex(files.smallFiles.get(TENSOR_CACHE_FILE)!),
          weightBytes: totalBytes,
          library: { byteLength: wasm.byteLength, sha256: await sha256Hex(wasm) },
          generated,
        },
        shards: files.shards,
        loadReadBytes: reader.readBytes,
        isMeasuring: false,
        lost: null,
        gpuError: null,
      };
      return session.current;
    } catch (error) {
      await made.engine?.unload().catch(() => undefined);
      made.device?.destroy();
      signal?.throwIfAborted();
      throw await reader.explain(explainLoadFailure(error, failure));
    } finally {
      restoreCaches();
      URL.revokeObjectURL(libraryUrl);
    }
  }

  /** The session is over at once, so that whoever looks sees no model; calls that use it find out by `lost`. */
  #loseDevice(session: Session, info: GPUDeviceLostInfo): void {
    session.lost = new TramontaneError(
      'device-lost',
      `The GPU was lost: ${(info.message || info.reason).replace(/\.$/, '')}.`,
      {
        nextStep:
          'Load the model again. If it happens repeatedly, choose a smaller context or a smaller model.',
      },
    );
    if (this.#session !== session) return;
    this.#session = null;
    this.#lost = session.lost;
  }

  /** Turns what a request threw into what its caller should see. */
  async #explain(session: Session, error: unknown, signal: AbortSignal | null): Promise<unknown> {
    if (!isTramontaneError(error) && signal?.aborted !== true) {
      // What a lost device interrupts may fail before the loss itself is told.
      await Promise.race([session.adapter.gpuDevice.lost, delay(DEVICE_LOSS_MS)]);
    }
    if (session.lost !== null) return session.lost;
    if (signal?.aborted || isTramontaneError(error)) return error;
    const name = error instanceof Error ? error.name : '';
    if (/GrammarMatcherInit/.test(name) || /GrammarMatcherInit|schema/i.test(errorMessage(error))) {
      return new TramontaneError('schema-invalid', `The schema cannot be compiled: ${errorMessage(error)}`, {
        nextStep: 'Simplify the schema.',
        cause: error,
      });
    }
    return new TramontaneError('engine-failed', `WebLLM failed: ${errorMessage(error)}`, {
      nextStep: 'Load the model again.',
      cause: error,
    });
  }

  async *#answer(
    session: Session,
    request: ChatRequest,
    signal: AbortSignal | null,
    onProgress: LoadCallOptions['onProgress'],
  ): AsyncGenerator<ChatChunk, void, undefined> {
    const { adapter, engine, model } = session;
    checkChatRequest(request, model.vocabularySize, session.generated);
    const schema = request.response_format === undefined ? null : grammarSchema(request.response_format);
    if (session.isMeasuring) adapter.resetChat();
    session.isMeasuring = false;
    if (request.cache_prompt === false) adapter.resetChat();
    const prompt = this.#encodePrompt(session, request);

    const stops = stopStrings(request);
    const prefill: { report: PrefillReport | null; meter: ProgressMeter | null } = {
      report: null,
      meter: null,
    };
    const tellPrefill = (tokenCount: number) => {
      if (prefill.meter !== null) onProgress?.({ phase: 'prefill', ...prefill.meter.add(tokenCount) });
    };
    const interrupt = () => void engine.interruptGenerate();
    signal?.addEventListener('abort', interrupt, { once: true });
    adapter.beginChat({
      prompt,
      signal,
      onPrefill: (report) => {
        prefill.report = report;
        prefill.meter = new ProgressMeter(report.contextTokens.length - report.cachedTokens);
        tellPrefill(0);
      },
      onPrefillChunk: tellPrefill,
    });
    try {
      const stream = await engine.chat.completions.create({
        ...samplingOptions(request, session, schema !== null),
        // WebLLM need not know what it is that it continues: its next input is `prompt`.
        messages: [{ role: 'user', content: '' }],
        stream: true,
        stream_options: { include_usage: true },
        ...(schema === null ? {} : { response_format: { type: 'json_object', schema } }),
      } as WebLlm.ChatCompletionRequestStreaming);
      let finish: FinishReason = 'stop';
      let head: Pick<ChatChunk, 'id' | 'object' | 'created' | 'model'> | null = null;
      /** How much of the text went out. */
      let sentLength = 0;
      let sentLogprobs = 0;
      const takeChunk = (end: number, source: string): ChatChunk | null => {
        const content = hidePrivateForms(source.slice(sentLength, end));
        sentLength = Math.max(sentLength, end);
        const entries = request.logprobs === true ? adapter.outputLogprobs.slice(sentLogprobs) : [];
        sentLogprobs += entries.length;
        if (content === '' && entries.length === 0) return null;
        const logprobs =
          entries.length === 0 ? {} : { logprobs: { content: readLogprobs(entries, request) } };
        const choice = {
          index: 0 as const,
          delta: { role: 'assistant' as const, content },
          finish_reason: null,
        };
        return {
          ...(head as NonNullable<typeof head>),
          choices: [{ ...choice, ...logprobs }],
          completion_tokens: adapter.outputTokens.length,
        };
      };
      for await (const chunk of stream) {
        head ??= { id: chunk.id, object: 'chat.completion.chunk', created: chunk.created, model: model.id };
        if (chunk.usage !== undefined && chunk.usage !== null) {
          throwGpuError(session);
          // What was held back, and what WebLLM kept because a character was not complete.
          const whole = completeText(adapter.outputText);
          const rest = takeChunk(whole.length, whole);
          const last = finalChunk(head, finish, chunk.usage, prefill.report, adapter.outputTokens, request);
          if (rest !== null) yield rest;
          yield last;
          continue;
        }
        const choice = chunk.choices[0];
        if (choice === undefined) continue;
        if (choice.finish_reason !== null) {
          finish = choice.finish_reason as FinishReason;
          continue;
        }
        // Not what the chunk adds: see completeText.
        const text = completeText(adapter.outputText);
        const next = takeChunk(text.length - heldBack(text, stops), text);
        if (next !== null) yield next;
      }
    } catch (error) {
      throw await this.#explain(session, error, signal);
    } finally {
      signal?.removeEventListener('abort', interrupt);
      if (session.lost === null) adapter.endChat();
    }
  }

  /** Ids of the prompt, turn by turn. @throws TramontaneError `context-exceeded` */
  #encodePrompt({ prompts, adapter, model }: Session, { messages }: ChatRequest): number[] {
    const prompt = adapter.encodeTurns(renderConversation(prompts.template, messages, prompts.controlTokens));
    const { length } = prompt;
    if (length >= model.contextLength) {
      throw new TramontaneError(
        'context-exceeded',
        `The conversation is ${length} tokens long; this model is loaded with room for ${model.contextLength}.`,
        {
          nextStep: 'Begin a new chat, shorten the message, or load the model with a larger context.',
          data: { length, contextLength: model.contextLength },
        },
      );
    }
    return prompt;
  }
}

function samplingOptions(
  request: ChatRequest,
  { model, prompts, generated }: Session,
  hasGrammar: boolean,
): Record<string, unknown> {
  const extras = generated
    ? encodeSamplingExtras({
        topK: request.top_k ?? 0,
        minP: request.min_p ?? 0,
        vocabularySize: model.vocabularySize,
      })
    : hasGrammar
      ? banControlTokens(prompts)
      : {};
  const bias = { ...request.logit_bias, ...extras };
  const stop = stopStrings(request);
  const options: Record<string, unknown> = {
    temperature: request.temperature ?? model.defaultTemperature,
    top_p: request.top_p ?? 1,
    frequency_penalty: request.frequency_penalty,
    presence_penalty: request.presence_penalty,
    repetition_penalty: request.repetition_penalty,
    max_tokens: request.max_completion_tokens ?? request.max_tokens,
    logit_bias: Object.keys(bias).length > 0 ? bias : undefined,
    stop: stop.length > 0 ? [...stop] : undefined,
    seed: request.seed === undefined ? undefined : hashSeed(request.seed),
    logprobs: request.logprobs,
    // WebLLM keeps log-probabilities only where alternatives are asked for.
    top_logprobs: request.logprobs === true ? Math.max(1, request.top_logprobs ?? 0) : undefined,
    ignore_eos: request.ignore_eos,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Grammars take control tokens for text, which our libraries see to by themselves. */
function banControlTokens({ controlTokens, stopTokenIds }: PromptConfig): Record<string, number> {
  const banned = controlTokens.filter(({ id }) => !stopTokenIds.includes(id));
  return Object.fromEntries(banned.map(({ id }) => [id, -100]));
}

function readLogprobs(entries: readonly TokenLogprob[], request: ChatRequest): TokenLogprob[] {
  return entries.map((entry) => ({
    token: hidePrivateForms(entry.token),
    logprob: entry.logprob,
    top_logprobs: entry.top_logprobs
      .slice(0, request.top_logprobs ?? 0)
      .map(({ token, logprob }) => ({ token: hidePrivateForms(token), logprob })),
  }));
}

/** The GPU reports some errors outside of any call; the next one that could have suffered says so. */
function throwGpuError({ gpuError }: Session): void {
  if (gpuError === null) return;
  throw new TramontaneError('engine-failed', `The GPU reported an error: ${gpuError.message}`, {
    nextStep: 'Load the model again.',
  });
}

/** @throws TramontaneError `request-invalid` where the KV cache holds a conversation, which a measurement would spoil */
function requireMeasuring(session: Session): Session {
  if (session.isMeasuring) return session;
  throw new TramontaneError('request-invalid', 'There is no context to measure in.', {
    nextStep: 'Call fillContext first; a chat or a score ends the measurement.',
  });
}

/** @throws TramontaneError for files that make no model, and for options or shapes that this device cannot have */
function prepareModel(
  { config, tensorCache, tokenizer, library }: ModelDescriptionFiles,
  caps: GpuCaps,
  options: LoadOptions,
): Preparation {
  if (library !== null) requireFeatures(library, caps);
  checkTokenizer(tokenizer);
  if (library !== null && isMlcLayout(config)) {
    return { prompts: parsePromptConfig(config), parsed: null, plan: null };
  }
  const parsed = parseModelFiles(config, tensorCache);
  if (library !== null) return { prompts: parsed.chat, parsed, plan: null };
  const plan = lower(parsed.description, caps, {
    contextLength: options.contextLength ?? parsed.chat.contextLength,
    prefillChunkLength: options.prefillChunkLength ?? usualPrefillChunk(caps),
  });
  return { prompts: parsed.chat, parsed, plan };
}

function finalChunk(
  head: Pick<ChatChunk, 'id' | 'object' | 'created' | 'model'>,
  finish: FinishReason,
  usage: WebLlm.CompletionUsage,
  prefill: PrefillReport | null,
  outputTokens: readonly number[],
  request: ChatRequest,
): ChatChunk {
  const extra = usage.extra as unknown as Record<string, number>;
  const promptTokens = prefill?.contextTokens.length ?? usage.prompt_tokens;
  const counted: Usage = {
    prompt_tokens: promptTokens,
    completion_tokens: usage.completion_tokens,
    total_tokens: promptTokens + usage.completion_tokens,
    prompt_tokens_details: { cached_tokens: prefill?.cachedTokens ?? 0 },
  };
  // The first token comes with the prefill, so decode steps are one fewer than tokens.
  const decodeTokens = Math.max(0, usage.completion_tokens - 1);
  const prefillMs = (extra.time_to_first_token_s ?? 0) * 1000;
  return {
    ...head,
    choices: [{ index: 0, delta: {}, finish_reason: finish }],
    completion_tokens: usage.completion_tokens,
    usage: counted,
    timings: {
      timeToFirstTokenMs: prefillMs,
      prefillTokens: usage.prompt_tokens,
      prefillMs,
      decodeTokens,
      decodeMs: (extra.time_per_output_token_s ?? 0) * decodeTokens * 1000,
      grammarMs:
        ((extra.grammar_init_s ?? 0) + (extra.grammar_per_token_s ?? 0) * usage.completion_tokens) * 1000,
      grammarStartMs: (extra.grammar_init_s ?? 0) * 1000,
    },
    token_ids: [...outputTokens],
    ...(request.return_token_ids === true && prefill !== null
      ? { prompt_token_ids: [...prefill.contextTokens] }
      : {}),
  };
}

function readTemperature(config: unknown): number {
  const value = (config as { temperature?: unknown } | null)?.temperature;
  return typeof value === 'number' && value >= 0 ? value : 1;
}

function libraryLabel(caps: { shaderF16: boolean; subgroups: boolean }): string {
  return `generated:${caps.shaderF16 ? 'f16' : 'f32'}${caps.subgroups ? ',subgroups' : ''}`;
}

function countKernels({ programs }: LibrarySpec): number {
  const steps = [
    ...programs.embed,
    ...programs.decode,
    ...[...programs.prefill, ...programs.score].flatMap((variant) => variant.steps),
    ...programs.applyBitmask,
    ...programs.applyLogitBias,
    ...programs.applyPenalty,
    ...programs.softmax,
    ...programs.sample,
  ];
  return new Set(steps.map((step) => step.kernel.name)).size;
}

/** WebLLM reads models through `globalThis.caches`. @returns a function that puts back what was there. */
function replaceGlobalCaches(caches: Pick<CacheStorage, 'open'>): () => void {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'caches');
  Object.defineProperty(globalThis, 'caches', { value: caches, configurable: true, writable: true });
  return () => {
    if (before === undefined) Reflect.deleteProperty(globalThis, 'caches');
    else Object.defineProperty(globalThis, 'caches', before);
  };
}

interface LoadFailure {
  lost: GPUDeviceLostInfo | null;
  gpuError: GPUError | null;
}

function explainLoadFailure(error: unknown, failure: LoadFailure): TramontaneError {
  if (isTramontaneError(error)) return error;
  const message = errorMessage(error);
  const isOutOfMemory = failure.gpuError?.constructor.name === 'GPUOutOfMemoryError';
  if (failure.lost !== null || isOutOfMemory || /DeviceLost/.test(error instanceof Error ? error.name : '')) {
    return new TramontaneError('out-of-memory', `The GPU gave up while the model was loading: ${message}`, {
      nextStep: 'Close other programs that use the GPU, or choose a smaller context or a smaller model.',
      cause: error,
    });
  }
  if (/shader|pipeline|WGSL/i.test(message)) {
    return new TramontaneError('shader-invalid', `The GPU driver refuses a kernel: ${message}`, {
      nextStep: 'Update the browser and the graphics driver, and report this with the text above.',
      cause: error,
    });
  }
  if (/tokenizer/i.test(message)) {
    return new TramontaneError('tokenizer-invalid', `The tokenizer cannot be read: ${message}`, {
      nextStep: 'Import the model again.',
      cause: error,
    });
  }
  return new TramontaneError('engine-failed', `WebLLM could not load the model: ${message}`, {
    nextStep: 'Load the model again.',
    cause: error,
  });
}
