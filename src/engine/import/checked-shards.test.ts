import { createHash } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { createRandom } from '../../../tests/tools/random.ts';
import { memorySource } from '../../formats/byte-source.ts';
import type { ByteRange } from '../download/planned-source.ts';
import { checkShards } from './checked-shards.ts';
import type { MlcShard } from './mlc-model.ts';
import { fileSource, type JournalledSource, localWeights, type WeightSource } from './opened-source.ts';

const LENGTHS = [1000, 10, 700, 500];
const random = createRandom(5);
const contents = Uint8Array.from({ length: 2210 }, () => random() * 256);

function list(kind: 'md5' | 'sha256' | null): MlcShard[] {
  let start = 0;
  return LENGTHS.map((byteLength, i) => {
    const bytes = contents.subarray(start, start + byteLength);
    start += byteLength;
    const hash = kind === null ? null : createHash(kind).update(bytes).digest('hex');
    const sums = { sha256: kind === 'sha256' ? hash : null, md5: kind === 'md5' ? hash : null };
    return { name: `shard-${i}`, byteLength, ...sums };
  });
}

let reads: string[];
let forgotten: ByteRange[];
let distrusted: ByteRange[];
let expected: ByteRange[];
/** Bits that are wrong, and how often. */
let faults: { at: number; after?: number; times: number }[];
/** Memory that shards were read into. */
const buffers = new Set<ArrayBuffer>();

beforeEach(() => {
  [reads, forgotten, distrusted, expected, faults] = [[], [], [], [], []];
  buffers.clear();
});

function source(): JournalledSource {
  const inner = memorySource(contents);
  return {
    byteLength: inner.byteLength,
    read: (offset, length) => inner.read(offset, length),
    async readInto(offset, target, signal) {
      reads.push(`${offset}+${target.byteLength}`);
      buffers.add(target.buffer);
      await inner.readInto!(offset, target, signal);
      for (const fault of faults) {
        const isIn = fault.at >= offset && fault.at < offset + target.byteLength;
        if (isIn && (fault.after ?? 0) === 0 && fault.times-- > 0) target[fault.at - offset]! ^= 1;
        else if (isIn && fault.after) fault.after--;
      }
    },
    expect: (ranges) => expected.push(...ranges),
    forgetJournal: async (ranges) => {
      forgotten.push(...ranges);
    },
    distrustJournal: async (ranges) => {
      distrusted.push(...ranges);
    },
    async close() {},
  };
}

/** In another order than the shards, and across the borders of two. */
const RANGES: ByteRange[] = [
  { offset: 900, byteLength: 150 },
  { offset: 1710, byteLength: 500 },
  { offset: 0, byteLength: 900 },
  { offset: 1050, byteLength: 660 },
];

async function readAll(weights: WeightSource): Promise<void> {
  weights.expect(RANGES);
  for (const { offset, byteLength } of RANGES) {
    const bytes = await weights.read(offset, byteLength);
    expect(Buffer.compare(bytes, contents.subarray(offset, offset + byteLength)), `${offset}`).toBe(0);
  }
}

test.each(['md5', 'sha256'] as const)(
  '%s: each shard is read whole and once, in whatever order',
  async (kind) => {
    const weights = checkShards(source(), list(kind));
    await readAll(weights);
    expect(reads).toEqual(['0+1000', '1000+10', '1010+700', '1710+500']);
    expect(expected.map(({ offset, byteLength }) => `${offset}+${byteLength}`)).toEqual(reads);
    // The journal of a shard is of use until all that is made of it is stored.
    await weights.forgetJournal([RANGES[0]!, RANGES[1]!]);
    expect(forgotten).toEqual([
      { offset: 1000, byteLength: 10 },
      { offset: 1710, byteLength: 500 },
    ]);
  },
);

test('what does not fit in memory is read again, and checked again', async () => {
  await readAll(checkShards(source(), list('md5'), 2000));
  expect(reads).toEqual(['0+1000', '1000+10', '1010+700', '1710+500', '0+1000']);
  expect(expected.at(-1)).toEqual({ offset: 0, byteLength: 1000 });
});

test('shards of about one length are read into the same memory', async () => {
  // Of at most 2100 bytes, 700 are usual: the first is longer, the second short, the third and the fourth are usual.
  const weights = checkShards(source(), list('md5'), 2100);
  const wholes = [0, 1000, 1010, 1710].map((offset, i) => ({ offset, byteLength: LENGTHS[i]! }));
  weights.expect(wholes);
  for (const { offset, byteLength } of wholes) {
    const bytes = await weights.read(offset, byteLength);
    expect(Buffer.compare(bytes, contents.subarray(offset, offset + byteLength)), `${offset}`).toBe(0);
  }
  expect(Array.from(buffers, ({ byteLength }) => byteLength)).toEqual([1000, 10, 700]);
});

test('without checksums it is read by the ranges that are asked for', async () => {
  await readAll(checkShards(source(), list(null)));
  expect(reads).toEqual(['900+100', '1000+10', '1010+40', '1710+500', '0+900', '1050+660']);
});

test('a byte that is wrong once is asked for again, and not taken from a journal', async () => {
  faults = [{ at: 1100, times: 1 }];
  await readAll(checkShards(source(), list('md5')));
  expect(reads.filter((read) => read === '1010+700')).toHaveLength(2);
  expect(distrusted).toEqual([{ offset: 1010, byteLength: 700 }]);
  // For the journal, which is to have it this time.
  expect(expected.at(-1)).toEqual({ offset: 1010, byteLength: 700 });
});

test('a shard that stays wrong is refused by name, and so is the next attempt', async () => {
  faults = [{ at: 1800, times: 9 }];
  const weights = checkShards(source(), list('md5'));
  weights.expect(RANGES);
  const refusal = {
    code: 'shard-altered',
    message: expect.stringContaining('shard-3 does not have the MD5'),
  };
  await expect(weights.read(1710, 1)).rejects.toMatchObject(refusal);
  await expect(weights.read(2000, 1)).rejects.toMatchObject(refusal);
  expect((await weights.read(0, 900)).byteLength).toBe(900);
});

test('an aborted read leaves the shard for the next one', async () => {
  const weights = checkShards(source(), list('md5'));
  weights.expect(RANGES);
  await expect(weights.read(0, 9, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  expect((await weights.read(0, 9)).byteLength).toBe(9);
});

/** Of so little memory, shards over 240 bytes are large, and cut at every multiple of 40. */
const LITTLE = 480;
const isOfShard0 = (read: string) => Number.parseInt(read, 10) < 1000;

test.each(['md5', 'sha256'] as const)(
  '%s: a large shard is read twice, in parts, and never held whole',
  async (kind) => {
    const weights = checkShards(source(), list(kind), LITTLE);
    weights.expect([{ offset: 0, byteLength: 1000 }]);
    for (let offset = 0; offset < 1000; offset += 125) {
      const bytes = await weights.read(offset, 125);
      expect(Buffer.compare(bytes, contents.subarray(offset, offset + 125)), `${offset}`).toBe(0);
    }
    const parts = Array.from({ length: 25 }, (_, i) => `${i * 40}+40`);
    expect(reads).toEqual([...parts, ...parts]);
    // All of it at first, and each part again when it is needed.
    expect(expected.map(({ offset, byteLength }) => `${offset}+${byteLength}`)).toEqual(reads);
    expect(Array.from(buffers, ({ byteLength }) => byteLength)).toEqual([40]);
  },
);

test('large shards among others, in any order, in bounded memory', async () => {
  for (const heldBytes of [48, 300, LITTLE, 1100, 1500]) {
    buffers.clear();
    await readAll(checkShards(source(), list('md5'), heldBytes));
    for (const { byteLength } of buffers) expect(byteLength).toBeLessThanOrEqual(heldBytes / 2);
  }
});

test('of a large shard only those parts are read again that are needed', async () => {
  const weights = checkShards(source(), list('md5'), LITTLE);
  weights.expect([{ offset: 490, byteLength: 80 }]);
  expect(await weights.read(490, 80)).toEqual(contents.slice(490, 570));
  expect(reads.slice(25)).toEqual(['480+40', '520+40', '560+40']);
});

test('readers of a large shard at the same time wait for one comparison', async () => {
  const weights = checkShards(source(), list('md5'), LITTLE);
  weights.expect([{ offset: 0, byteLength: 1000 }]);
  const [first, second] = await Promise.all([weights.read(0, 100), weights.read(100, 900)]);
  expect(Buffer.concat([first, second]).equals(contents.subarray(0, 1000))).toBe(true);
  expect(reads.filter(isOfShard0)).toHaveLength(50);
});

test('a large shard that is wrong once is compared again, and not taken from a journal', async () => {
  faults = [{ at: 700, times: 1 }];
  const weights = checkShards(source(), list('md5'), LITTLE);
  const range = { offset: 0, byteLength: 1000 };
  weights.expect([range]);
  expect(await weights.read(0, 1000)).toEqual(contents.slice(0, 1000));
  expect(reads).toHaveLength(75);
  expect(distrusted).toEqual([range]);
});

test('of a large shard that stays wrong no byte is given, and it is named', async () => {
  faults = [{ at: 999, times: 9 }];
  const weights = checkShards(source(), list('md5'), LITTLE);
  weights.expect([{ offset: 0, byteLength: 1000 }]);
  const refusal = { code: 'shard-altered', data: { file: 'shard-0' } };
  await expect(weights.read(0, 1)).rejects.toMatchObject(refusal);
  await expect(weights.read(500, 1)).rejects.toMatchObject(refusal);
  expect(reads).toHaveLength(100);
});

test('a part that is not what was compared is read again, then refused', async () => {
  const range = { offset: 0, byteLength: 1000 };
  faults = [{ at: 130, after: 1, times: 1 }];
  const once = checkShards(source(), list('md5'), LITTLE);
  once.expect([range]);
  expect(await once.read(0, 1000)).toEqual(contents.slice(0, 1000));
  expect(distrusted).toEqual([{ offset: 120, byteLength: 40 }]);

  faults = [{ at: 130, after: 1, times: 2 }];
  const forGood = checkShards(source(), list('md5'), LITTLE);
  forGood.expect([range]);
  expect(await forGood.read(0, 120)).toEqual(contents.slice(0, 120));
  await expect(forGood.read(120, 1)).rejects.toMatchObject({
    code: 'shard-altered',
    data: { file: 'shard-0' },
  });
});

test('closing ends the comparison of a large shard', async () => {
  const weights = checkShards(source(), list('md5'), LITTLE);
  weights.expect([{ offset: 0, byteLength: 1000 }]);
  const reading = weights.read(0, 1);
  reading.catch(() => undefined);
  while (reads.length < 3) await new Promise(setImmediate);
  await weights.close();
  await expect(reading).rejects.toThrow('closed');
  expect(reads.length).toBeLessThan(25);
});

test('large shards of chosen files', async () => {
  let start = 0;
  const files = LENGTHS.map((byteLength, i) => {
    start += byteLength;
    return new File([contents.subarray(start - byteLength, start)], `shard-${i}`);
  });
  await readAll(checkShards(localWeights(files.map(fileSource)), list('md5'), LITTLE));

  const altered = contents.slice(0, 1000);
  altered[999]! ^= 1;
  files[0] = new File([altered], 'shard-0');
  const weights = checkShards(localWeights(files.map(fileSource)), list('md5'), LITTLE);
  await expect(readAll(weights)).rejects.toMatchObject({
    code: 'shard-altered',
    data: { file: 'shard-0' },
  });
});
