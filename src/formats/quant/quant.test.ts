import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../tests/tools/random.ts';
import { readFixture } from '../../../tests/tools/tokenizer-fixtures.ts';
import { weightFormats } from '../../modellib/weight-formats/weight-formats.ts';
import { type BlockFormat, viewOf } from './block-format.ts';
import { BLOCK_FORMATS } from './formats.ts';

const GROUPS = 37;

/** Blocks by GGUF type, and the weights they mean by the `gguf` package; both base64. */
const goldens = readFixture<Record<string, { blocks: string; weights: string }>>('quant-goldens.json');

function repack(format: BlockFormat, groups: Uint8Array) {
  const count = groups.byteLength / format.sourceBytes;
  const quants = new Uint8Array(count * format.quantBytes);
  const scales = new Uint8Array(count * format.scaleBytes);
  format.repack(groups, quants, scales);
  return { quants, scales };
}

describe.each([...BLOCK_FORMATS])('%s', (type, format) => {
  const random = createRandom(1);
  const groups = Uint8Array.from({ length: GROUPS * format.sourceBytes }, () => random() * 256);

  test('every bit of random groups survives packing', () => {
    const { quants, scales } = repack(format, groups);
    const back = new Uint8Array(groups.byteLength);
    format.unpack(quants, scales, back);
    expect(back).toEqual(groups);
  });

  test('groups pack alike wherever a run begins', () => {
    const whole = repack(format, groups);
    for (const lead of [1, 2, 3]) {
      // Any byte offset, as a slice of a larger read may have.
      const shifted = new Uint8Array(lead + groups.byteLength);
      shifted.set(groups, lead);
      const rest = repack(format, shifted.subarray(lead + lead * format.sourceBytes));
      expect(rest.quants).toEqual(whole.quants.subarray(lead * format.quantBytes));
      expect(rest.scales).toEqual(whole.scales.subarray(lead * format.scaleBytes));
    }
  });

  test('packed groups decode to what the gguf package makes of them, to the bit', () => {
    const golden = goldens[type]!;
    const { quants, scales } = repack(format, Uint8Array.from(Buffer.from(golden.blocks, 'base64')));
    const expected = new Float32Array(Uint8Array.from(Buffer.from(golden.weights, 'base64')).buffer);
    const { decode } = weightFormats[format.name];
    const record = { quants: viewOf(quants), scales: viewOf(scales) };
    const decoded = Float32Array.from(expected, (_, i) => decode(record, i >> 5, i & 31));
    expect(decoded).toEqual(expected);
  });
});

test('nibbles are packed in column order, lowest bits first', () => {
  const block = new Uint8Array(18);
  for (let index = 0; index < 16; index++) block[2 + index] = index | ((15 - index) << 4);
  const { quants } = repack(BLOCK_FORMATS.get('Q4_0')!, block);
  const words = Array.from({ length: 4 }, (_, word) =>
    viewOf(quants)
      .getUint32(word * 4, true)
      .toString(16),
  );
  // Columns 0 to 15 hold 0 to 15, columns 16 to 31 hold 15 to 0.
  expect(words).toEqual(['76543210', 'fedcba98', '89abcdef', '1234567']);
});
