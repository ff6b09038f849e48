import { afterEach, describe, expect, test, vi } from 'vitest';
import { askToPersist, estimateStorage, requireRoom } from './quota.ts';

const GIB = 2 ** 30;

function browserTells(estimate: StorageEstimate | null): void {
  vi.stubGlobal('navigator', estimate === null ? {} : { storage: { estimate: async () => estimate } });
}
afterEach(() => vi.unstubAllGlobals());

test('what a browser tells is compared with what is needed', async () => {
  browserTells({ usage: 3 * GIB, quota: 20 * GIB });
  expect(await estimateStorage()).toEqual({ usedBytes: 3 * GIB, quotaBytes: 20 * GIB });
  await requireRoom(17 * GIB);
  await expect(requireRoom(17 * GIB + 1)).rejects.toMatchObject({
    code: 'storage-quota',
    data: { needed: 17 * GIB + 1, free: 17 * GIB },
  });
});

test.each([
  ['nothing', null],
  ['half of it', { usage: 1 }],
  ['what Chrome tells of every disk of 10 GiB and more', { usage: 123, quota: 123 + 10 * GIB }],
])('nothing is refused where it tells %s', async (_, estimate) => {
  browserTells(estimate);
  expect(await estimateStorage()).toBeNull();
  await requireRoom(14.4e9);
});

describe('asking the browser to keep what is stored', () => {
  const asking = (requestPersistence: () => Promise<boolean>, signal?: AbortSignal) =>
    askToPersist({ requestPersistence }, signal);
  const unanswered = () => new Promise<boolean>(() => {});

  test('ends with its answer, or its failure', async () => {
    await asking(async () => true);
    await asking(() => Promise.reject(new TypeError('No.')));
  });

  test('does not wait for ever', async () => {
    vi.useFakeTimers();
    let ended = false;
    const asked = asking(unanswered).then(() => (ended = true));
    await vi.advanceTimersByTimeAsync(5000);
    expect(ended).toBe(false);
    await vi.advanceTimersByTimeAsync(6000);
    vi.useRealTimers();
    await asked;
  });

  test('can be aborted', async () => {
    const controller = new AbortController();
    const asked = asking(unanswered, controller.signal);
    const reason = new Error('changed my mind');
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
  });
});
