import { describe, expect, test } from 'vitest';
import { planCaps } from '../../../../tests/tools/plan-caps.ts';
import type { Matrix } from '../../../models/model-description.ts';
import { planned } from '../../library-spec.ts';
import { planMatmul } from '../matmul/matmul.plan.ts';
import { planNormGateUp } from '../norm-gate-up/norm-gate-up.plan.ts';
import { concatenationSegments, packSegments, pairedSegments } from './segments.ts';

function split(name: string, heights: number[], columns = 64): Matrix {
  let rowStart = 0;
  const parts = heights.map((rows, i) => {
    const part = { rowStart, rows, quants: `${name}${i}.q`, scales: `${name}${i}.s` };
    rowStart += rows;
    return part;
  });
  return { format: 'q4_1', rows: rowStart, columns, parts };
}

test('a concatenation has one segment a part, at the running row', () => {
  const segments = concatenationSegments([split('a', [3, 4]), split('b', [5])]);
  expect(segments.map(({ outputRow, rows }) => [outputRow, rows])).toEqual([
    [0, 3],
    [3, 4],
    [7, 5],
  ]);
});

test('pairs are cut wherever either matrix is', () => {
  const segments = pairedSegments(split('a', [4, 9]), split('b', [3, 8, 2]));
  expect(segments.map(({ outputRow, rows }) => [outputRow, rows])).toEqual([
    [0, 3],
    [3, 1],
    [4, 7],
    [11, 2],
  ]);
  expect(segments.map(({ sources }) => sources.map(({ part, firstRow }) => [part.quants, firstRow]))).toEqual(
    [
      [
        ['a0.q', 0],
        ['b0.q', 0],
      ],
      [
        ['a0.q', 3],
        ['b1.q', 0],
      ],
      [
        ['a1.q', 0],
        ['b1.q', 1],
      ],
      [
        ['a1.q', 7],
        ['b2.q', 0],
      ],
    ],
  );
});

test('segments are packed up to the number of bindings', () => {
  const segments = concatenationSegments([split('a', [1, 1, 1, 1, 1, 1, 1])]);
  const groups = packSegments(segments, 64, 3, planCaps.least);
  expect(groups.map((group) => group.length)).toEqual([3, 3, 1]);
});

describe('devices that are too small', () => {
  const gain = { length: 64, record: 'gain' };
  const gateUp = {
    x: planned('x'),
    gain,
    epsilon: 1e-5,
    gate: split('gate', [8]),
    up: split('up', [8]),
    output: planned('y'),
  };

  test('too few bindings', () => {
    const caps = { ...planCaps.least, maxStorageBuffersPerStage: 6 };
    expect(() => planNormGateUp(gateUp, caps)).toThrow(
      expect.objectContaining({ code: 'adapter-limits', data: { needed: 7, limit: 6 } }),
    );
  });

  test('a record beyond the binding limit', () => {
    const caps = { ...planCaps.least, maxStorageBindingBytes: 255 };
    expect(() => planNormGateUp(gateUp, caps)).toThrow(
      expect.objectContaining({
        code: 'adapter-limits',
        data: { record: 'gate0.q', byteLength: 256, limit: 255 },
      }),
    );
  });

  test('too little workgroup memory', () => {
    const caps = { ...planCaps.least, maxWorkgroupStorageBytes: 8192 };
    const plan = { input: planned('x'), matrices: [split('a', [8])], output: planned('y') };
    expect(() => planMatmul(plan, caps, 512)).toThrow(expect.objectContaining({ code: 'adapter-limits' }));
  });
});
