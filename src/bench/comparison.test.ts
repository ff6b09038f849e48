import { expect, test } from 'vitest';
import { findSchemaFaults } from '../../scripts/lib/report-schema.ts';
import { kernelReportSample } from '../../tests/tools/kernel-report-sample.ts';
import type { AdapterReport } from '../engine/api.ts';
import {
  type ComparedEngine,
  type ComparedLoad,
  type ComparedTurn,
  type ComparisonReport,
  compareEngines,
  comparisonToMarkdown,
  type Ratio,
} from './comparison.ts';

const adapter: AdapterReport = { ...kernelReportSample.adapter, isSoftware: false };
const subject = { model: 'm', modelBytes: 100, adapter };
const turn = (firstTokenMs: number, decodeMs: number, other: Partial<ComparedTurn> = {}): ComparedTurn => ({
  promptTokens: 100,
  outputTokens: 11,
  firstTokenMs,
  decodeMs,
  abortMs: 10,
  gpuSubmissions: 12,
  gpuBufferBytes: 110,
  disturbed: null,
  ...other,
});
const load = (loadMs: number, other: Partial<ComparedLoad> = {}): ComparedLoad => ({
  loadMs,
  firstAnswerMs: 2 * loadMs,
  gpuBufferBytes: 110,
  disturbed: null,
  ...other,
});
const engine = (
  name: string,
  turns: ComparedTurn[],
  loads: ComparedLoad[] = [load(10), load(10)],
): ComparedEngine => ({
  name,
  version: '1',
  weightsIn: 'a store',
  firstLoadMs: 1,
  residentBytes: null,
  loads,
  turns,
});
/** As read back from a file: what the schema is for. */
const compare = (...input: Parameters<typeof compareEngines>): ComparisonReport => {
  const report = compareEngines(...input);
  expect(findSchemaFaults('comparison', JSON.parse(JSON.stringify(report)))).toEqual([]);
  return report;
};
const ratioOf = ({ ratios }: ComparisonReport, metric: Ratio['metric']) =>
  ratios?.find((ratio) => ratio.metric === metric);
const onProcessor = { gpuSubmissions: 0, gpuBufferBytes: 0 };

test('ratios are of the turns that were next to each other', () => {
  // The machine got twice as slow between the turns: it does not show.
  const { ratios, notes } = compare(subject, [
    engine('ours', [turn(100, 50, { abortMs: 2 }), turn(200, 100, { abortMs: 0 })]),
    engine('theirs', [turn(300, 100, { abortMs: 20 }), turn(600, 400)]),
  ]);
  expect(ratios).toEqual([
    { metric: 'prefill', mean: 3, standardDeviation: 0, min: 3, max: 3 },
    { metric: 'decode', mean: 3, standardDeviation: Math.SQRT2, min: 2, max: 4 },
    { metric: 'abort', mean: 10, standardDeviation: 0, min: 10, max: 10 },
    ...['load', 'first-answer', 'gpu-buffers'].map((metric) => ({
      metric,
      mean: 1,
      standardDeviation: 0,
      min: 1,
      max: 1,
    })),
  ]);
  expect(notes).toEqual([]);
});

test('loads are compared in pairs too: their time and GPU buffers; disturbed ones are left out', () => {
  const turns = [turn(1, 1), turn(1, 1)];
  const report = compare(subject, [
    engine('ours', turns, [load(10), load(10), load(20)]),
    engine('theirs', turns, [
      load(20, { firstAnswerMs: 100, gpuBufferBytes: 220 }),
      load(90, { disturbed: 'noise' }),
      load(40, { firstAnswerMs: 40, gpuBufferBytes: 220 }),
    ]),
  ]);
  expect(ratioOf(report, 'load')).toMatchObject({ mean: 2, standardDeviation: 0 });
  expect(ratioOf(report, 'first-answer')).toMatchObject({ mean: 3, min: 1, max: 5 });
  expect(ratioOf(report, 'gpu-buffers')).toMatchObject({ mean: 2 });
  expect(report.notes).toEqual(['Disturbed: 1 of 3 loads (noise); they are not in the ratios.']);
});

test('an engine that took no turn is not said to run anywhere', () => {
  const report = compare(subject, [engine('ours', [], [load(1)]), engine('theirs', [], [load(1)])]);
  expect(report.ratios).toBeNull();
  expect(report.notes[0]).toMatch(/^ours took no turn/);
});

test('an engine that never used the GPU is called a processor, and there is no ratio', () => {
  const turns = [turn(1, 1, onProcessor), turn(1, 1, onProcessor)];
  const report = compare(subject, [engine('ours', [turn(1, 1), turn(1, 1)]), engine('theirs', turns)]);
  expect(report.ratios).toBeNull();
  expect(report.notes).toEqual([expect.stringMatching(/^theirs sent nothing to the GPU/)]);
});

test.each([
  [
    'a turn with fewer submissions than tokens',
    engine('theirs', [turn(1, 1), turn(1, 1, { gpuSubmissions: 3 })]),
  ],
  [
    'buffers that the model does not fit into',
    engine('theirs', [turn(1, 1), turn(1, 1, { gpuBufferBytes: 50 })]),
  ],
])('half on the GPU is not on the GPU: %s', (_, theirs) => {
  const report = compare(subject, [engine('ours', [turn(1, 1), turn(1, 1)]), theirs]);
  expect(report.ratios).toBeNull();
  expect(report.notes).toEqual([expect.stringMatching(/^theirs did not run on the GPU alone/)]);
});

test('software adapters and different prompts are told', () => {
  const { notes } = compare({ ...subject, adapter: { ...adapter, isSoftware: true } }, [
    engine('ours', [turn(1, 1), turn(1, 1)]),
    engine('theirs', [turn(1, 1), turn(1, 1, { promptTokens: 101 })]),
  ]);
  expect(notes).toEqual([expect.stringMatching(/emulated/), expect.stringMatching(/different numbers/)]);
});

test('disturbed turns are in no ratio, unless too few are left', () => {
  const busy = { disturbed: 'other programs used 90 % of a core' };
  const ours = [turn(100, 50), turn(100, 50), turn(100, 50)];
  const some = compare(subject, [
    engine('ours', ours),
    engine('theirs', [turn(200, 100), turn(900, 900, busy), turn(200, 100)]),
  ]);
  expect(some.ratios?.[0]).toEqual({ metric: 'prefill', mean: 2, standardDeviation: 0, min: 2, max: 2 });
  expect(some.notes).toEqual([
    'Disturbed: 1 of 3 turns (other programs used 90 % of a core); they are not in the ratios.',
  ]);
  const most = compare(subject, [
    engine('ours', ours),
    engine('theirs', [turn(200, 100), turn(900, 900, busy), turn(900, 900, busy)]),
  ]);
  expect(most.ratios?.[0]?.max).toBeCloseTo(9);
  expect(most.notes[0]).toMatch(/too few are left/);
});

test('one pair has no spread: no ratio. Turns and loads without a partner are refused', () => {
  const one = engine('ours', [turn(1, 1)], [load(1)]);
  expect(compare(subject, [one, engine('theirs', [turn(1, 1)], [load(1)])]).ratios).toBeNull();
  expect(() => compareEngines(subject, [one, engine('theirs', [], [load(1)])])).toThrow(RangeError);
  expect(() => compareEngines(subject, [one, engine('theirs', [turn(1, 1)], [])])).toThrow(RangeError);
});

test('as a table: rates, ratios with their spread, and which backend really ran', () => {
  const report = compareEngines(
    subject,
    [
      engine('ours', [turn(100, 50), turn(200, 100)]),
      engine('theirs', [turn(300, 100, onProcessor), turn(600, 400, onProcessor)]),
    ],
    ['Stopped | early.'],
  );
  const table = comparisonToMarkdown(report);
  expect(table).toMatch(/^\| prompt, tokens\/s +\| +750\.00 \| +250\.00 \| +– \|$/m);
  expect(table).toMatch(/^\| load, ms +\| +10 \| +10 \| +– \|$/m);
  expect(table).toMatch(/^\| loads from +\| +a store \| +a store \|/m);
  expect(table).toMatch(/^\| backend +\| +webgpu \(24 submissions\) \| +cpu \(0 submissions\) \|/m);
  expect(table).toContain('- theirs sent nothing to the GPU');
  expect(table).toContain('- Stopped \\| early.');
});
