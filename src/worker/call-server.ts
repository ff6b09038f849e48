/** The worker's side of calls: runs what it is asked, and answers once with a result or an error. */
import { fromWireError, TramontaneError, toWireError } from '../base/errors.ts';
import type { Progress } from '../engine/api.ts';
import type { CallAnswer, CallMap, CallMessage } from './protocol.ts';

export type Call<Calls extends CallMap<keyof Calls & string>> = Extract<CallMessage<Calls>, { kind: 'call' }>;

/** What a call may use besides its input; fits the options of every method that can be aborted or reports progress. */
export interface CallContext {
  signal: AbortSignal;
  onProgress(progress: Progress): void;
}

export interface CallServerOptions<Calls extends CallMap<keyof Calls & string>> {
  send(message: CallAnswer): void;
  run(call: Call<Calls>, context: CallContext): Promise<unknown>;
  /** Called when a call has ended, before its answer is sent. */
  onEnd?(id: number): void;
}

export class CallServer<Calls extends CallMap<keyof Calls & string>> {
  readonly #options: CallServerOptions<Calls>;
  readonly #running = new Map<number, AbortController>();

  constructor(options: CallServerOptions<Calls>) {
    this.#options = options;
  }

  /** Takes a message of the protocol; one that is none gets an error, if it has an id. */
  receive(message: CallMessage<Calls>): void {
    switch (message.kind) {
      case 'call':
        void this.#run(message);
        return;
      case 'abort':
        this.#running.get(message.id)?.abort(fromWireError(message.reason));
        return;
      default:
        this.#refuse(message);
    }
  }

  /** Something with this id begins, whose signal an abort message will abort. */
  begin(id: number): CallContext {
    const controller = new AbortController();
    this.#running.set(id, controller);
    return {
      signal: controller.signal,
      onProgress: (progress) => this.#options.send({ kind: 'progress', id, progress }),
    };
  }

  end(id: number): void {
    this.#running.delete(id);
    this.#options.onEnd?.(id);
  }

  fail(id: number, error: unknown): void {
    this.end(id);
    this.#options.send({ kind: 'error', id, error: toWireError(error) });
  }

  async #run(call: Call<Calls>): Promise<void> {
    const { id } = call;
    try {
      const output = await this.#options.run(call, this.begin(id));
      this.end(id);
      this.#options.send({ kind: 'result', id, output });
    } catch (error) {
      this.fail(id, error);
    }
  }

  #refuse(message: { id?: unknown }): void {
    if (typeof message.id !== 'number') return;
    const error = new TramontaneError('protocol-invalid', 'The worker got a message it does not know.', {
      nextStep: 'Reload the page: it and its worker are of different versions.',
    });
    this.#options.send({ kind: 'error', id: message.id, error: toWireError(error) });
  }
}
