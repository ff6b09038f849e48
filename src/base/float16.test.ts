import { expect, test } from 'vitest';
import { float16ToNumber, numberToFloat16 } from './float16.ts';

test('every finite binary16 survives the way there and back', () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = float16ToNumber(bits);
    if (Number.isNaN(value)) continue;
    expect(numberToFloat16(value)).toBe(bits);
  }
});

test('rounds to the nearest, ties to even', () => {
  expect(numberToFloat16(1 + 2 ** -11)).toBe(0x3c00);
  expect(numberToFloat16(1 + 3 * 2 ** -11)).toBe(0x3c02);
  expect(numberToFloat16(1 + 2 ** -11 + 2 ** -20)).toBe(0x3c01);
  expect(numberToFloat16(65519)).toBe(0x7bff);
  expect(numberToFloat16(65520)).toBe(0x7c00);
  expect(numberToFloat16(2 ** -25)).toBe(0);
  expect(numberToFloat16(-(2 ** -25) * 1.01)).toBe(0x8001);
  expect(float16ToNumber(numberToFloat16(Number.NaN))).toBeNaN();
});
