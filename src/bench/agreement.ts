/**
 * Whether runs agree: whether a test's means are as close as the spread that the runs state of themselves lets expect.
 *
 * The rule is metrology's normalised error (E_n of ISO 13528, with a coverage factor of 2): two results agree where
 * |A - B| ≤ 2 · √(sdA² + sdB²). What is put in is the standard deviation of the samples, not that of their mean: the
 * question is whether a whole run falls where single samples of the other one do, not whether some difference of the
 * means, however small, is real.
 */
import { formatSpread } from './figure-text.ts';
import { markdownTable } from './markdown-table.ts';
import type { BenchReport, BenchTest } from './report.ts';

const COVERAGE = 2;

/** Of two runs of one test. */
export interface Agreement {
  agrees: boolean;
  /** Between the means, and the most that agrees; in the test's unit. */
  difference: number;
  allowed: number;
}

/** @returns null where either run has fewer than two samples that count, and so states no spread */
export function compareTests(first: BenchTest, second: BenchTest): Agreement | null {
  const { mean: a, standardDeviation: sdA } = first.statistics;
  const { mean: b, standardDeviation: sdB } = second.statistics;
  if (a === null || b === null || sdA === null || sdB === null) return null;
  const difference = Math.abs(a - b);
  const allowed = COVERAGE * Math.hypot(sdA, sdB);
  return { agrees: difference <= allowed, difference, allowed };
}

/** One test of several runs. */
export interface AgreementRow {
  id: string;
  unit: BenchTest['unit'];
  /** In the runs' order; null where a run has no such test. */
  tests: readonly (BenchTest | null)[];
  /** Whether every two of the runs agree; `unknown` where a pair has no spread, and no other pair differs. */
  verdict: 'agree' | 'differ' | 'unknown';
  /** The largest mean over the smallest, less 1; null where there are not two, or one is not above 0. */
  apart: number | null;
}

export interface AgreementReport {
  rows: readonly AgreementRow[];
  /** What was not the same, as sentences: then a difference need not be one of speed. */
  circumstances: readonly string[];
}

/** @throws RangeError for fewer than two reports */
export function compareRuns(reports: readonly BenchReport[]): AgreementReport {
  if (reports.length < 2) throw new RangeError('it takes two runs to compare');
  const ids = [...new Set(reports.flatMap(({ tests }) => tests.map(({ id }) => id)))];
  const rows = ids.map((id): AgreementRow => {
    const tests = reports.map((report) => report.tests.find((test) => test.id === id) ?? null);
    const present = tests.filter((test) => test !== null);
    const pairs = present.flatMap((test, i) =>
      present.slice(i + 1).map((other) => compareTests(test, other)),
    );
    const means = present.flatMap(({ statistics: { mean } }) => (mean === null ? [] : [mean]));
    const least = Math.min(...means);
    const isKnown = present.length === reports.length && pairs.every((pair) => pair !== null);
    return {
      id,
      unit: present[0]!.unit,
      tests,
      verdict: pairs.some((pair) => pair?.agrees === false) ? 'differ' : isKnown ? 'agree' : 'unknown',
      apart: means.length < 2 || least <= 0 ? null : Math.max(...means) / least - 1,
    };
  });
  return { rows, circumstances: findDifferences(reports) };
}

const CIRCUMSTANCES: readonly [name: string, value: (report: BenchReport) => string][] = [
  ['models', ({ model }) => `${model.name} ${model.quantization} ${model.tensorCacheSha256.slice(0, 12)}`],
  ['GPUs', ({ machine: { adapter } }) => `${adapter.vendor} ${adapter.architecture} ${adapter.description}`],
  ['processors', ({ machine }) => `${machine.processor ?? 'not known'}, ${machine.cores} threads`],
  ['systems', ({ machine }) => `${machine.os}, ${machine.program}`],
  ['libraries', ({ software }) => `${software.library} ${software.librarySha256.slice(0, 12)}`],
  ['power supplies', ({ machine }) => machine.power ?? 'not known'],
  ['labels', ({ labels }) => [...labels].sort().join(', ') || 'none'],
];

function findDifferences(reports: readonly BenchReport[]): string[] {
  return CIRCUMSTANCES.flatMap(([name, value]) => {
    const values = [...new Set(reports.map((report) => value(report).trim()))];
    return values.length < 2 ? [] : [`Different ${name}: ${values.join(' / ')}.`];
  });
}

/** `agree`, `differ, 17 % apart`, or `–` where nothing can be said. */
export function describeVerdict({ verdict, apart }: AgreementRow): string {
  if (verdict === 'unknown') return '–';
  return verdict === 'agree' || apart === null ? verdict : `${verdict}, ${(apart * 100).toFixed(0)} % apart`;
}

/** The rule in one sentence, for whoever reads verdicts. */
export const AGREEMENT_RULE =
  'Two runs agree where their means are no further apart than 2 · √(sd₁² + sd₂²), the spread that they state themselves.';

/** @throws RangeError for fewer than two reports */
export function agreementToMarkdown(reports: readonly BenchReport[]): string {
  const { rows, circumstances } = compareRuns(reports);
  const table = markdownTable(
    [
      ['test', 'left'],
      ['unit', 'left'],
      ...reports.map(({ startedAt }) => [startedAt, 'right'] as const),
      ['runs', 'left'],
    ],
    rows.map((row) => [
      row.id,
      row.unit,
      ...row.tests.map((test) => (test === null ? '–' : formatSpread(test))),
      describeVerdict(row),
    ]),
  );
  const facts = [AGREEMENT_RULE, ...circumstances];
  return `${table}\n\n${facts.map((fact) => `- ${fact.replace(/\s+/g, ' ')}`).join('\n')}\n`;
}
