/** The page's side of the protocol: an Engine that forwards every call to the worker behind an endpoint. */
import { TramontaneError } from '../base/errors.ts';
import type {
  AdapterReport,
  BenchmarkEngine,
  CallOptions,
  ChatChunk,
  ChatCompletion,
  ChatMessage,
  ChatRequest,
  DecodeTiming,
  LibraryCounters,
  LoadCallOptions,
  LoadedModel,
  LoadedModelFacts,
  LoadOptions,
  ModelSource,
  PrefillTiming,
  ScoreRequest,
  ScoreResult,
  StoredModelInfo,
  StoreReadTiming,
} from '../engine/api.ts';
import { collectChat } from '../engine/collect-chat.ts';
import { askToPersist, originStorage } from '../storage/quota.ts';
import { CallClient } from './call-client.ts';
import type { Endpoint, EngineAnswer, EngineCalls, EngineMessage } from './protocol.ts';

export class EngineClient implements BenchmarkEngine {
  readonly #endpoint: Endpoint<EngineAnswer, EngineMessage>;
  /** A stream is here, too, while it waits for a chunk. */
  readonly #calls: CallClient<EngineCalls>;
  #model: LoadedModel | null = null;

  constructor(endpoint: Endpoint<EngineAnswer, EngineMessage>) {
    this.#endpoint = endpoint;
    this.#calls = new CallClient((message) => endpoint.postMessage(message));
    endpoint.addEventListener('message', ({ data }) => this.#receive(data));
  }

  /** Ends every pending call and all later ones with `error`: the worker is gone. */
  fail(error: TramontaneError): void {
    this.#model = null;
    this.#calls.fail(error);
  }

  getAdapter(options: CallOptions = {}): Promise<AdapterReport | null> {
    return this.#calls.call('getAdapter', null, options);
  }

  async loadModel(source: ModelSource, options: LoadOptions & LoadCallOptions = {}): Promise<LoadedModel> {
    const { signal, onProgress, ...loadOptions } = options;
    signal?.throwIfAborted();
    // Workers cannot ask.
    await askToPersist(originStorage, signal);
    return this.#calls.call(
      'loadModel',
      { source, options: loadOptions },
      { ...(signal && { signal }), ...(onProgress && { onProgress }) },
    );
  }

  async unloadModel(): Promise<void> {
    await this.#calls.call('unloadModel', null);
  }

  getLoadedModel(): LoadedModel | null {
    return this.#model;
  }

  async *streamChat(
    request: ChatRequest,
    { signal, onProgress }: LoadCallOptions = {},
  ): AsyncGenerator<ChatChunk, void, undefined> {
    signal?.throwIfAborted();
    const id = this.#calls.createId();
    const abort = () => this.#calls.abort(id, signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    let ended = false;
    try {
      this.#endpoint.postMessage({ kind: 'stream', id, request });
      for (;;) {
        const chunk = await this.#pull(id, onProgress);
        if (chunk === null) break;
        yield chunk;
      }
      ended = true;
    } catch (error) {
      ended = true;
      throw this.#calls.explain(error, signal);
    } finally {
      signal?.removeEventListener('abort', abort);
      if (!ended && this.#calls.failure === null) this.#drain(id);
    }
  }

  completeChat(request: ChatRequest, options: LoadCallOptions = {}): Promise<ChatCompletion> {
    return collectChat(this.streamChat(request, options));
  }

  score(request: ScoreRequest, options: CallOptions = {}): Promise<ScoreResult> {
    return this.#calls.call('score', request, options);
  }

  tokenizeChat(messages: readonly ChatMessage[], options: CallOptions = {}): Promise<number[]> {
    return this.#calls.call('tokenizeChat', messages, options);
  }

  async deleteModel(id: string): Promise<void> {
    await this.#calls.call('deleteModel', id);
  }

  listStoredModels(): Promise<StoredModelInfo[]> {
    return this.#calls.call('listStoredModels', null);
  }

  fillContext(tokens: readonly number[], options: CallOptions = {}): Promise<PrefillTiming> {
    return this.#calls.call('fillContext', tokens, options);
  }

  async cutContext(length: number): Promise<void> {
    await this.#calls.call('cutContext', length);
  }

  timePrefill(tokens: readonly number[], options: CallOptions = {}): Promise<PrefillTiming> {
    return this.#calls.call('timePrefill', tokens, options);
  }

  timeDecode(
    request: { firstToken: number; count: number },
    options: CallOptions = {},
  ): Promise<DecodeTiming> {
    return this.#calls.call('timeDecode', request, options);
  }

  readCounters(): Promise<LibraryCounters> {
    return this.#calls.call('readCounters', null);
  }

  timeStoreReads(options: CallOptions = {}): Promise<StoreReadTiming> {
    return this.#calls.call('timeStoreReads', null, options);
  }

  describeModel(): Promise<LoadedModelFacts> {
    return this.#calls.call('describeModel', null);
  }

  async dispose(): Promise<void> {
    if (this.#calls.failure === null) await this.#calls.call('dispose', null);
    this.fail(new TramontaneError('engine-failed', 'The engine was disposed of.'));
  }

  /** The next chunk of a stream; null at its end. */
  #pull(id: number, onProgress?: LoadCallOptions['onProgress']): Promise<ChatChunk | null> {
    return this.#calls.wait(id, () => this.#endpoint.postMessage({ kind: 'pull', id }), onProgress);
  }

  /** A stream whose reader left: stop it, and take what is still on the way so that the worker can end it. */
  #drain(id: number): void {
    this.#calls.abort(id, new DOMException('The reader left.', 'AbortError'));
    const next = (): void => {
      this.#pull(id).then(
        (chunk) => {
          if (chunk !== null) next();
        },
        // The abort that was just sent, or the end of the worker: nobody is left to be told.
        () => undefined,
      );
    };
    next();
  }

  #receive(message: EngineAnswer): void {
    switch (message.kind) {
      case 'model':
        this.#model = message.model;
        return;
      case 'chunk':
        this.#calls.settle(message.id, message.chunk);
        return;
      case 'end':
        this.#calls.settle(message.id, null);
        return;
      default:
        this.#calls.receive(message);
    }
  }
}
