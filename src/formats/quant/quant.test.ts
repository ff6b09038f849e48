import { describe, expect, test } from 'vitest';
import { type QuantisableType, quantise } from '../../../tests/tools/gguf-writer.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { float16ToNumber } from '../../base/float16.ts';
import { BLOCK_WEIGHTS, type BlockFormat, viewOf } from './block-format.ts';
import { BLOCK_FORMATS } from './formats.ts';

const FORMATS = Object.entries(BLOCK_FORMATS) as [QuantisableType, BlockFormat][];
const BLOCKS = 37;

function repack(format: BlockFormat, blocks: Uint8Array) {
  const count = blocks.byteLength / format.ggufBlockBytes;
  const quants = new Uint8Array(count * format.quantBytes);
  const scales = new Uint8Array(count * format.scaleBytes);
  format.repack(blocks, quants, scales);
  return { quants, scales };
}

/** Weights by the definition of each GGUF format, one at a time. */
function ggufWeight(type: QuantisableType, block: Uint8Array, index: number): number {
  const view = viewOf(block);
  const half = (offset: number) => float16ToNumber(view.getUint16(offset, true));
  const nibble = (offset: number) => (view.getUint8(offset + (index % 16)) >> (index < 16 ? 0 : 4)) & 15;
  switch (type) {
    case 'F32':
      return view.getFloat32(index * 4, true);
    case 'F16':
      return half(index * 2);
    case 'Q4_0':
      return (nibble(2) - 8) * half(0);
    case 'Q4_1':
      return nibble(4) * half(0) + half(2);
    case 'Q8_0':
      return view.getInt8(2 + index) * half(0);
  }
}

describe.each(FORMATS)('%s', (type, format) => {
  test('every bit of random blocks survives packing', () => {
    const random = createRandom(1);
    const blocks = Uint8Array.from({ length: BLOCKS * format.ggufBlockBytes }, () => random() * 256);
    const { quants, scales } = repack(format, blocks);
    const back = new Uint8Array(blocks.byteLength);
    format.unpack(quants, scales, back);
    expect(back).toEqual(blocks);
  });

  test('blocks pack alike wherever a run begins', () => {
    const random = createRandom(2);
    const blocks = Uint8Array.from({ length: 3 * format.ggufBlockBytes }, () => random() * 256);
    const whole = repack(format, blocks);
    // An odd byte offset, as a slice of a larger read may have.
    const shifted = Uint8Array.from([0, ...blocks]).subarray(1 + format.ggufBlockBytes);
    const rest = repack(format, shifted);
    expect(rest.quants).toEqual(whole.quants.subarray(format.quantBytes));
    expect(rest.scales).toEqual(whole.scales.subarray(format.scaleBytes));
  });

  test('dequantised weights follow the definition, in column order', () => {
    const random = createRandom(3);
    const source = Float32Array.from({ length: BLOCKS * BLOCK_WEIGHTS }, () => random() * 4 - 2);
    const blocks = quantise(type, source);
    const { quants, scales } = repack(format, blocks);
    const weights = new Float32Array(source.length);
    format.dequantise(quants, scales, weights);
    const expected = Float32Array.from(source, (_, column) => {
      const start = Math.floor(column / BLOCK_WEIGHTS) * format.ggufBlockBytes;
      const block = blocks.subarray(start, start + format.ggufBlockBytes);
      return ggufWeight(type, block, column % BLOCK_WEIGHTS);
    });
    expect(weights).toEqual(expected);
    const tolerance = { F32: 0, F16: 2e-3, Q4_0: 0.3, Q4_1: 0.15, Q8_0: 0.01 }[type];
    const worst = source.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - (weights[index] as number))),
      0,
    );
    expect(worst).toBeLessThanOrEqual(tolerance);
  });
});

test('nibbles are packed in column order, lowest bits first', () => {
  const block = new Uint8Array(18);
  for (let index = 0; index < 16; index++) block[2 + index] = index | ((15 - index) << 4);
  const { quants } = repack(BLOCK_FORMATS.Q4_0 as BlockFormat, block);
  const words = Array.from({ length: 4 }, (_, word) =>
    viewOf(quants)
      .getUint32(word * 4, true)
      .toString(16),
  );
  // Columns 0 to 15 hold 0 to 15, columns 16 to 31 hold 15 to 0.
  expect(words).toEqual(['76543210', 'fedcba98', '89abcdef', '1234567']);
});
