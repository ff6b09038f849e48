/** Shards on a server, compared with their checksums over a journal: one of them too large to be held. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import { type ByteRange, createPlannedSource, type PlannedSource } from '../download/planned-source.ts';
import { joinRemoteFiles, openRemoteFile } from '../download/remote-file.ts';
import { checkShards } from './checked-shards.ts';
import type { JournalledSource, WeightSource } from './opened-source.ts';

const PIECE = 32 << 10;
/** Shards over half of it are large, and cut where pieces are. */
const HELD_BYTES = 12 * PIECE;
const LARGE = 20 * PIECE + 100;
const random = createRandom(17);
/** What is stored first, quants and their scales, a tensor, and another. */
const contents = [3 * PIECE + 1, LARGE, 2 * PIECE, 700].map((byteLength) =>
  Uint8Array.from({ length: byteLength }, () => random() * 256),
);
const all = Buffer.concat(contents);
const shards = contents.map((bytes, i) => ({
  name: `shard-${i}`,
  byteLength: bytes.byteLength,
  sha256: null,
  md5: createHash('md5').update(bytes).digest('hex'),
}));
const [LARGE_START, SCALES_START] = [shards[0]!.byteLength, shards[0]!.byteLength + LARGE];
const PATH = '/shard-1';

/** As an import reads: quants and scales of one part of a tensor, then of the next. */
const FIRST: ByteRange[] = [
  { offset: 0, byteLength: LARGE_START },
  ...bites(LARGE_START, 10 * PIECE),
  { offset: SCALES_START, byteLength: PIECE },
];
const SECOND: ByteRange[] = [
  ...bites(LARGE_START + 10 * PIECE, LARGE - 10 * PIECE),
  { offset: SCALES_START + PIECE, byteLength: PIECE + 700 },
];
const PLAN = [...FIRST, ...SECOND];

function bites(offset: number, byteLength: number): ByteRange[] {
  const step = 1.5 * PIECE;
  return Array.from({ length: Math.ceil(byteLength / step) }, (_, i) => ({
    offset: offset + i * step,
    byteLength: Math.min(step, byteLength - i * step),
  }));
}

let server: HostileServer;
let store: MemoryWeightStore;
beforeEach(async () => {
  server = await startHostileServer(new Map(contents.map((bytes, i) => [`/shard-${i}`, bytes])));
  store = new MemoryWeightStore();
});
afterEach(() => server.close());

const openJournal = () => store.openJournal('m', server.url, 'this state');

async function open(journal = true, signal?: AbortSignal) {
  const clock = createTestClock();
  const files = [];
  for (const { name } of shards)
    files.push(await openRemoteFile(new URL(name, server.url).href, { clock }, 1));
  server.answers.length = 0;
  const planned = createPlannedSource(joinRemoteFiles(files), {
    pieceBytes: PIECE,
    windowBytes: 5 * PIECE,
    journalBytes: PIECE / 4,
    journal: journal ? openJournal() : undefined,
    signal,
  });
  const most = { bytes: 0 };
  return { planned, most, weights: checkShards(recordLongest(planned, most), shards, HELD_BYTES) };
}

function recordLongest(source: PlannedSource, most: { bytes: number }): JournalledSource {
  return {
    byteLength: source.byteLength,
    read: (...args) => source.read(...args),
    readInto: (offset, target, signal) => {
      most.bytes = Math.max(most.bytes, target.buffer.byteLength);
      return source.readInto!(offset, target, signal);
    },
    expect: (ranges) => source.expect(ranges),
    forgetJournal: (ranges) => source.forgetJournal(ranges),
    distrustJournal: (ranges) => source.distrustJournal(ranges),
    close: () => source.close(),
  };
}

async function readAndCompare(weights: WeightSource, ranges: readonly ByteRange[]): Promise<void> {
  for (const { offset, byteLength } of ranges) {
    const bytes = await weights.read(offset, byteLength);
    expect(all.subarray(offset, offset + byteLength).equals(bytes), `${offset}`).toBe(true);
  }
}

const sumOf = (ranges: readonly ByteRange[]) => ranges.reduce((sum, range) => sum + range.byteLength, 0);

test('a large shard is read twice and fetched once', async () => {
  const { planned, weights, most } = await open();
  weights.expect(PLAN);
  await readAndCompare(weights, FIRST);
  await weights.forgetJournal(FIRST);
  // Of the large shard, all is kept until all of it is stored.
  expect(await store.countJournalled('m')).toBeGreaterThanOrEqual(LARGE);
  await readAndCompare(weights, SECOND);
  expect(planned.counts.fetched).toBe(all.byteLength);
  expect(most.bytes).toBeLessThanOrEqual(4 * PIECE);
  await weights.forgetJournal(SECOND);
  await weights.close();
  expect(await store.countJournalled('m')).toBe(0);
});

test('what arrived wrong is fetched again, the shard it is in and no other', async () => {
  server.setFaults([{ kind: 'flip', path: PATH, after: 9 }]);
  const { planned, weights } = await open();
  weights.expect(PLAN);
  await readAndCompare(weights, PLAN);
  expect(planned.counts.fetched).toBe(all.byteLength + LARGE);
  await weights.close();
});

test('what stays wrong is refused by name; nothing of it is used, and what is right later is taken', async () => {
  server.setFaults([{ kind: 'flip', path: PATH, times: 999 }]);
  const { weights } = await open();
  weights.expect(PLAN);
  await readAndCompare(weights, FIRST.slice(0, 1));
  await expect(weights.read(LARGE_START, 1)).rejects.toMatchObject({
    code: 'shard-altered',
    data: { file: 'shard-1' },
  });
  await weights.close();

  server.setFaults([]);
  const again = await open();
  again.weights.expect(PLAN);
  await readAndCompare(again.weights, PLAN);
  await again.weights.close();
});

test('after an interruption, wherever it was, only what is missing is fetched', async () => {
  for (const pieces of [4, 9, 17, 23]) {
    const controller = new AbortController();
    const { planned, weights } = await open(true, controller.signal);
    server.holdAt(pieces * PIECE);
    weights.expect(PLAN);
    const reading = readAndCompare(weights, PLAN);
    reading.catch(() => undefined);
    await expect.poll(() => server.sentBytes(), { interval: 5 }).toBeGreaterThanOrEqual(pieces * PIECE);
    controller.abort(new Error('stop'));
    server.release();
    await expect(reading).rejects.toThrow();
    await weights.close();
    expect(await store.countJournalled('m')).toBe(planned.counts.fetched);

    const again = await open();
    again.weights.expect(PLAN);
    await readAndCompare(again.weights, PLAN);
    expect(again.planned.counts.fetched).toBe(all.byteLength - planned.counts.fetched);
    await again.weights.forgetJournal(PLAN);
    await again.weights.close();
    expect(await store.countJournalled('m')).toBe(0);
  }
});

test('when part of a large shard was stored before, it is compared whole all the same, from the journal', async () => {
  const { weights } = await open();
  weights.expect(PLAN);
  await readAndCompare(weights, FIRST);
  await weights.forgetJournal(FIRST);
  await weights.close();

  const again = await open();
  again.weights.expect(SECOND);
  await readAndCompare(again.weights, SECOND);
  expect(again.planned.counts.fetched).toBeLessThan(sumOf(SECOND) / 2);
  expect(again.planned.counts.fromJournal).toBeGreaterThan(LARGE);
  await again.weights.close();
});

test('a journal that has something else is not believed', async () => {
  const wrong = new Uint8Array(200).fill(255);
  // Where pieces begin: in the middle of the large shard, and across its end.
  await openJournal().write(8 * PIECE, wrong);
  await openJournal().write(23 * PIECE, wrong);
  const { planned, weights } = await open();
  weights.expect(PLAN);
  await readAndCompare(weights, PLAN);
  expect(planned.counts.fetched).toBeGreaterThan(all.byteLength);
  await weights.close();
});

test('without a journal parts are fetched again, and compared with what was compared', async () => {
  // The first requests are those of the comparison.
  server.setFaults([{ kind: 'flip', path: PATH, after: 30 }]);
  const { planned, weights, most } = await open(false);
  weights.expect(PLAN);
  await readAndCompare(weights, PLAN);
  expect(server.answers.filter(({ altered }) => altered)).toHaveLength(1);
  const fetched = all.byteLength + LARGE;
  expect(planned.counts.fetched).toBeGreaterThan(fetched);
  expect(planned.counts.fetched).toBeLessThanOrEqual(fetched + PIECE);
  expect(most.bytes).toBeLessThanOrEqual(4 * PIECE);
  await weights.close();
});

test('a journal that goes while a large shard is read is done without', async () => {
  const { weights } = await open();
  weights.expect(PLAN);
  await readAndCompare(weights, FIRST.slice(0, 3));
  await openJournal().clear();
  await readAndCompare(weights, [...FIRST.slice(3), ...SECOND]);
  await weights.close();
});
