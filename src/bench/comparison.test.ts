import { expect, test } from 'vitest';
import type { AdapterReport } from '../engine/api.ts';
import {
  type ComparedEngine,
  type ComparedTurn,
  compareEngines,
  comparisonToMarkdown,
} from './comparison.ts';

const adapter = { isSoftware: false } as AdapterReport;
const subject = { model: 'm', modelBytes: 100, adapter };
const turn = (firstTokenMs: number, decodeMs: number, other: Partial<ComparedTurn> = {}): ComparedTurn => ({
  promptTokens: 100,
  outputTokens: 11,
  firstTokenMs,
  decodeMs,
  abortMs: 10,
  gpuSubmissions: 12,
  disturbed: null,
  ...other,
});
const engine = (name: string, turns: ComparedTurn[], gpuBufferBytes = 110): ComparedEngine => ({
  name,
  version: '1',
  loadMs: 1,
  gpuBufferBytes,
  residentBytes: null,
  turns,
});
const onProcessor = { gpuSubmissions: 0 };

test('ratios are of the turns that were next to each other', () => {
  // The machine got twice as slow between the turns: it does not show.
  const { ratios, notes } = compareEngines(subject, [
    engine('ours', [turn(100, 50, { abortMs: 2 }), turn(200, 100, { abortMs: 0 })]),
    engine('theirs', [turn(300, 100, { abortMs: 20 }), turn(600, 400)]),
  ]);
  expect(ratios).toEqual([
    { metric: 'prefill', mean: 3, standardDeviation: 0, min: 3, max: 3 },
    { metric: 'decode', mean: 3, standardDeviation: Math.SQRT2, min: 2, max: 4 },
    { metric: 'abort', mean: 10, standardDeviation: 0, min: 10, max: 10 },
  ]);
  expect(notes).toEqual([]);
});

test('an engine that never used the GPU is called a processor, and there is no ratio', () => {
  const turns = [turn(1, 1, onProcessor), turn(1, 1, onProcessor)];
  const report = compareEngines(subject, [engine('ours', [turn(1, 1), turn(1, 1)]), engine('theirs', turns)]);
  expect(report.ratios).toBeNull();
  expect(report.notes).toEqual([expect.stringMatching(/^theirs sent nothing to the GPU/)]);
});

test.each([
  [
    'a turn with fewer submissions than tokens',
    engine('theirs', [turn(1, 1), turn(1, 1, { gpuSubmissions: 3 })]),
  ],
  ['buffers that the model does not fit into', engine('theirs', [turn(1, 1), turn(1, 1)], 50)],
])('half on the GPU is not on the GPU: %s', (_, theirs) => {
  const report = compareEngines(subject, [engine('ours', [turn(1, 1), turn(1, 1)]), theirs]);
  expect(report.ratios).toBeNull();
  expect(report.notes).toEqual([expect.stringMatching(/^theirs did not run on the GPU alone/)]);
});

test('software adapters and different prompts are told', () => {
  const { notes } = compareEngines({ ...subject, adapter: { ...adapter, isSoftware: true } }, [
    engine('ours', [turn(1, 1), turn(1, 1)]),
    engine('theirs', [turn(1, 1), turn(1, 1, { promptTokens: 101 })]),
  ]);
  expect(notes).toEqual([expect.stringMatching(/emulated/), expect.stringMatching(/different numbers/)]);
});

test('disturbed turns are in no ratio, unless too few are left', () => {
  const busy = { disturbed: 'other programs used 90 % of a core' };
  const ours = [turn(100, 50), turn(100, 50), turn(100, 50)];
  const some = compareEngines(subject, [
    engine('ours', ours),
    engine('theirs', [turn(200, 100), turn(900, 900, busy), turn(200, 100)]),
  ]);
  expect(some.ratios?.[0]).toEqual({ metric: 'prefill', mean: 2, standardDeviation: 0, min: 2, max: 2 });
  expect(some.notes).toEqual([
    'Other programs disturbed 1 of 3 turns (other programs used 90 % of a core): they are not in the ratios.',
  ]);
  const most = compareEngines(subject, [
    engine('ours', ours),
    engine('theirs', [turn(200, 100), turn(900, 900, busy), turn(900, 900, busy)]),
  ]);
  expect(most.ratios?.[0]?.max).toBeCloseTo(9);
  expect(most.notes[0]).toMatch(/too few are left/);
});

test('one pair has no spread: no ratio. Turns without a partner are refused', () => {
  const one = engine('ours', [turn(1, 1)]);
  expect(compareEngines(subject, [one, engine('theirs', [turn(1, 1)])]).ratios).toBeNull();
  expect(() => compareEngines(subject, [one, engine('theirs', [])])).toThrow(RangeError);
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
  expect(table).toContain('| prompt, tokens/s | 750.00 | 250.00 | – |');
  expect(table).toContain('| backend | webgpu (24 submissions) | cpu (0 submissions) |');
  expect(table).toContain('- theirs sent nothing to the GPU');
  expect(table).toContain('- Stopped \\| early.');
});
