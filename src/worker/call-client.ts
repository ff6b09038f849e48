/** The page's side of calls: sends them, and settles what waits for an answer. */
import { assert } from '../base/assert.ts';
import { fromWireError, type TramontaneError, toWireError } from '../base/errors.ts';
import type { LoadCallOptions, Progress } from '../engine/api.ts';
import type { CallAnswer, CallMap, CallMessage } from './protocol.ts';

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  onProgress: ((progress: Progress) => void) | undefined;
}

export class CallClient<Calls extends CallMap<keyof Calls & string>> {
  readonly #send: (message: CallMessage<Calls>) => void;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #failure: TramontaneError | null = null;

  constructor(send: (message: CallMessage<Calls>) => void) {
    this.#send = send;
  }

  /** Why no call can succeed any more, or null. */
  get failure(): TramontaneError | null {
    return this.#failure;
  }

  /** Ends every pending call and all later ones with `error`: the worker is gone. */
  fail(error: TramontaneError): void {
    this.#failure ??= error;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }

  async call<Name extends keyof Calls & string>(
    name: Name,
    input: Calls[Name]['input'],
    { signal, onProgress }: LoadCallOptions = {},
  ): Promise<Calls[Name]['output']> {
    signal?.throwIfAborted();
    const id = this.createId();
    const abort = () => this.abort(id, signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      // The union of messages is built from the same map, which TypeScript cannot see through a generic name.
      const message = { kind: 'call', id, name, input } as CallMessage<Calls>;
      return await this.wait<Calls[Name]['output']>(id, () => this.#send(message), onProgress);
    } catch (error) {
      throw this.explain(error, signal);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  createId(): number {
    return this.#nextId++;
  }

  /** The caller's own reason after an abort: structured cloning would have lost its identity. */
  explain(error: unknown, signal: AbortSignal | undefined): unknown {
    return signal?.aborted === true && this.#failure === null ? signal.reason : error;
  }

  /** Sends by `start`, and waits for what {@link settle} or {@link receive} gets for `id`. */
  wait<T>(id: number, start: () => void, onProgress?: (progress: Progress) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      assert(!this.#pending.has(id), `call ${id} waits twice`);
      this.#pending.set(id, { resolve: resolve as (value: unknown) => void, reject, onProgress });
      start();
    });
  }

  abort(id: number, reason: unknown): void {
    this.#send({ kind: 'abort', id, reason: toWireError(reason) });
  }

  receive(message: CallAnswer): void {
    switch (message.kind) {
      case 'ready':
        return;
      case 'progress':
        this.#pending.get(message.id)?.onProgress?.(message.progress);
        return;
      case 'result':
        this.settle(message.id, message.output);
        return;
      case 'error':
        this.#take(message.id)?.reject(fromWireError(message.error));
    }
  }

  settle(id: number, value: unknown): void {
    this.#take(id)?.resolve(value);
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}
