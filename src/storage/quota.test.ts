import { afterEach, expect, test, vi } from 'vitest';
import { estimateStorage, requireRoom } from './quota.ts';

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
