/**
 * Runs a task at most once per animation frame. Hidden pages get no frames; there it runs after a short while, so that
 * a finished answer does not wait for the person to come back.
 */
const HIDDEN_DELAY_MS = 250;

export class FrameScheduler {
  readonly #task: () => void;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(task: () => void) {
    this.#task = task;
  }

  schedule(): void {
    if (this.#timer !== undefined) return;
    this.#frame = requestAnimationFrame(this.#run);
    this.#timer = setTimeout(this.#run, HIDDEN_DELAY_MS);
  }

  /** Runs the task now if it was due. */
  flush(): void {
    if (this.#timer !== undefined) this.#run();
  }

  cancel(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #run = (): void => {
    this.cancel();
    this.#task();
  };
}
