/** A clock for tests of retries: nobody waits, and chance comes from a seed. */
import type { RetryClock } from '../../src/engine/download/retry.ts';
import { createRandom } from './random.ts';

export interface TestClock extends RetryClock {
  /** What would have been waited for, in milliseconds. */
  waits: number[];
}

export function createTestClock(seed = 1): TestClock {
  const waits: number[] = [];
  let now = Date.UTC(2026, 0, 1);
  return {
    waits,
    now: () => now,
    random: createRandom(seed),
    async delay(milliseconds, signal) {
      signal?.throwIfAborted();
      waits.push(milliseconds);
      now += milliseconds;
    },
  };
}
