/** Speed and remaining time of a transfer, over a sliding window so that both follow the present rate. */

export interface MeterReading {
  bytes: number;
  totalBytes: number;
  /** 0 while unknown. */
  bytesPerSecond: number;
  /** Null while unknown. */
  etaMs: number | null;
}

const WINDOW_MS = 4000;
const MINIMUM_SPAN_MS = 250;

export class ProgressMeter {
  readonly #totalBytes: number;
  readonly #now: () => number;
  #bytes = 0;
  #samples: { timeMs: number; bytes: number }[];

  /** @param startBytes what was there before this transfer began: counted as done, not as speed. */
  constructor(totalBytes: number, startBytes = 0, now: () => number = () => performance.now()) {
    this.#totalBytes = totalBytes;
    this.#now = now;
    this.#bytes = startBytes;
    this.#samples = [{ timeMs: now(), bytes: startBytes }];
  }

  add(byteLength: number): MeterReading {
    this.#bytes += byteLength;
    const timeMs = this.#now();
    this.#samples.push({ timeMs, bytes: this.#bytes });
    while (this.#samples.length > 2 && this.#samples[0]!.timeMs < timeMs - WINDOW_MS) this.#samples.shift();
    return this.read();
  }

  read(): MeterReading {
    const first = this.#samples[0]!;
    const last = this.#samples[this.#samples.length - 1]!;
    const spanMs = last.timeMs - first.timeMs;
    const bytesPerSecond = spanMs < MINIMUM_SPAN_MS ? 0 : ((last.bytes - first.bytes) / spanMs) * 1000;
    const remaining = Math.max(0, this.#totalBytes - this.#bytes);
    return {
      bytes: this.#bytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond,
      etaMs: bytesPerSecond > 0 ? (remaining / bytesPerSecond) * 1000 : null,
    };
  }
}
