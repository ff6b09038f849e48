/** The page's side of the protocol: an Engine that forwards every call to the worker behind an endpoint. */
import { assert, unreachable } from '../base/assert.ts';
import { fromWireError, TramontaneError, toWireError } from '../base/errors.ts';
import type {
  AdapterReport,
  CallOptions,
  ChatChunk,
  ChatCompletion,
  ChatMessage,
  ChatRequest,
  Engine,
  LoadCallOptions,
  LoadedModel,
  LoadOptions,
  ModelSource,
  Progress,
  ScoreRequest,
  ScoreResult,
} from '../engine/api.ts';
import { collectChat } from '../engine/collect-chat.ts';
import type { CallName, Calls, ClientMessage, Endpoint, WorkerMessage } from './protocol.ts';

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onProgress?: (progress: Progress) => void;
}

export class EngineClient implements Engine {
  readonly #endpoint: Endpoint<WorkerMessage, ClientMessage>;
  /** One entry a call, and one a stream while it waits for a chunk. */
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #model: LoadedModel | null = null;
  #failure: TramontaneError | null = null;

  constructor(endpoint: Endpoint<WorkerMessage, ClientMessage>) {
    this.#endpoint = endpoint;
    endpoint.addEventListener('message', ({ data }) => this.#receive(data));
  }

  /** Ends every pending call and all later ones with `error`: the worker is gone. */
  fail(error: TramontaneError): void {
    this.#failure ??= error;
    this.#model = null;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }

  getAdapter(options: CallOptions = {}): Promise<AdapterReport | null> {
    return this.#call('getAdapter', null, options);
  }

  async loadModel(source: ModelSource, options: LoadOptions & LoadCallOptions = {}): Promise<LoadedModel> {
    const { signal, onProgress, ...loadOptions } = options;
    return this.#call(
      'loadModel',
      { source, options: loadOptions },
      { ...(signal && { signal }) },
      onProgress,
    );
  }

  async unloadModel(): Promise<void> {
    await this.#call('unloadModel', null);
  }

  getLoadedModel(): LoadedModel | null {
    return this.#model;
  }

  async *streamChat(
    request: ChatRequest,
    { signal }: CallOptions = {},
  ): AsyncGenerator<ChatChunk, void, undefined> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const abort = () => this.#abort(id, signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    let ended = false;
    try {
      this.#send({ kind: 'stream', id, request });
      for (;;) {
        const chunk = await this.#wait<ChatChunk | null>(id, () => this.#send({ kind: 'pull', id }));
        if (chunk === null) break;
        yield chunk;
      }
      ended = true;
    } catch (error) {
      ended = true;
      throw signal?.aborted === true && this.#failure === null ? signal.reason : error;
    } finally {
      signal?.removeEventListener('abort', abort);
      if (!ended && this.#failure === null) this.#drain(id);
    }
  }

  completeChat(request: ChatRequest, options: CallOptions = {}): Promise<ChatCompletion> {
    return collectChat(this.streamChat(request, options));
  }

  score(request: ScoreRequest, options: CallOptions = {}): Promise<ScoreResult> {
    return this.#call('score', request, options);
  }

  tokenizeChat(messages: readonly ChatMessage[], options: CallOptions = {}): Promise<number[]> {
    return this.#call('tokenizeChat', messages, options);
  }

  async deleteModel(id: string): Promise<void> {
    await this.#call('deleteModel', id);
  }

  listStoredModels(): Promise<{ id: string; byteLength: number }[]> {
    return this.#call('listStoredModels', null);
  }

  async dispose(): Promise<void> {
    if (this.#failure === null) await this.#call('dispose', null);
    this.fail(new TramontaneError('engine-failed', 'The engine was disposed of.'));
  }

  async #call<Name extends CallName>(
    name: Name,
    input: Calls[Name]['input'],
    { signal }: CallOptions = {},
    onProgress?: (progress: Progress) => void,
  ): Promise<Calls[Name]['output']> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const abort = () => this.#abort(id, signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      // The union of messages is built from the same map, which TypeScript cannot see through a generic name.
      const message = { kind: 'call', id, name, input } as ClientMessage;
      return await this.#wait<Calls[Name]['output']>(id, () => this.#send(message), onProgress);
    } catch (error) {
      // Structured cloning would have lost the identity of the caller's own reason.
      throw signal?.aborted === true && this.#failure === null ? signal.reason : error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  #wait<T>(id: number, start: () => void, onProgress?: (progress: Progress) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      assert(!this.#pending.has(id), `call ${id} waits twice`);
      this.#pending.set(id, {
        resolve: resolve as (value: unknown) => void,
        reject,
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      start();
    });
  }

  /** A stream whose reader left: stop it, and take what is still on the way so that the worker can end it. */
  #drain(id: number): void {
    this.#abort(id, new DOMException('The reader left.', 'AbortError'));
    const next = (): void => {
      this.#wait<ChatChunk | null>(id, () => this.#send({ kind: 'pull', id })).then(
        (chunk) => {
          if (chunk !== null) next();
        },
        // The abort that was just sent, or the end of the worker: nobody is left to be told.
        () => undefined,
      );
    };
    next();
  }

  #abort(id: number, reason: unknown): void {
    this.#send({ kind: 'abort', id, reason: toWireError(reason) });
  }

  #send(message: ClientMessage): void {
    this.#endpoint.postMessage(message);
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        return;
      case 'model':
        this.#model = message.model;
        return;
      case 'progress':
        this.#pending.get(message.id)?.onProgress?.(message.progress);
        return;
      case 'result':
        this.#settle(message.id)?.resolve(message.output);
        return;
      case 'chunk':
        this.#settle(message.id)?.resolve(message.chunk);
        return;
      case 'end':
        this.#settle(message.id)?.resolve(null);
        return;
      case 'error':
        this.#settle(message.id)?.reject(fromWireError(message.error));
        return;
      default:
        unreachable(message);
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}
