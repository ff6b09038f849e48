import { describe, expect, test } from 'vitest';
import { numberToFloat16 } from '../../base/float16.ts';
import { BLOCK_COLUMNS, partByteLength, type WeightFormat } from '../../models/model-description.ts';
import { weightFormats } from './weight-formats.ts';

const formats = Object.keys(weightFormats) as WeightFormat[];

describe.each(formats)('%s', (format) => {
  const { quantWords, scaleCount, quants } = weightFormats[format];

  test('agrees with the layout that records are sized by', () => {
    // 3 blocks: an odd number, so that single scales are padded to a word.
    expect(partByteLength(format, 3, BLOCK_COLUMNS)).toEqual([
      3 * quantWords * 4,
      Math.ceil((3 * scaleCount) / 2) * 4,
    ]);
    expect(quants.length).toBe(8);
  });
});

/** Two blocks whose second has the quants that `set` writes and the scales given. */
function record(quantBytes: number, set: (view: DataView) => void, scales: number[]) {
  const view = new DataView(new ArrayBuffer(quantBytes * 2));
  set(new DataView(view.buffer, quantBytes));
  const scaleView = new DataView(new ArrayBuffer(scales.length * 2));
  for (const [i, scale] of scales.entries()) scaleView.setUint16(i * 2, numberToFloat16(scale), true);
  return { quants: view, scales: scaleView };
}

test('nibbles are in column order, lowest bits first', () => {
  // Column c holds c % 16.
  const set = (view: DataView) => {
    for (let i = 0; i < 16; i++) view.setUint8(i, ((2 * i) & 15) | (((2 * i + 1) & 15) << 4));
  };
  for (let c = 0; c < 32; c++) {
    expect(weightFormats.q4f16_1.decode(record(16, set, [9, 0.5]), 1, c)).toBe(((c % 16) - 7) * 0.5);
    expect(weightFormats.q4_0.decode(record(16, set, [9, 0.5]), 1, c)).toBe(((c % 16) - 8) * 0.5);
    expect(weightFormats.q4_1.decode(record(16, set, [9, 9, 0.5, -2]), 1, c)).toBe((c % 16) * 0.5 - 2);
  }
});

test('q8_0 is signed', () => {
  const set = (view: DataView) => {
    for (let i = 0; i < 32; i++) view.setInt8(i, i * 8 - 128);
  };
  for (let c = 0; c < 32; c++) {
    expect(weightFormats.q8_0.decode(record(32, set, [9, 0.25]), 1, c)).toBe((c * 8 - 128) * 0.25);
  }
});
