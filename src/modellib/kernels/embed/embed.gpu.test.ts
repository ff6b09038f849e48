import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { capsVariants, getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { createRandom } from '../../../../tests/tools/random.ts';
import { randomMatrix } from '../../../../tests/tools/random-matrix.ts';
import type { WeightFormat } from '../../../models/model-description.ts';
import { planned } from '../../library-spec.ts';
import { planEmbed } from './embed.plan.ts';
import { embedReference } from './embed.reference.ts';

interface Case {
  format: WeightFormat;
  rows: number;
  columns: number;
  partRows?: number[];
  /** Storage buffers that the device allows, where that is to be fewer. */
  limit?: number;
  dispatches?: number;
}

const cases: Case[] = [
  { format: 'f32', rows: 1, columns: 32 },
  { format: 'f16', rows: 33, columns: 64 },
  { format: 'q4f16_1', rows: 65, columns: 576 },
  { format: 'q4_0', rows: 7, columns: 5120 },
  { format: 'q4_1', rows: 101, columns: 96, partRows: [33, 1, 67] },
  { format: 'bf16', rows: 5, columns: 96 },
  { format: 'q5_0', rows: 5, columns: 96 },
  { format: 'q5_1', rows: 5, columns: 96 },
  { format: 'q4_k', rows: 5, columns: 768 },
  { format: 'q5_k', rows: 3, columns: 512, partRows: [1, 2] },
  { format: 'q6_k', rows: 5, columns: 256 },
  { format: 'iq4_nl', rows: 5, columns: 96 },
  { format: 'iq4_xs', rows: 5, columns: 768 },
  { format: 'q8_0', rows: 49, columns: 96, partRows: [3, 26, 20], limit: 6, dispatches: 2 },
];

const { device, caps } = await getTestDevice();

// Subgroups make no difference here.
const variants = capsVariants(caps).filter(({ name }) => name !== 'no subgroups' && name !== 'neither');

describe.each(variants)('embed, $name', ({ caps: variant }) => {
  test.each(cases)('$format $rows x $columns', async ({ limit, dispatches = 1, ...options }) => {
    const { rows, columns } = options;
    const random = createRandom(rows);
    const { matrix, buffers, values } = randomMatrix(random, { ...options, name: 'table' });
    const known = Array.from({ length: 65 }, () => Math.floor(random() * rows));
    const edges = [0, rows - 1, rows, -1, 2 ** 31 - 1, -(2 ** 31)];
    for (const ids of [known, edges, [rows - 1]]) {
      const steps = planEmbed(
        { table: matrix, output: planned('x') },
        limit === undefined ? variant : { ...variant, maxStorageBuffersPerStage: limit },
      );
      expect(steps.length).toBe(dispatches);
      const result = await runSteps(device, steps, {
        buffers: {
          'argument:0': Int32Array.from(ids),
          'planned:x': new Float32Array(ids.length * columns).fill(7),
          ...buffers,
        },
        variables: { tokens: ids.length },
        read: ['planned:x'],
      });
      const actual = new Float32Array(result['planned:x']!);
      expectClose(actual, embedReference(ids, values, rows, columns), 1e-6);
    }
  });
});
