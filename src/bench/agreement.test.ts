import { describe, expect, test } from 'vitest';
import { noKernels, TEST_HOST, VirtualClock } from '../../tests/tools/bench-tools.ts';
import { createFakeEngine } from '../engine/fake-engine.ts';
import { agreementToMarkdown, compareRuns, compareTests, describeVerdict } from './agreement.ts';
import { blindProbe } from './busy-probe.ts';
import type { BenchReport, BenchTest } from './report.ts';
import { runBenchmark } from './run.ts';
import { summarise } from './statistics.ts';

function testOf(id: string, ...values: number[]): BenchTest {
  const samples = values.map((value) => ({ value, ms: 1, mark: null }));
  return {
    id,
    suite: 'standard',
    unit: 'tokens/s',
    tokens: 1,
    depth: 0,
    samples,
    statistics: summarise(samples),
  };
}

const base = await runBenchmark(
  createFakeEngine({ clock: new VirtualClock() }),
  { id: 'scripted', url: 'https://models.invalid/' },
  {
    suites: ['selfcheck'],
    host: TEST_HOST,
    version: '1.2.3',
    probe: blindProbe,
    measureKernels: noKernels,
    clock: new VirtualClock(),
  },
);
const reportOf = (...tests: BenchTest[]): BenchReport => ({ ...base, tests });

describe('two runs of a test', () => {
  // Each run's standard deviation is 1: means may be 2 · √2 apart.
  const first = testOf('pp', 9, 10, 11);
  test.each([
    [testOf('pp', 11.8, 12.8, 13.8), true],
    [testOf('pp', 11.9, 12.9, 13.9), false],
    [testOf('pp', 6.1, 7.1, 8.1), false],
    // A run that says itself that it is uncertain agrees with more.
    [testOf('pp', 10, 14, 18), true],
  ])('%#', (second, agrees) => {
    expect(compareTests(first, second)?.agrees).toBe(agrees);
    expect(compareTests(second, first)?.agrees).toBe(agrees);
  });

  test('the rule in figures', () => {
    const { difference, allowed } = compareTests(first, testOf('pp', 11, 13, 15))!;
    expect(difference).toBe(3);
    expect(allowed).toBeCloseTo(2 * Math.sqrt(1 + 4), 12);
  });

  test('nothing is said where a run states no spread', () => {
    expect(compareTests(first, testOf('pp', 10))).toBeNull();
    expect(compareTests(testOf('pp'), first)).toBeNull();
  });
});

test('runs agree where every two of them do', () => {
  const steady = [testOf('a', 9, 10, 11), testOf('b', 99, 100, 101), testOf('c', 5), testOf('d', 1, 2)];
  const near = [testOf('a', 11, 12, 13), testOf('b', 99, 100, 101), testOf('c', 5)];
  const far = [testOf('a', 13, 14, 15), testOf('b', 119, 120, 121), testOf('c', 5)];
  const verdicts = (...tests: BenchTest[][]) =>
    compareRuns(tests.map((each) => reportOf(...each))).rows.map(describeVerdict);
  expect(verdicts(steady, near)).toEqual(['agree', 'agree', '–', '–']);
  // The first agrees with the second and the second with the third, but not the first with the third.
  expect(verdicts(steady, near, far)).toEqual(['differ, 40 % apart', 'differ, 20 % apart', '–', '–']);
  expect(() => compareRuns([reportOf()])).toThrow(RangeError);
});

test('what was not the same is told', () => {
  const other: BenchReport = {
    ...base,
    machine: { ...base.machine, power: 'battery 80 %, discharging' },
    labels: ['busy'],
  };
  expect(compareRuns([base, base]).circumstances).toEqual([]);
  expect(compareRuns([base, other]).circumstances).toEqual([
    'Different power supplies: mains / battery 80 %, discharging.',
    'Different labels: none / busy.',
  ]);
});

test('as a table, with the rule below it', () => {
  const text = agreementToMarkdown([
    reportOf(testOf('pp512', 99, 100, 101)),
    reportOf(testOf('pp512', 110, 111, 112)),
  ]);
  expect(text).toMatch(
    /^\| pp512 \| tokens\/s \| +100\.0 ± 1\.00 \| +111\.0 ± 1\.00 \| differ, 11 % apart \|$/m,
  );
  expect(text).toContain('- Two runs agree where');
});
