import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { matrixVariants } from '../../../../tests/tools/matrix-variants.ts';
import { createRandom, randomNormal } from '../../../../tests/tools/random.ts';
import { randomMatrix } from '../../../../tests/tools/random-matrix.ts';
import type { WeightFormat } from '../../../models/model-description.ts';
import { planned } from '../../library-spec.ts';
import { planNormGateUp } from './norm-gate-up.plan.ts';
import { normGateUpReference } from './norm-gate-up.reference.ts';

interface Case {
  columns: number;
  rows: number;
  gate: { format: WeightFormat; partRows?: number[] };
  up: { format: WeightFormat; partRows?: number[] };
  /** Storage buffers that the device allows, where that is to be fewer. */
  limit?: number;
  dispatches?: number;
  /** Also for variants of the device. */
  essential?: boolean;
}

const cases: Case[] = [
  { columns: 32, rows: 1, gate: { format: 'f32' }, up: { format: 'f32' } },
  { columns: 64, rows: 67, gate: { format: 'q4f16_1' }, up: { format: 'q8_0' } },
  { columns: 2112, rows: 13, gate: { format: 'q4_1' }, up: { format: 'q4_0' }, essential: true },
  { columns: 2304, rows: 13, gate: { format: 'q4_k' }, up: { format: 'q4_k' } },
  { columns: 512, rows: 5, gate: { format: 'iq4_xs' }, up: { format: 'q5_k' } },
  // Split at different rows, which makes four segments of at most two parts each.
  {
    columns: 5120,
    rows: 13,
    gate: { format: 'q4_1', partRows: [4, 9] },
    up: { format: 'f16', partRows: [3, 8, 2] },
  },
  {
    columns: 96,
    rows: 40,
    gate: { format: 'q4_1', partRows: [10, 30] },
    up: { format: 'q4_1', partRows: [10, 30] },
    limit: 7,
    dispatches: 2,
  },
];

const { device, caps } = await getTestDevice();

describe.each(matrixVariants(caps))('norm-gate-up, $name', ({ caps: variant, thorough }) => {
  test.each(cases.filter(({ essential }) => thorough || essential))(
    '$rows x $columns, $gate, $up',
    async ({ columns, rows, gate, up, limit, dispatches = 1 }) => {
      const random = createRandom(columns + rows);
      const a = randomMatrix(random, { ...gate, rows, columns, name: 'gate' });
      const b = randomMatrix(random, { ...up, rows, columns, name: 'up' });
      const x = randomNormal(random, columns, 100);
      // Wide gates, so that silu is tested where exp(-g) is huge, too.
      const gain = randomNormal(random, columns, columns === 64 ? 60 : 1);
      const steps = planNormGateUp(
        {
          x: planned('x'),
          gain: { length: columns, record: 'gain' },
          epsilon: 1e-5,
          gate: a.matrix,
          up: b.matrix,
          output: planned('h'),
        },
        limit === undefined ? variant : { ...variant, maxStorageBuffersPerStage: limit },
      );
      expect(steps.length).toBe(dispatches);
      const result = await runSteps(device, steps, {
        buffers: {
          'planned:x': x,
          'weight:gain': gain,
          'planned:h': new Float32Array(rows),
          ...a.buffers,
          ...b.buffers,
        },
        read: ['planned:h'],
      });
      const actual = new Float32Array(result['planned:h']!).subarray(0, rows);
      expectClose(actual, normGateUpReference(x, gain, 1e-5, a.values, b.values), 1e-4);
    },
  );
});
