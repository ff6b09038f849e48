import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFileSource, openJoinedFileSource } from '../../scripts/lib/file-source.ts';
import { type ByteSource, blobSource, memorySource, readWithin } from './byte-source.ts';
import { joinSources } from './joined-source.ts';

const CONTENTS = Uint8Array.from({ length: 100 }, (_, index) => index);
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tramontane-'));
  await writeFile(join(folder, 'whole'), CONTENTS);
  for (const [index, end] of [30, 31, 31, 100].entries()) {
    const start = [0, 30, 31, 31][index];
    await writeFile(join(folder, `part${index}`), CONTENTS.subarray(start, end));
  }
});
afterAll(() => rm(folder, { recursive: true }));

const SOURCES: Record<string, () => Promise<ByteSource & { close?: () => Promise<void> }>> = {
  memory: async () => memorySource(CONTENTS),
  'memory with an offset': async () => memorySource(Uint8Array.from([9, ...CONTENTS]).subarray(1)),
  blob: async () => blobSource(new Blob([CONTENTS])),
  file: () => openFileSource(join(folder, 'whole')),
  'joined blobs': async () =>
    joinSources([blobSource(new Blob([CONTENTS.slice(0, 30)])), blobSource(new Blob([CONTENTS.slice(30)]))]),
  'joined files': () => openJoinedFileSource([0, 1, 2, 3].map((part) => join(folder, `part${part}`))),
};

describe.each(Object.entries(SOURCES))('%s', (name, create) => {
  test('reads exactly the range asked for', async () => {
    const source = await create();
    expect(source.byteLength).toBe(100);
    for (const [offset, length] of [
      [0, 100],
      [0, 0],
      [100, 0],
      [99, 1],
      [29, 3],
      [31, 1],
    ] as const) {
      expect(await source.read(offset, length)).toEqual(CONTENTS.slice(offset, offset + length));
    }
    await source.close?.();
  });

  test('refuses ranges outside, and what is no range', async () => {
    const source = await create();
    for (const [offset, length] of [
      [0, 101],
      [101, 0],
      [100, 1],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [2 ** 53, 1],
      [1, Number.NaN],
    ] as const) {
      await expect(source.read(offset, length)).rejects.toMatchObject({
        name: 'FormatError',
        code: 'format-invalid',
      });
    }
    await source.close?.();
  });

  test('rejects with the reason of an aborted signal', async () => {
    const source = await create();
    const reason = new Error('enough');
    await expect(source.read(0, 1, AbortSignal.abort(reason))).rejects.toBe(reason);
    await source.close?.();
  });

  test('fills memory of the caller’s, where it can', async () => {
    const source = await create();
    for (const [offset, length] of [
      [0, 100],
      [29, 3],
      [31, 1],
      [100, 0],
    ] as const) {
      const buffer = new Uint8Array(length + 5).fill(255);
      const bytes = await readWithin(source, offset, length, buffer);
      expect(bytes).toEqual(CONTENTS.slice(offset, offset + length));
      if (source.readInto === undefined) continue;
      expect(bytes.buffer).toBe(buffer.buffer);
      expect(buffer.slice(length)).toEqual(new Uint8Array(5).fill(255));
      await expect(source.readInto(offset, new Uint8Array(101))).rejects.toMatchObject({
        code: 'format-invalid',
      });
      const reason = new Error('enough');
      await expect(source.readInto(offset, bytes, AbortSignal.abort(reason))).rejects.toBe(reason);
    }
    expect(source.readInto === undefined).toBe(name.includes('blob'));
    await source.close?.();
  });

  test('hands out copies', async () => {
    const source = await create();
    (await source.read(0, 4)).fill(255);
    expect(await source.read(0, 4)).toEqual(CONTENTS.slice(0, 4));
    await source.close?.();
  });
});

test('a file that shrinks while it is read is reported', async () => {
  const path = join(folder, 'shrinks');
  await writeFile(path, CONTENTS);
  const source = await openFileSource(path);
  await writeFile(path, CONTENTS.subarray(0, 10));
  await expect(source.read(5, 50)).rejects.toMatchObject({ name: 'FormatError', data: { offset: 5 } });
  await source.close();
});
