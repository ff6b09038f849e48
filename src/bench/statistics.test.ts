import { describe, expect, test } from 'vitest';
import type { Mark, Sample } from './report.ts';
import { findThrottling, median, summarise } from './statistics.ts';

const samples = (values: readonly number[], marks: readonly (Mark | null)[] = []): Sample[] =>
  values.map((value, i) => ({ value, ms: value, mark: marks[i] ?? null }));

test('mean, sample deviation, median and drift of known values', () => {
  const statistics = summarise(samples([2, 4, 4, 4, 5, 5, 7, 9]));
  expect(statistics).toMatchObject({ count: 8, mean: 5, minimum: 2, median: 4.5, maximum: 9, drift: 3.5 });
  // Σ(x - 5)² is 32: over 7 for a sample, not over 8.
  expect(statistics.standardDeviation).toBeCloseTo(Math.sqrt(32 / 7), 12);
});

test('marked samples are in none of them', () => {
  const marked = samples([100, 10, -5, 12, 900], ['warm-up', null, 'clock', null, 'busy']);
  expect(summarise(marked)).toEqual({
    count: 2,
    mean: 11,
    standardDeviation: Math.SQRT2,
    minimum: 10,
    median: 11,
    maximum: 12,
    drift: expect.closeTo(0.2, 12),
  });
  expect(summarise(samples([1, 2], ['busy', 'busy']))).toMatchObject({ count: 0, mean: null, median: null });
  expect(summarise(samples([7]))).toMatchObject({ count: 1, mean: 7, standardDeviation: null, drift: null });
});

test('the median of an even number lies between', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([9, 1, 5, 6])).toBe(5.5);
});

describe('throttling is late samples that are much slower for good', () => {
  test.each([
    ['a clear step', [100, 101, 99, 150, 152], 3],
    ['a step after the first', [100, 160, 161], 1],
    ['slower and slower', [100, 110, 120, 130, 140], 2],
    ['three fast ones before a step', [100, 101, 102, 200, 210], 3],
    ['the wider of two steps', [100, 101, 130, 131, 300, 310], 4],
    ['steady', [100, 101, 99, 100, 102], null],
    ['noise', [100, 140, 90, 150, 95], null],
    ['one slow sample at the end', [100, 101, 99, 100, 200], null],
    ['a slow first sample', [200, 100, 100, 101, 99], null],
    ['a small step', [100, 101, 110, 111, 112], null],
    ['a lucky first sample', [100, 125, 126], null],
    ['too few', [100, 200], null],
  ])('%s', (_name, durations, expected) => {
    expect(findThrottling(durations)).toBe(expected);
  });
});
