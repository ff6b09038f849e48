import { createHash } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { createRandom } from '../../../tests/tools/random.ts';
import { memorySource } from '../../formats/byte-source.ts';
import type { ByteRange } from '../download/planned-source.ts';
import { checkShards } from './checked-shards.ts';
import type { MlcShard } from './mlc-model.ts';
import type { WeightSource } from './opened-source.ts';

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
let expected: ByteRange[];
/** Bits that are wrong, and how often. */
let faults: { at: number; times: number }[];

beforeEach(() => {
  [reads, forgotten, expected, faults] = [[], [], [], []];
});

function source(): WeightSource {
  const inner = memorySource(contents);
  return {
    byteLength: inner.byteLength,
    async read(offset, length) {
      reads.push(`${offset}+${length}`);
      const bytes = await inner.read(offset, length);
      for (const fault of faults) {
        const isIn = fault.at >= offset && fault.at < offset + length;
        if (isIn && fault.times-- > 0) bytes[fault.at - offset]! ^= 1;
      }
      return bytes;
    },
    expect: (ranges) => expected.push(...ranges),
    forgetJournal: async (ranges) => {
      forgotten.push(...ranges);
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
  await readAll(checkShards(source(), list('md5'), 1100));
  expect(reads).toEqual(['0+1000', '1000+10', '1010+700', '1710+500', '0+1000', '1010+700']);
});

test('what takes all memory by itself is held until what is read with it has come', async () => {
  const weights = checkShards(source(), list('md5'), 500);
  const quants = { offset: 0, byteLength: 1000 };
  const scales = { offset: 1000, byteLength: 10 };
  weights.expect([quants, scales]);
  for (const [offset, length] of [
    [0, 500],
    [1000, 5],
    [500, 500],
    [1005, 5],
  ] as const) {
    await weights.read(offset, length);
  }
  expect(reads).toEqual(['0+1000', '1000+10']);
});

test('shards of about one length are read into the same memory', async () => {
  const inner = source();
  const buffers = new Set<ArrayBuffer>();
  const recording: WeightSource = {
    ...inner,
    async readInto(offset, target) {
      buffers.add(target.buffer);
      target.set(await inner.read(offset, target.byteLength));
    },
  };
  // Of at most 4200 bytes, 700 are usual: the first is longer, the second short, the third and the fourth are usual.
  const weights = checkShards(recording, list('md5'), 4200);
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
  expect(forgotten).toEqual([{ offset: 1010, byteLength: 700 }]);
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
