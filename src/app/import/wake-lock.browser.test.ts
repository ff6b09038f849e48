import { afterEach, expect, test, vi } from 'vitest';
import { holdWakeLock } from './wake-lock.ts';

/** As the browser keeps it: taken away when the page is hidden. */
function stubWakeLock(request?: () => Promise<never>) {
  const sentinels: { released: boolean; release(): Promise<void> }[] = [];
  const wakeLock = {
    async request(type: string) {
      expect(type).toBe('screen');
      await request?.();
      const sentinel = {
        released: false,
        async release() {
          sentinel.released = true;
        },
      };
      sentinels.push(sentinel);
      return sentinel;
    },
  };
  vi.spyOn(navigator, 'wakeLock', 'get').mockReturnValue(wakeLock as unknown as WakeLock);
  return sentinels;
}

function setVisibility(state: DocumentVisibilityState): void {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state);
  document.dispatchEvent(new Event('visibilitychange'));
}

afterEach(() => {
  vi.restoreAllMocks();
});

test('is asked for again when the page is seen again, and let go at the end', async () => {
  const sentinels = stubWakeLock();
  const done = new AbortController();
  holdWakeLock(done.signal);
  await expect.poll(() => sentinels.length).toBe(1);
  setVisibility('hidden');
  await sentinels[0]!.release();
  setVisibility('visible');
  await expect.poll(() => sentinels.length).toBe(2);
  // One that is still held is enough.
  setVisibility('visible');
  done.abort();
  await expect.poll(() => sentinels.map(({ released }) => released)).toEqual([true, true]);
  setVisibility('visible');
  await Promise.resolve();
  expect(sentinels).toHaveLength(2);
});

test('one that arrives when it is no longer needed is let go', async () => {
  let grant = (): void => {};
  const granted = new Promise<void>((resolve) => {
    grant = resolve;
  });
  const sentinels = stubWakeLock(() => granted as Promise<never>);
  const done = new AbortController();
  holdWakeLock(done.signal);
  done.abort();
  grant();
  await expect.poll(() => sentinels.map(({ released }) => released)).toEqual([true]);
});

test('a refusal, or no such API, is no failure', async () => {
  const refused = vi.fn(() => Promise.reject(new DOMException('Battery saver.', 'NotAllowedError')));
  stubWakeLock(refused);
  const done = new AbortController();
  holdWakeLock(done.signal);
  await expect.poll(() => refused.mock.calls.length).toBe(1);
  setVisibility('visible');
  await expect.poll(() => refused.mock.calls.length).toBe(2);
  done.abort();
  vi.spyOn(navigator, 'wakeLock', 'get').mockReturnValue(undefined as unknown as WakeLock);
  expect(() => holdWakeLock(new AbortController().signal)).not.toThrow();
});
