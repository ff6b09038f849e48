import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { matrixVariants } from '../../../../tests/tools/matrix-variants.ts';
import { createRandom, randomNormal } from '../../../../tests/tools/random.ts';
import { randomMatrix } from '../../../../tests/tools/random-matrix.ts';
import type { WeightFormat } from '../../../models/model-description.ts';
import { planned } from '../../library-spec.ts';
import { planMatvecResidual } from './matvec-residual.plan.ts';
import { matvecResidualReference } from './matvec-residual.reference.ts';

interface Case {
  columns: number;
  format: WeightFormat;
  rows: number;
  partRows?: number[];
  /** Storage buffers that the device allows, where that is to be fewer. */
  limit?: number;
  dispatches?: number;
  /** Also for variants of the device. */
  essential?: boolean;
}

const cases: Case[] = [
  { columns: 64, format: 'f16', rows: 1 },
  { columns: 576, format: 'q4_1', rows: 65 },
  { columns: 32768, format: 'q4_0', rows: 9, essential: true },
  { columns: 32768, format: 'q6_k', rows: 9 },
  { columns: 96, format: 'q8_0', rows: 71, partRows: [3, 65, 3], limit: 6, dispatches: 2 },
];

const { device, caps } = await getTestDevice();

describe.each(matrixVariants(caps))('matvec-residual, $name', ({ caps: variant, thorough }) => {
  test.each(cases.filter(({ essential }) => thorough || essential))(
    '$format $rows x $columns',
    async ({ limit, dispatches = 1, ...options }) => {
      const random = createRandom(options.columns + options.rows);
      const { matrix, buffers, values } = randomMatrix(random, { ...options, name: 'm' });
      const input = randomNormal(random, matrix.columns);
      const residual = randomNormal(random, matrix.rows, 5);
      const steps = planMatvecResidual(
        { input: planned('input'), matrix, residual: planned('residual') },
        limit === undefined ? variant : { ...variant, maxStorageBuffersPerStage: limit },
      );
      expect(steps.length).toBe(dispatches);
      const result = await runSteps(device, steps, {
        buffers: { 'planned:input': input, 'planned:residual': residual, ...buffers },
        read: ['planned:residual'],
      });
      const actual = new Float32Array(result['planned:residual']!).subarray(0, matrix.rows);
      expectClose(actual, matvecResidualReference(input, values, residual), 1e-4);
    },
  );
});
