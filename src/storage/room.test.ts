/** The search, on a file system with a limit of its own; what a browser's does is in room.browser.test.ts. */
import { afterEach, expect, test, vi } from 'vitest';
import { withModelLock } from './model-lock.ts';
import { estimateStorage, requireRoom } from './quota.ts';
import { hasRoom, MOST_ROOM_BYTES, measureRoom } from './room.ts';

const GIB = 2 ** 30;
const TOLD_TO_ALL = 10 * GIB;

/** Files of a file system that holds so many bytes; `held`: the most that was asked for at once. */
function diskOf(limit: () => number, left: string[] = []) {
  const names = new Set(left);
  const disk = { names, most: 0 };
  const file = {
    createWritable: async () => ({
      truncate: async (byteLength: number) => {
        if (byteLength > limit()) throw new DOMException('No room.', 'QuotaExceededError');
        disk.most = Math.max(disk.most, byteLength);
      },
      abort: async () => undefined,
    }),
  };
  const directory = {
    getFileHandle: async (name: string) => {
      names.add(name);
      return file;
    },
    removeEntry: async (name: string) => void names.delete(name),
    keys: async function* () {
      yield* [...names];
    },
  };
  vi.stubGlobal('navigator', {
    locks: {
      request: (_: string, __: object, action: () => unknown) => action(),
      query: async () => ({ held: [] }),
    },
    storage: {
      getDirectory: async () => directory,
      estimate: async () => ({ usage: 5 * GIB, quota: 5 * GIB + TOLD_TO_ALL }),
    },
  });
  return disk;
}
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test.each([2, 3, 5.7, 14.4, 31.99, 63.9])('%d GiB are found, but for a 256th', async (gib) => {
  const disk = diskOf(() => gib * GIB);
  const room = (await measureRoom())!;
  expect(room).toBeLessThanOrEqual(gib * GIB);
  expect(room).toBeGreaterThan(gib * GIB * (1 - 1 / 256));
  expect([...disk.names]).toEqual([]);
});

test('less than 2 GiB is not looked for, and more than 64 GiB neither', async () => {
  const small = diskOf(() => 1.9 * GIB);
  expect(await measureRoom()).toBeNull();
  expect(small.most).toBe(0);
  const large = diskOf(() => 900 * GIB);
  expect(await measureRoom()).toBe(MOST_ROOM_BYTES);
  expect(large.most).toBe(MOST_ROOM_BYTES);
});

test('what a browser tells every page is replaced by what was found', async () => {
  diskOf(() => 30 * GIB);
  const { usedBytes, quotaBytes, isLeast } = (await estimateStorage())!;
  expect(quotaBytes - usedBytes).toBeGreaterThan(29.8 * GIB);
  expect(isLeast).toBeUndefined();
  diskOf(() => 900 * GIB);
  expect(await estimateStorage()).toEqual({ usedBytes: 5 * GIB, quotaBytes: 69 * GIB, isLeast: true });
});

test('what a killed browser left is removed, and nothing else', async () => {
  const disk = diskOf(() => 5 * GIB, ['tramontane-room.crswap', 'notes']);
  expect(await hasRoom(GIB)).toBe(true);
  expect([...disk.names]).toEqual(['notes']);
});

test('what does not fit is refused when what was deleted just now has had time to go', async () => {
  vi.useFakeTimers();
  let free = 3 * GIB;
  diskOf(() => free);
  const outcome = requireRoom(4 * GIB).then(
    () => 'fits',
    ({ code }) => code,
  );
  await vi.advanceTimersByTimeAsync(4000);
  free = 5 * GIB;
  await vi.advanceTimersByTimeAsync(1500);
  expect(await outcome).toBe('fits');

  const refused = requireRoom(6 * GIB);
  refused.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(20_000);
  await expect(refused).rejects.toMatchObject({ code: 'storage-quota', data: { needed: 6 * GIB } });

  const controller = new AbortController();
  const aborted = requireRoom(6 * GIB, controller.signal);
  aborted.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(1500);
  const reason = new Error('enough');
  controller.abort(reason);
  await expect(aborted).rejects.toBe(reason);
});

test('a lock that nobody gives back, or a file system that hangs, leaves it open; an abort ends the wait', async () => {
  vi.useFakeTimers();
  diskOf(() => 30 * GIB);
  const never = () => new Promise<never>(() => {});
  Object.assign(navigator.locks, { request: never });
  // Node's own timeouts are no timers that can be faked.
  vi.spyOn(AbortSignal, 'timeout').mockImplementation((milliseconds) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException('Too long.', 'TimeoutError')), milliseconds);
    return controller.signal;
  });
  const measuring = measureRoom();
  await vi.advanceTimersByTimeAsync(5000);
  expect(await measuring).toBeNull();

  const controller = new AbortController();
  const asking = hasRoom(GIB, controller.signal);
  asking.catch(() => undefined);
  const reason = new Error('enough');
  controller.abort(reason);
  await expect(asking).rejects.toBe(reason);
  vi.restoreAllMocks();
});

test('a browser without such a file system leaves it open', async () => {
  vi.stubGlobal('navigator', { storage: {} });
  expect(await hasRoom(GIB)).toBeNull();
  expect(await measureRoom()).toBeNull();
  await withModelLock('one', {}, async () => expect(await hasRoom(GIB)).toBeNull());
});
