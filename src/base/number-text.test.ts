import { expect, test } from 'vitest';
import {
  formatBytes,
  formatBytesOf,
  formatCount,
  formatDuration,
  formatLatency,
  formatMemory,
  formatRate,
} from './number-text.ts';

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [98_000, '98 kB'],
  [97_950_000, '98 MB'],
  [999_600_000, '1 GB'],
  [13_441_000_000, '13.4 GB'],
  [1_250_000_000, '1.25 GB'],
])('%d bytes: %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [163_840, '160 KiB'],
  [2 ** 30, '1 GiB'],
  [1.25 * 2 ** 30, '1.25 GiB'],
  [13_260_000_000, '12.3 GiB'],
  [100 * 2 ** 20, '100 MiB'],
])('%d bytes of memory: %s', (bytes, text) => {
  expect(formatMemory(bytes)).toBe(text);
});

test('progress names the unit once, unless it changes', () => {
  expect(formatBytesOf(40_000_000, 98_000_000)).toBe('40 of 98 MB');
  expect(formatBytesOf(400_000_000, 13_400_000_000)).toBe('400 MB of 13.4 GB');
});

test('counts, times and rates', () => {
  expect(formatCount(134_515_008)).toBe('135M');
  expect(formatCount(23_572_403_200)).toBe('24B');
  expect(formatCount(1_700_000_000)).toBe('1.7B');
  expect(formatDuration(300)).toBe('1 s');
  expect(formatDuration(59_600)).toBe('1 min');
  expect(formatDuration(7_500_000)).toBe('2 h 5 min');
  expect(formatLatency(412)).toBe('412 ms');
  expect(formatLatency(1234)).toBe('1.23 s');
  expect(formatRate(9.28)).toBe('9.3');
  expect(formatRate(47.6)).toBe('48');
});
