import { expect, test } from 'vitest';
import { numberToFloat16 } from '../../base/float16.ts';
import { WEIGHT_FORMATS, type WeightFormat } from '../../base/weight-formats.ts';
import { IQ4_POLYNOMIAL, IQ4_VALUES } from './iq4.ts';
import { scalesArrayType } from './part-code.ts';
import { weightFormats } from './weight-formats.ts';

test.each(Object.keys(WEIGHT_FORMATS) as WeightFormat[])('%s: sizes, loads and decoding agree', (format) => {
  const { groupColumns, quantBytes, scaleBytes } = WEIGHT_FORMATS[format];
  const { quants, scales, decode } = weightFormats[format];
  expect(quants.length).toBe(8);
  for (const shaderF16 of [false, true]) {
    expect(scalesArrayType(format, shaderF16) === null).toBe(scaleBytes === 0);
  }
  expect(scales === null).toBe(scaleBytes === 0);
  // Decoding the last group reads nothing past the records' ends.
  const blocks = (3 * groupColumns) / 32;
  const record = {
    quants: new DataView(new ArrayBuffer(3 * quantBytes)),
    scales: scaleBytes === 0 ? null : new DataView(new ArrayBuffer(3 * scaleBytes)),
  };
  for (let i = 0; i < blocks * 32; i++) expect(decode(record, i >> 5, i & 31)).toBeCloseTo(0);
});

/** Two blocks whose second has the quants that `set` writes and the scales given. */
function record(quantBytes: number, set: (view: DataView) => void, scales: number[]) {
  const view = new DataView(new ArrayBuffer(quantBytes * 2));
  set(new DataView(view.buffer, quantBytes));
  const scaleView = new DataView(new ArrayBuffer(scales.length * 2));
  for (const [i, scale] of scales.entries()) scaleView.setUint16(i * 2, numberToFloat16(scale), true);
  return { quants: view, scales: scaleView };
}

test('q4f16_1, which is no GGUF type, is centred on 7', () => {
  // Column c holds c % 16.
  const set = (view: DataView) => {
    for (let i = 0; i < 16; i++) view.setUint8(i, ((2 * i) & 15) | (((2 * i + 1) & 15) << 4));
  };
  for (let c = 0; c < 32; c++) {
    expect(weightFormats.q4f16_1.decode(record(16, set, [9, 0.5]), 1, c)).toBe(((c % 16) - 7) * 0.5);
  }
});

test('the polynomial of IQ4, rounded, is its table, however f32 rounds on the way', () => {
  for (const [nibble, value] of IQ4_VALUES.entries()) {
    for (const position of [0, 1, 2, 3]) {
      // As in the kernel: a nibble where it stands in its word, and coefficients scaled to match.
      const x = nibble * 16 ** position;
      const coefficients = IQ4_POLYNOMIAL.map((c, i) =>
        Math.fround(c * 16 ** (-position * (IQ4_POLYNOMIAL.length - 1 - i))),
      );
      const fused = coefficients.reduce((sum, c) => Math.fround(sum * x + c), 0);
      const separate = coefficients.reduce((sum, c) => Math.fround(Math.fround(sum * x) + c), 0);
      for (const sum of [fused, separate]) {
        expect(Math.round(sum)).toBe(value);
        expect(Math.abs(sum - value)).toBeLessThan(0.44);
      }
    }
  }
});
