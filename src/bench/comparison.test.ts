import { expect, test } from 'vitest';
import type { AdapterReport } from '../engine/api.ts';
import {
  type ComparedEngine,
  type ComparedTurn,
  compareEngines,
  comparisonToMarkdown,
} from './comparison.ts';

const adapter = { isSoftware: false } as AdapterReport;
const turn = (firstTokenMs: number, decodeMs: number, promptTokens = 100): ComparedTurn => ({
  promptTokens,
  outputTokens: 11,
  firstTokenMs,
  decodeMs,
});
const engine = (name: string, turns: ComparedTurn[], gpuSubmissions = 9): ComparedEngine => ({
  name,
  version: '1',
  gpuSubmissions,
  loadMs: 1,
  abortMs: 1,
  gpuBufferBytes: 1,
  residentBytes: null,
  turns,
});

test('ratios are of the turns that were next to each other', () => {
  // The machine got twice as slow between the turns: it does not show.
  const { ratios, notes } = compareEngines('m', adapter, [
    engine('ours', [turn(100, 50), turn(200, 100)]),
    engine('theirs', [turn(300, 100), turn(600, 400)]),
  ]);
  expect(ratios).toEqual([
    { metric: 'prefill', mean: 3, standardDeviation: 0, min: 3, max: 3 },
    { metric: 'decode', mean: 3, standardDeviation: Math.SQRT2, min: 2, max: 4 },
  ]);
  expect(notes).toEqual([]);
});

test('an engine that never used the GPU is called a processor, and there is no ratio', () => {
  const turns = [turn(1, 1), turn(1, 1)];
  const report = compareEngines('m', adapter, [engine('ours', turns), engine('theirs', turns, 0)]);
  expect(report.ratios).toBeNull();
  expect(report.notes).toEqual([expect.stringMatching(/^theirs sent nothing to the GPU/)]);
});

test('software adapters and different prompts are told', () => {
  const { notes } = compareEngines('m', { ...adapter, isSoftware: true }, [
    engine('ours', [turn(1, 1), turn(1, 1)]),
    engine('theirs', [turn(1, 1), turn(1, 1, 101)]),
  ]);
  expect(notes).toEqual([expect.stringMatching(/emulated/), expect.stringMatching(/different numbers/)]);
});

test('turns without a partner are refused', () => {
  expect(() =>
    compareEngines('m', adapter, [engine('ours', [turn(1, 1)]), engine('theirs', [turn(1, 1)])]),
  ).toThrow(RangeError);
});

test('as a table: rates, ratios with their spread, and which backend really ran', () => {
  const report = compareEngines('m', adapter, [
    engine('ours', [turn(100, 50), turn(200, 100)]),
    engine('theirs', [turn(300, 100), turn(600, 400)], 0),
  ]);
  const table = comparisonToMarkdown(report);
  expect(table).toContain('| prompt, tokens/s | 750.00 | 250.00 | – |');
  expect(table).toContain('| backend | webgpu (9 submissions) | cpu (0 submissions) |');
  expect(table).toContain('- theirs sent nothing to the GPU');
});
