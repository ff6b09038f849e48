/**
 * When a request is worth another try, and how long to wait before it. Time and chance are injected, so that tests need
 * neither.
 */
import { delay } from '../../base/abort.ts';
import type { TramontaneError } from '../../base/errors.ts';

export interface RetryClock {
  /** Unix milliseconds. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  delay(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: RetryClock = { now: Date.now, random: Math.random, delay };

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 20_000;
/** A server that asks for more patience than this is asked again all the same: people can cancel. */
const MAX_RETRY_AFTER_MS = 120_000;

/** Request timeout, too early, too many requests, and the server's own troubles: they may pass. Other 4xx will not. */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Reads a Retry-After header: seconds, or an HTTP date (RFC 9110, 10.2.3).
 * @returns milliseconds from now, at least 0; null for a value that is neither
 */
export function parseRetryAfter(value: string | null, nowMs: number): number | null {
  if (value === null) return null;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  // `Date.parse` takes more than HTTP dates, even single numbers with a sign.
  const date = /[a-z]{3}/i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

/**
 * Doubles with each failure in a row; what the server asks for is honoured where it is longer.
 * @param failures in a row, from 1
 * @param random in [0, 1): clients that failed together do not come back together
 */
export function retryDelayMs(failures: number, retryAfterMs: number | null, random: number): number {
  const backoff = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1)) * (0.5 + random);
  return Math.max(backoff, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
}

/** A failure that another try may not have. */
export class TransientFailure extends Error {
  override name = 'TransientFailure';
  /** What the caller gets if it does not pass. */
  readonly error: TramontaneError;
  readonly retryAfterMs: number | null;

  constructor(error: TramontaneError, retryAfterMs: number | null = null) {
    super(error.message, { cause: error });
    this.error = error;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface RetryOptions {
  signal?: AbortSignal | undefined;
  clock?: RetryClock | undefined;
  /** Failures in a row before giving up. */
  attempts: number;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or has failed too often in a row.
 * @param attempt calls `progressed` where it got so far that failures before count no more
 * @throws what `attempt` throws, the error of the last TransientFailure, or `signal.reason`
 */
export async function withRetries<T>(
  { signal, clock = systemClock, attempts }: RetryOptions,
  attempt: (progressed: () => void) => Promise<T>,
): Promise<T> {
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await attempt(() => {
        failures = 0;
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TransientFailure)) throw error;
      failures++;
      if (failures >= attempts) throw error.error;
      await clock.delay(retryDelayMs(failures, error.retryAfterMs, clock.random()), signal);
    }
  }
}
