/** On the file system of a real browser, whose profile is temporary. */
import { expect, test } from 'vitest';
import { withModelLock } from './model-lock.ts';
import { hasRoom, measureRoom } from './room.ts';

const names = async () => {
  const found: string[] = [];
  for await (const name of (await navigator.storage.getDirectory()).keys()) found.push(name);
  return found;
};

test('there is room for a megabyte, and none for a petabyte; nothing stays', async () => {
  expect(await hasRoom(1e6)).toBe(true);
  expect(await hasRoom(1e15)).toBe(false);
  expect(await names()).toEqual([]);
});

test('who asks at once, in turn', async () => {
  expect(await Promise.all([1e6, 1e15, 2e6, 2e15].map((byteLength) => hasRoom(byteLength)))).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

test('what is measured may be had', async () => {
  const room = await measureRoom();
  // None in a private window.
  if (room !== null) expect(await hasRoom(room * 0.9)).toBe(true);
  expect(await names()).toEqual([]);
});

test('nobody takes room, for a moment even, from a model that is being stored', async () => {
  await withModelLock('one', {}, async () => {
    expect(await measureRoom()).toBeNull();
    expect(await hasRoom(1e15)).toBe(false);
    await withModelLock('other', {}, async () => expect(await hasRoom(1e15)).toBeNull());
  });
});
