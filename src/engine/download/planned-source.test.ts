import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { TramontaneError } from '../../base/errors.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import { type ByteRange, createPlannedSource, type PlannedSourceOptions } from './planned-source.ts';
import { openRemoteFile } from './remote-file.ts';

const PATH = '/model.gguf';
/** Comes with the first answer; plans begin after it, so that every byte is counted. */
const HEAD_BYTES = 1 << 20;
const PIECE = 64 << 10;
const LENGTH = HEAD_BYTES + 20 * PIECE;
const random = createRandom(11);
const contents = Uint8Array.from({ length: LENGTH }, () => random() * 256);
const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const range = (offset: number, byteLength: number): ByteRange => ({
  offset: HEAD_BYTES + offset,
  byteLength,
});
const REST = range(0, 20 * PIECE);

let server: HostileServer;
beforeEach(async () => {
  server = await startHostileServer(new Map([[PATH, contents]]));
});
afterEach(() => server.close());

async function open(options: PlannedSourceOptions = {}) {
  const clock = createTestClock();
  const file = await openRemoteFile(new URL(PATH, server.url).href, { clock });
  server.answers.length = 0;
  return createPlannedSource(file, { pieceBytes: PIECE, windowBytes: 6 * PIECE, ...options });
}

const openJournal = (store: MemoryWeightStore) => store.openJournal('m', PATH, 'this state');

async function readAndCompare(source: Awaited<ReturnType<typeof open>>, ranges: readonly ByteRange[]) {
  for (const { offset, byteLength } of ranges) {
    const bytes = await source.read(offset, byteLength);
    expect(equal(bytes, contents.subarray(offset, offset + byteLength))).toBe(true);
  }
}

test('a plan is read in its order, each byte fetched once, ahead of the reader and within the window', async () => {
  const source = await open();
  // Neighbours, a jump back, ranges longer and shorter than a piece.
  const plan = [
    range(8 * PIECE, 1000),
    range(8 * PIECE + 1000, 3 * PIECE),
    range(10, 5 * PIECE),
    range(19 * PIECE, PIECE),
    range(6 * PIECE, 7),
  ];
  const planned = plan.reduce((sum, { byteLength }) => sum + byteLength, 0);
  source.expect(plan);
  await expect.poll(() => server.sentBytes()).toBeGreaterThan(4 * PIECE);
  expect(server.sentBytes()).toBeLessThanOrEqual(6 * PIECE);
  // What is expected may be read in smaller bites.
  await readAndCompare(source, [range(8 * PIECE, 400), range(8 * PIECE + 400, 600), ...plan.slice(1)]);
  expect(server.sentBytes()).toBe(planned);
  expect(source.counts).toEqual({ fetched: planned, fromJournal: 0 });
  await source.close();
});

test('the window is one of memory: pieces that do not fill theirs count as if they did', async () => {
  const source = await open({ windowBytes: 3 * PIECE });
  // Every second half: no two are neighbours.
  const halves = Array.from({ length: 8 }, (_, index) => range(index * PIECE, PIECE / 2));
  source.expect(halves);
  await expect.poll(() => server.sentBytes()).toBe(1.5 * PIECE);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(server.answers).toHaveLength(3);
  await readAndCompare(source, halves);
  await source.close();
});

test('closing keeps quiet about a journal that cannot be written: whoever closes has a failure of their own', async () => {
  const journal = openJournal(new MemoryWeightStore());
  journal.write = async () => {
    throw new TramontaneError('storage-failed', 'The disk is gone.');
  };
  const source = await open({ journal });
  server.setFaults([{ kind: 'stall', path: PATH, times: 9 }]);
  source.expect([REST]);
  await expect.poll(() => server.sentBytes()).toBeGreaterThan(PIECE);
  await source.close();
});

test('short pieces do not take the room of long ones', async () => {
  const source = await open({ windowBytes: 2 * PIECE });
  const plan = [range(0, 100), range(PIECE, 100), range(2 * PIECE, 100), range(3 * PIECE, PIECE)];
  source.expect(plan);
  await expect.poll(() => server.answers.length).toBe(4);
  await readAndCompare(source, plan);
  await source.close();
});

test('what was not expected is read besides, and a reader that skips does not wait for ever', async () => {
  const source = await open({ windowBytes: 2 * PIECE });
  source.expect([range(0, 8 * PIECE)]);
  await readAndCompare(source, [
    range(7 * PIECE, 100),
    range(12 * PIECE, 100),
    range(7 * PIECE + 200, 2 * PIECE),
  ]);
  await readAndCompare(source, [range(0, PIECE)]);
  await source.close();
});

test('an import that is aborted loses nothing: the rest is fetched, no more', async () => {
  const store = new MemoryWeightStore();
  const controller = new AbortController();
  let received = 0;
  const source = await open({
    journal: openJournal(store),
    signal: controller.signal,
    onBytes: (byteLength) => {
      received += byteLength;
      if (received > 3.5 * PIECE) setTimeout(() => controller.abort(new Error('stop')));
    },
  });
  server.setFaults([{ kind: 'stall', path: PATH, after: 2 }]);
  source.expect([REST]);
  await expect(readAndCompare(source, [REST])).rejects.toThrow('stop');
  await source.close();
  expect(await store.countJournalled('m')).toBe(source.counts.fetched);
  const fetched = source.counts.fetched;
  expect(fetched).toBeGreaterThan(3.5 * PIECE);

  server.setFaults([]);
  const again = await open({ journal: openJournal(store) });
  again.expect([REST]);
  await readAndCompare(again, [REST]);
  expect(again.counts).toEqual({ fetched: REST.byteLength - fetched, fromJournal: fetched });
  expect(server.sentBytes()).toBe(REST.byteLength - fetched);
  await again.close();
});

test('a tab that is killed loses the pieces that were on their way', async () => {
  const store = new MemoryWeightStore();
  const killed = await open({ journal: openJournal(store), connections: 2 });
  killed.expect([REST]);
  await readAndCompare(killed, [range(0, 10 * PIECE)]);
  const kept = await store.countJournalled('m');
  expect(killed.counts.fetched - kept).toBeLessThanOrEqual(2 * PIECE);
  // Gone without a farewell: nothing of it writes any more.
  const copy = new MemoryWeightStore();
  for (const entry of await openJournal(store).list()) {
    await openJournal(copy).write(entry.offset, (await openJournal(store).read(entry))!);
  }
  await killed.close();

  const again = await open({ journal: openJournal(copy) });
  again.expect([REST]);
  await readAndCompare(again, [REST]);
  expect(again.counts.fromJournal).toBeGreaterThanOrEqual(kept);
  expect(again.counts.fetched + again.counts.fromJournal).toBe(REST.byteLength);
  await again.close();
});

test('the journal of what is stored is forgotten, that of what is not stays', async () => {
  const store = new MemoryWeightStore();
  const source = await open({ journal: openJournal(store), windowBytes: 4 * PIECE });
  // Two shards, whose border lies in the middle of a piece.
  const first = [range(0, 2 * PIECE), range(2 * PIECE, 100)];
  const second = [range(2 * PIECE + 100, 3 * PIECE)];
  source.expect([...first, ...second]);
  await readAndCompare(source, [...first, ...second]);
  await expect.poll(() => store.countJournalled('m')).toBe(5 * PIECE + 100);
  await source.forgetJournal(first);
  expect(await store.countJournalled('m')).toBe(3 * PIECE + 100);
  await source.forgetJournal(second);
  expect(await store.countJournalled('m')).toBe(0);
  await source.close();
  expect(await store.countJournalled('m')).toBe(0);
});

test('what is expected again comes from the journal, also while that is being written', async () => {
  const journal = openJournal(new MemoryWeightStore());
  const write = journal.write.bind(journal);
  journal.write = async (...args) => {
    await write(...args);
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  const source = await open({ journal });
  const plan = [range(100, 3 * PIECE)];
  for (let times = 0; times < 2; times++) {
    source.expect(plan);
    await readAndCompare(source, plan);
  }
  expect(source.counts).toEqual({ fetched: 3 * PIECE, fromJournal: 3 * PIECE });
  await source.close();
});

test('what is distrusted is fetched again and journalled again, and nothing else is', async () => {
  const store = new MemoryWeightStore();
  const source = await open({ journal: openJournal(store), journalBytes: PIECE / 2 });
  const plan = [range(0, 4 * PIECE)];
  source.expect(plan);
  await readAndCompare(source, plan);
  const wrong = [range(PIECE, 10)];
  await source.distrustJournal(wrong);
  source.expect(plan);
  await readAndCompare(source, plan);
  expect(source.counts.fetched).toBeGreaterThan(4 * PIECE);
  expect(source.counts.fetched).toBeLessThanOrEqual(5 * PIECE);
  await source.close();
  expect(await store.countJournalled('m')).toBe(4 * PIECE);
});

test('a server that fails for good fails the read that needs it, and what came before is kept', async () => {
  const store = new MemoryWeightStore();
  const source = await open({ journal: openJournal(store), connections: 1 });
  server.setFaults([{ kind: 'status', path: PATH, status: 404, after: 3, times: 99 }]);
  source.expect([REST]);
  await readAndCompare(source, [range(0, PIECE)]);
  await expect(readAndCompare(source, [range(PIECE, 10 * PIECE)])).rejects.toMatchObject({
    code: 'download-failed',
    data: { status: 404 },
  });
  await source.close();
  expect(await store.countJournalled('m')).toBe(3 * PIECE);
});

test('where there is no room for a journal the import goes on without; other failures end it', async () => {
  const store = new MemoryWeightStore();
  const journal = openJournal(store);
  journal.write = async () => {
    throw new TramontaneError('storage-quota', 'full');
  };
  const source = await open({ journal });
  source.expect([REST]);
  await readAndCompare(source, [REST]);
  await source.forgetJournal([REST]);
  await source.close();

  const broken = openJournal(store);
  broken.write = async () => {
    throw new TramontaneError('storage-failed', 'broken');
  };
  const other = await open({ journal: broken, connections: 1 });
  other.expect([REST]);
  await expect(readAndCompare(other, [REST])).rejects.toMatchObject({ code: 'storage-failed' });
});

test('random plans over a server that fails now and then', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const draw = createRandom(seed);
    const store = new MemoryWeightStore();
    const plan: ByteRange[] = [];
    for (let at = 0; at < 19 * PIECE; ) {
      const byteLength = 1 + Math.floor(draw() * (draw() < 0.3 ? 200 : 2 * PIECE));
      plan.push(range(at, Math.min(byteLength, 20 * PIECE - at)));
      at += byteLength + (draw() < 0.3 ? Math.floor(draw() * 1000) : 0);
    }
    // Tensors are not planned in the order of the file.
    plan.sort(() => draw() - 0.5);
    const source = await open({
      journal: openJournal(store),
      windowBytes: Math.ceil(draw() * 8) * PIECE,
      connections: Math.ceil(draw() * 4),
    });
    const kinds = ['cut', 'reset', 'short', 'status'] as const;
    server.setFaults(
      kinds.map((kind) => ({ kind, path: PATH, status: 503, at: draw(), after: Math.floor(draw() * 10) })),
    );
    source.expect(plan);
    await readAndCompare(source, plan);
    expect(source.counts.fetched).toBe(plan.reduce((sum, { byteLength }) => sum + byteLength, 0));
    await source.forgetJournal(plan);
    await source.close();
    expect(await store.countJournalled('m')).toBe(0);
  }
});
