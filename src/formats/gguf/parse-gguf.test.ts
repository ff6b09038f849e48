import { describe, expect, test } from 'vitest';
import { type GgufToWrite, type TensorToWrite, writeGguf } from '../../../tests/tools/gguf-writer.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { FormatError, isTramontaneError } from '../../base/errors.ts';
import { type ByteSource, memorySource } from '../byte-source.ts';
import type { GgufValue } from './gguf.ts';
import { locateErrors, metadataInteger, metadataString } from './gguf.ts';
import { parseGguf } from './parse-gguf.ts';

const METADATA: [string, GgufValue][] = [
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['a.u8', { type: 'uint8', value: 255 }],
  ['a.i8', { type: 'int8', value: -128 }],
  ['a.u16', { type: 'uint16', value: 65535 }],
  ['a.i16', { type: 'int16', value: -32768 }],
  ['a.u32', { type: 'uint32', value: 4294967295 }],
  ['a.i32', { type: 'int32', value: -2147483648 }],
  ['a.u64', { type: 'uint64', value: 2n ** 64n - 1n }],
  ['a.i64', { type: 'int64', value: -(2n ** 63n) }],
  ['a.f32', { type: 'float32', value: 0.5 }],
  ['a.f64', { type: 'float64', value: 0.1 }],
  ['a.bool', { type: 'bool', value: true }],
  ['a.words', { type: 'array', elementType: 'string', value: ['', 'é', '\ufeff', '😀'] }],
  ['a.numbers', { type: 'array', elementType: 'int32', value: [1, -2, 3] }],
  ['a.none', { type: 'array', elementType: 'float32', value: [] }],
];

const tensor = (name: string, dimensions: number[], type: TensorToWrite['type'] = 'F32'): TensorToWrite => {
  const bytes = dimensions.reduce((product, length) => product * length, type === 'Q4_0' ? 18 / 32 : 4);
  return { name, type, dimensions, bytes: new Uint8Array(bytes).fill(7) };
};
const TENSORS = [tensor('x', [3]), tensor('y', [64, 2], 'Q4_0'), tensor('z', [2, 2, 2, 2])];

const good = (file: Partial<GgufToWrite> = {}) =>
  writeGguf({ metadata: METADATA, tensors: TENSORS, ...file });
const parse = (bytes: Uint8Array) => parseGguf(memorySource(bytes));

/** A file with bytes overwritten at the place where `marker` stands, `skip` bytes after its end. */
function spoil(bytes: Uint8Array, marker: string, skip: number, ...values: number[]): Uint8Array {
  const at = Buffer.from(bytes).indexOf(marker) + marker.length + skip;
  const result = bytes.slice();
  result.set(values, at);
  return result;
}

const FULL = [255, 255, 255, 255, 255, 255, 255, 255];

describe('good files', () => {
  test.each([2, 3] as const)('version %i is read whole', async (version) => {
    const bytes = good({ version });
    const gguf = await parse(bytes);
    expect(gguf.version).toBe(version);
    expect([...gguf.metadata]).toEqual(METADATA);
    expect(gguf.tensors.map(({ name, type, dimensions }) => ({ name, type, dimensions }))).toEqual(
      TENSORS.map(({ name, type, dimensions }) => ({ name, type, dimensions })),
    );
    for (const { offsetBytes, byteLength } of gguf.tensors) {
      expect(offsetBytes % 32).toBe(0);
      const data = bytes.subarray(offsetBytes, offsetBytes + byteLength);
      expect(data.every((byte) => byte === 7)).toBe(true);
    }
    expect(gguf.tensors.at(-1)).toMatchObject({ byteLength: 64, offsetBytes: bytes.byteLength - 64 });
  });

  test('another alignment is honoured', async () => {
    const metadata: typeof METADATA = [['general.alignment', { type: 'uint32', value: 4096 }]];
    const gguf = await parse(good({ metadata, alignmentBytes: 4096 }));
    expect(gguf.tensors.map(({ offsetBytes }) => offsetBytes)).toEqual([4096, 8192, 12288]);
  });

  test('accessors read one type and refuse others by key', async () => {
    const { metadata } = await parse(good());
    expect(metadataString(metadata, 'general.architecture')).toBe('llama');
    expect(metadata.get('a.words')?.value).toEqual(['', 'é', '\ufeff', '😀']);
    expect(metadata.get('a.numbers')?.value).toEqual([1, -2, 3]);
    expect(metadataInteger(metadata, 'a.i16')).toBe(-32768);
    expect(metadataInteger(metadata, 'absent')).toBeNull();
    for (const key of ['a.u64', 'a.f32', 'a.bool', 'a.words', 'general.architecture']) {
      expect(() => metadataInteger(metadata, key)).toThrow(
        expect.objectContaining({ code: 'format-invalid', data: expect.objectContaining({ field: key }) }),
      );
    }
  });

  test('a header of many windows is read in order, each byte about once', async () => {
    const value = Array.from({ length: 150_000 }, (_, index) => `token-${index}`);
    const bytes = good({ metadata: [['tokens', { type: 'array', elementType: 'string', value }]] });
    let bytesRead = 0;
    const source: ByteSource = {
      byteLength: bytes.byteLength,
      async read(offset, length) {
        bytesRead += length;
        expect(length).toBeLessThanOrEqual(1 << 20);
        return bytes.slice(offset, offset + length);
      },
    };
    const gguf = await parseGguf(source);
    expect(gguf.metadata.get('tokens')?.value).toEqual(value);
    expect(bytesRead).toBeLessThan(bytes.byteLength + 200);
  });
});

describe('bad files', () => {
  test('cut at any byte, a file is refused', async () => {
    const bytes = good();
    for (let length = 0; length < bytes.byteLength; length++) {
      const error = await parse(bytes.subarray(0, length)).then(
        () => expect.unreachable(`cut at ${length}`),
        (reason) => reason,
      );
      expect(error).toMatchObject({ name: 'FormatError', code: 'format-invalid' });
      expect(error.data.field).not.toBe('');
      expect(error.data.offset).toBeGreaterThanOrEqual(0);
      expect(error.data.offset).toBeLessThanOrEqual(length);
    }
  });

  test('a count is refused before anything is allocated for it', async () => {
    const value = Array.from({ length: 8 }, () => '');
    const bytes = good({ metadata: [['k', { type: 'array', elementType: 'string', value }]], tensors: [] });
    // 4 MiB of strings take 32 MiB at least; the file has 109 bytes.
    const spoilt = spoil(bytes, 'k\t\0\0\0\b\0\0\0', 0, 0, 0, 64, 0, 0, 0, 0, 0);
    await expect(parse(spoilt)).rejects.toMatchObject({
      message: expect.stringContaining('takes at least 33554432 bytes; 64 are left'),
      data: { field: 'array length of k', offset: 24 + 9 + 8 },
    });
  });

  test('a header beyond all limits is refused after the first 64 MiB of it', async () => {
    // 4096 strings of 4 MiB, 16 GiB in all, made while they are read.
    const entryBytes = 8 + 4 + 4 + 8 + (4 << 20);
    const startBytes = 24;
    let bytesRead = 0;
    const source: ByteSource = {
      byteLength: startBytes + 4096 * entryBytes,
      async read(offset, length) {
        bytesRead += length;
        const bytes = new Uint8Array(length);
        const put = (at: number, part: Uint8Array) => {
          const skip = Math.max(0, offset - at);
          const room = offset + length - Math.max(at, offset);
          if (skip < part.byteLength && room > 0) {
            bytes.set(part.subarray(skip, skip + room), Math.max(at, offset) - offset);
          }
        };
        put(0, Uint8Array.from([71, 71, 85, 70, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16]));
        const first = Math.max(0, Math.floor((offset - startBytes) / entryBytes));
        for (let entry = first; startBytes + entry * entryBytes < offset + length; entry++) {
          const key = [4, 0, 0, 0, 0, 0, 0, 0, ...new TextEncoder().encode(String(1000 + entry))];
          const value = [8, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0];
          put(startBytes + entry * entryBytes, Uint8Array.from([...key, ...value]));
        }
        return bytes;
      },
    };
    await expect(parseGguf(source)).rejects.toMatchObject({
      code: 'format-unsupported',
      message: expect.stringContaining('The header is larger than 67108864 bytes'),
      data: { field: '1015' },
    });
    expect(bytesRead).toBeLessThan(96 << 20);
  });

  test('arrays are limited all together', async () => {
    const value = new Array<number>(1 << 20).fill(0);
    const bytes = good({
      metadata: [0, 1, 2, 3, 4].map((key) => [String(key), { type: 'array', elementType: 'uint8', value }]),
    });
    await expect(parse(bytes)).rejects.toMatchObject({ data: { field: 'array length of 4' } });
  });

  test('a source that gives less than it was asked for is reported', async () => {
    const bytes = good();
    const source: ByteSource = {
      byteLength: bytes.byteLength,
      read: async (offset, length) => bytes.slice(offset, offset + length - 1),
    };
    await expect(parseGguf(source)).rejects.toMatchObject({ name: 'FormatError', data: { field: 'range' } });
  });

  const cases: Record<string, { bytes: Uint8Array; field: string; code?: string }> = {
    'another magic': { bytes: new TextEncoder().encode('GGML\u0003\0\0\0'), field: 'magic' },
    'version 1': { bytes: good({ version: 1 }), field: 'version', code: 'format-unsupported' },
    'big-endian': { bytes: good({ version: 0x03000000 }), field: 'version', code: 'format-unsupported' },
    'absurd tensor count': { bytes: spoil(good(), 'GGUF', 4, ...FULL), field: 'tensor count' },
    'tensors that the file cannot hold': { bytes: spoil(good(), 'GGUF', 4, 255), field: 'tensor count' },
    'absurd metadata count': { bytes: spoil(good(), 'GGUF', 12, ...FULL), field: 'metadata count' },
    'absurd key length': { bytes: spoil(good(), 'GGUF', 20, ...FULL), field: 'length of metadata key 0' },
    'absurd string length': {
      bytes: spoil(good(), 'general.architecture', 4, ...FULL),
      field: 'length of general.architecture',
    },
    'absurd array length': { bytes: spoil(good(), 'a.words', 8, ...FULL), field: 'array length of a.words' },
    'array the file cannot hold': {
      bytes: spoil(good(), 'a.words', 8, 255, 255),
      field: 'array length of a.words',
    },
    'unknown value type': { bytes: spoil(good(), 'a.u8', 0, 13), field: 'a.u8' },
    'unknown element type': { bytes: spoil(good(), 'a.numbers', 4, 200), field: 'a.numbers' },
    'array of arrays': {
      bytes: spoil(good(), 'a.numbers', 4, 9),
      field: 'a.numbers',
      code: 'format-unsupported',
    },
    'bool of 2': { bytes: spoil(good(), 'a.bool', 4, 2), field: 'a.bool' },
    'text that is not UTF-8': {
      bytes: spoil(good(), 'general.architecture', 12, 0xc3, 0x28),
      field: 'general.architecture',
    },
    'key twice': { bytes: spoil(good(), 'a.u1', -4, ...new TextEncoder().encode('a.i1')), field: 'a.i16' },
    'tensor without dimensions': { bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0x', 0, 0), field: 'tensor x' },
    'tensor of 5 dimensions': { bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0x', 0, 5), field: 'tensor x' },
    'dimension 0': { bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0x', 4, 0), field: 'tensor x' },
    'dimension beyond 2^53': { bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0x', 4, ...FULL), field: 'tensor x' },
    'unknown tensor type': {
      bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0x', 12, 99),
      field: 'tensor x',
      code: 'format-unsupported',
    },
    'columns that are no whole block': {
      bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0y', 4, 63),
      field: 'tensor y',
    },
    'offset out of line': {
      bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0y', 24, 8),
      field: 'offset of tensor y',
    },
    'offset beyond the file': {
      bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0y', 24, 224, 255, 255, 255, 255, 255, 255, 255),
      field: 'offset of tensor y',
    },
    'a key without a name': {
      bytes: good({ metadata: [['', { type: 'uint8', value: 1 }]] }),
      field: 'metadata key 0',
    },
    'a tensor without a name': { bytes: good({ tensors: [tensor('', [3])] }), field: 'name of tensor 0' },
    overlap: { bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0y', 24, 0), field: 'offset of tensor y' },
    'bytes between tensors that belong to none': {
      bytes: spoil(good(), '\u0001\0\0\0\0\0\0\0y', 24, 64),
      field: 'offset of tensor y',
    },
    'tensor twice': {
      bytes: good({ tensors: [tensor('x', [3]), tensor('x', [3])] }),
      field: 'tensor x',
    },
    'alignment 3': {
      bytes: good({ metadata: [['general.alignment', { type: 'uint32', value: 3 }]] }),
      field: 'general.alignment',
    },
    'alignment of another type': {
      bytes: good({ metadata: [['general.alignment', { type: 'string', value: '32' }]] }),
      field: 'general.alignment',
    },
  };
  test.each(Object.entries(cases))('%s', async (_, { bytes, field, code = 'format-invalid' }) => {
    await expect(parse(bytes)).rejects.toMatchObject({ name: 'FormatError', code, data: { field } });
  });

  test('a name of 60,000 characters does not make a message of that length', async () => {
    const key = 'k'.repeat(60_000);
    const bytes = good({ metadata: [[key, { type: 'bool', value: true }]], tensors: [] });
    const spoilt = spoil(bytes, `${key}\u0007\0\0\0`, 0, 2);
    const error = await parse(spoilt).catch((reason) => reason);
    expect(error.message.length).toBeLessThan(200);
    expect(error.data).toEqual({ field: key, offset: spoilt.byteLength - 1 });
  });

  test('errors found after parsing get the offset of the field they name', async () => {
    const bytes = good();
    const gguf = await parse(bytes);
    const failing = (field: string) => () =>
      locateErrors(gguf, () => {
        throw new FormatError('wrong', { field });
      });
    expect(failing('a.f32')).toThrow(
      expect.objectContaining({ data: { field: 'a.f32', offset: Buffer.from(bytes).indexOf('a.f32') + 5 } }),
    );
    expect(failing('y')).toThrow(
      expect.objectContaining({
        data: { field: 'y', offset: Buffer.from(bytes).indexOf('\u0001\0\0\0\0\0\0\0y') },
      }),
    );
    expect(failing('absent')).toThrow(expect.objectContaining({ data: { field: 'absent', offset: null } }));
    const other = new Error('another');
    expect(() =>
      locateErrors(gguf, () => {
        throw other;
      }),
    ).toThrow(other);
  });

  test('changed bytes give a file or a FormatError, nothing else', async () => {
    const random = createRandom(11);
    const bytes = good();
    let refused = 0;
    for (let run = 0; run < 3000; run++) {
      const changed = bytes.slice();
      for (let change = 0; change <= random() * 4; change++) {
        changed[Math.floor(random() * 900)] = random() < 0.3 ? 255 : random() * 256;
      }
      try {
        await parse(changed);
      } catch (error) {
        refused++;
        expect(isTramontaneError(error), String(error)).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(500);
  });

  test('an aborted signal ends the reading', async () => {
    const reason = new Error('enough');
    await expect(parseGguf(memorySource(good()), AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
