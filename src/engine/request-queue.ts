/** One GPU, one conversation at a time: callers wait in order of arrival, and one that gives up leaves the queue. */

export class RequestQueue {
  #busy = false;
  readonly #waiting: (() => void)[] = [];

  /** @returns a function that lets the next caller in. Rejects with the signal's reason if it aborts while waiting. */
  acquire(signal?: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const enter = () => {
        signal?.removeEventListener('abort', leave);
        this.#busy = true;
        let released = false;
        resolve(() => {
          if (released) return;
          released = true;
          this.#busy = false;
          this.#waiting.shift()?.();
        });
      };
      const leave = () => {
        const index = this.#waiting.indexOf(enter);
        if (index >= 0) this.#waiting.splice(index, 1);
        reject(signal?.reason);
      };
      if (!this.#busy && this.#waiting.length === 0) {
        enter();
        return;
      }
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(enter);
    });
  }
}
