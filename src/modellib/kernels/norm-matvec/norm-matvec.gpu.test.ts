import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { matrixVariants } from '../../../../tests/tools/matrix-variants.ts';
import { createRandom, randomNormal } from '../../../../tests/tools/random.ts';
import { randomMatrix } from '../../../../tests/tools/random-matrix.ts';
import type { WeightFormat } from '../../../models/model-description.ts';
import { dim, planned } from '../../library-spec.ts';
import { planNormMatvec } from './norm-matvec.plan.ts';
import { normMatvecReference } from './norm-matvec.reference.ts';

interface Case {
  columns: number;
  matrices: { format: WeightFormat; rows: number; partRows?: number[] }[];
  tokens?: number;
  /** Also for variants of the device. */
  essential?: boolean;
  /** Storage buffers that the device allows, where that is to be fewer. */
  limit?: number;
  /** Expected dispatches; default 1. */
  dispatches?: number;
}

const cases: Case[] = [
  // Q, K and V, each of its own format; rows that are no multiple of anything.
  {
    columns: 576,
    matrices: [
      { format: 'q4_1', rows: 70 },
      { format: 'q8_0', rows: 133 },
      { format: 'q4_0', rows: 1 },
    ],
    tokens: 7,
  },
  {
    columns: 96,
    matrices: [
      { format: 'q4_1', rows: 70 },
      { format: 'q8_0', rows: 9 },
    ],
    tokens: 2,
    essential: true,
  },
  {
    columns: 64,
    matrices: [
      { format: 'f32', rows: 1 },
      { format: 'f16', rows: 67 },
      { format: 'q4f16_1', rows: 31 },
    ],
    tokens: 2,
  },
  {
    columns: 768,
    matrices: [
      { format: 'q4_k', rows: 70 },
      { format: 'q5_k', rows: 9 },
      { format: 'q6_k', rows: 33 },
    ],
    essential: true,
  },
  {
    columns: 256,
    matrices: [
      { format: 'iq4_xs', rows: 67 },
      { format: 'iq4_nl', rows: 1 },
      { format: 'q5_1', rows: 5 },
    ],
    essential: true,
  },
  {
    columns: 96,
    matrices: [
      { format: 'bf16', rows: 3 },
      { format: 'q5_0', rows: 66 },
    ],
    essential: true,
  },
  { columns: 32, matrices: [{ format: 'q4_1', rows: 65 }] },
  // A head in parts of odd heights (a part with an odd number of blocks pads its scales), over two dispatches.
  { columns: 96, matrices: [{ format: 'q8_0', rows: 101, partRows: [33, 1, 67] }], limit: 7, dispatches: 2 },
  { columns: 160 * 32, matrices: [{ format: 'q4f16_1', rows: 11 }], essential: true },
];

const { device, caps } = await getTestDevice();

describe.each(matrixVariants(caps))('norm-matvec, $name', ({ caps: variant, thorough }) => {
  test.each(cases.filter(({ essential }) => thorough || essential))(
    '$columns columns, $matrices',
    async ({ columns, matrices, tokens = 1, limit, dispatches = 1 }) => {
      const random = createRandom(columns + matrices.length);
      const made = matrices.map((options, i) => randomMatrix(random, { ...options, columns, name: `m${i}` }));
      const x = randomNormal(random, tokens * columns, 3);
      const gain = randomNormal(random, columns);
      const epsilon = 1e-5;
      const steps = planNormMatvec(
        {
          x: planned('x'),
          row: dim('tokens', 1, -1),
          gain: { length: columns, record: 'gain' },
          epsilon,
          matrices: made.map(({ matrix }) => matrix),
          output: planned('y'),
        },
        limit === undefined ? variant : { ...variant, maxStorageBuffersPerStage: limit },
      );
      expect(steps.length).toBe(dispatches);
      const rows = made.reduce((sum, { matrix }) => sum + matrix.rows, 0);
      const result = await runSteps(device, steps, {
        buffers: {
          'planned:x': x,
          'weight:gain': gain,
          'planned:y': new Float32Array(rows),
          ...Object.assign({}, ...made.map(({ buffers }) => buffers)),
        },
        variables: { tokens },
        read: ['planned:y'],
      });
      const actual = new Float32Array(result['planned:y']!).subarray(0, rows);
      const row = x.subarray((tokens - 1) * columns);
      const expected = made.flatMap(({ values }) => [...normMatvecReference(row, gain, epsilon, values)]);
      expectClose(actual, expected, 1e-4);
    },
  );
});

test('norm-matvec: a grid of over 65,535 workgroups', async () => {
  const [columns, rows] = [32, 65536 * 256 + 5];
  const table = { format: 'q4_0', rows, columns } as const;
  const steps = planNormMatvec(
    {
      x: planned('x'),
      row: dim('one', 0),
      gain: { length: columns, record: 'gain' },
      epsilon: 1e-5,
      matrices: [{ ...table, parts: [{ rowStart: 0, rows, quants: 'q', scales: 's' }] }],
      output: planned('y'),
    },
    { ...caps, maxStorageBindingBytes: 2 ** 30 },
  );
  expect(steps[0]!.grid[0].multiply).toBeGreaterThan(65535);
});
