import { expect, test } from 'vitest';
import { TramontaneError } from '../../base/errors.ts';
import {
  isTransientStatus,
  parseRetryAfter,
  type RetryClock,
  retryDelayMs,
  TransientFailure,
  withRetries,
} from './retry.ts';

const NOW = Date.UTC(2026, 0, 1, 12);

test.each([
  ['7', 7000],
  [' 0 ', 0],
  ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  [null, null],
  ['', null],
  ['soon', null],
  ['-5', null],
  ['1.5', null],
])('Retry-After %j is %j ms', (value, expected) => {
  expect(parseRetryAfter(value, NOW)).toBe(expected);
});

test('delays double up to a limit, vary by half, and honour what the server asks for, within reason', () => {
  expect([1, 2, 3, 4].map((failures) => retryDelayMs(failures, null, 0.5))).toEqual([500, 1000, 2000, 4000]);
  expect(retryDelayMs(60, null, 0.5)).toBe(20_000);
  expect([retryDelayMs(1, null, 0), retryDelayMs(1, null, 0.999)].map(Math.round)).toEqual([250, 750]);
  expect(retryDelayMs(1, 7000, 0.5)).toBe(7000);
  expect(retryDelayMs(5, 100, 0.5)).toBe(8000);
  expect(retryDelayMs(1, 86_400_000, 0.5)).toBe(120_000);
});

test('what may pass is told from what will not', () => {
  expect(
    [200, 301, 400, 401, 403, 404, 408, 410, 416, 425, 429, 500, 502, 503, 504].filter(isTransientStatus),
  ).toEqual([408, 425, 429, 500, 502, 503, 504]);
});

function testClock(): RetryClock & { waits: number[] } {
  const waits: number[] = [];
  return {
    waits,
    now: () => NOW,
    random: () => 0.5,
    async delay(milliseconds) {
      waits.push(milliseconds);
    },
  };
}

const transient = (retryAfterMs: number | null = null) =>
  new TransientFailure(new TramontaneError('download-failed', 'busy'), retryAfterMs);

test('gives up after failures in a row, with the error of the last', async () => {
  const clock = testClock();
  let calls = 0;
  const failing = withRetries({ clock, attempts: 4 }, async () => {
    calls++;
    throw transient(calls === 2 ? 9000 : null);
  });
  await expect(failing).rejects.toMatchObject({ code: 'download-failed', message: 'busy' });
  expect(calls).toBe(4);
  expect(clock.waits).toEqual([500, 9000, 2000]);
});

test('progress forgives failures before it; failures that stay are not tried again', async () => {
  const clock = testClock();
  let calls = 0;
  const result = await withRetries({ clock, attempts: 3 }, async (progressed) => {
    calls++;
    if (calls % 2 === 0) progressed();
    if (calls < 9) throw transient();
    return calls;
  });
  expect(result).toBe(9);
  const final = new TramontaneError('source-changed', 'changed');
  await expect(
    withRetries({ clock, attempts: 3 }, async () => {
      throw final;
    }),
  ).rejects.toBe(final);
});

test('an abort ends the waiting', async () => {
  const controller = new AbortController();
  const reason = new Error('stop');
  const waiting = withRetries({ signal: controller.signal, attempts: 3 }, async () => {
    throw transient(60_000);
  });
  setTimeout(() => controller.abort(reason), 5);
  await expect(waiting).rejects.toBe(reason);
});
