/** Mistral Small's own size: a Q4_K_M of 14.3 GB, whose bytes are computed as they are read. */
import { beforeAll, expect, test } from 'vitest';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import type { Gguf } from '../../src/formats/gguf/gguf.ts';
import { parseGguf } from '../../src/formats/gguf/parse-gguf.ts';
import { createSyntheticGguf, type SyntheticGguf, startSyntheticServer } from '../tools/synthetic-gguf.ts';

const FOUR_GIB = 2 ** 32;

let file: SyntheticGguf;
beforeAll(() => {
  file = createSyntheticGguf();
});

function counting(source: ByteSource): ByteSource & { bytesRead: number } {
  return {
    byteLength: source.byteLength,
    bytesRead: 0,
    read(offset, length, signal) {
      this.bytesRead += length;
      return source.read(offset, length, signal);
    },
  };
}

test('has the size, the tensors and the types of a public build', async () => {
  expect(file.byteLength).toBe(14_332_188_544);
  const source = counting(file);
  const gguf = await parseGguf(source);
  expect(source.bytesRead).toBeLessThan(8 << 20);
  expect(gguf.dataOffsetBytes).toBe(file.headerBytes);
  expect(gguf.tensors).toHaveLength(363);
  expect(countTypes(gguf)).toEqual({ F32: 81, Q4_K: 241, Q6_K: 41 });
  expect(gguf.tensors.filter(({ offsetBytes }) => offsetBytes > FOUR_GIB).length).toBeGreaterThan(200);
  const last = gguf.tensors.at(-1);
  expect((last?.offsetBytes ?? 0) + (last?.byteLength ?? 0)).toBe(file.byteLength);
});

function countTypes({ tensors }: Gguf): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type } of tensors) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

test('its server gives the very bytes, by ranges', async () => {
  const server = await startSyntheticServer(file);
  try {
    const head = await fetch(server.url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(file.byteLength));
    for (const offset of [0, file.headerBytes - 7, FOUR_GIB + 1, file.byteLength - 3_000_000]) {
      const last = Math.min(file.byteLength, offset + 3_000_000) - 1;
      const response = await fetch(server.url, { headers: { range: `bytes=${offset}-${last}` } });
      expect(response.status).toBe(206);
      expect(response.headers.get('content-range')).toBe(`bytes ${offset}-${last}/${file.byteLength}`);
      const bytes = new Uint8Array(await response.arrayBuffer());
      expect(Buffer.compare(bytes, await file.read(offset, last + 1 - offset)), `at ${offset}`).toBe(0);
    }
    const stale = await fetch(server.url, {
      method: 'HEAD',
      headers: { range: 'bytes=0-1', 'if-range': '"x"' },
    });
    expect(stale.status).toBe(200);
    const beyond = await fetch(server.url, { headers: { range: `bytes=${file.byteLength}-` } });
    expect(beyond.status).toBe(416);
  } finally {
    await server.close();
  }
});
