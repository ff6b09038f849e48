import { assert } from '../../../base/assert.ts';
import { BLOCK_COLUMNS } from '../../../base/weight-formats.ts';
import type { Vector } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, dim, type Step, weight } from '../../library-spec.ts';
import { rmsNormKernel } from './rms-norm.wgsl.ts';

/** Every lane adds up all partial sums where there are no subgroups, so few lanes are enough. */
const LANES = 64;

export interface RmsNorm {
  /** f32 [tokens, columns]. */
  x: BufferRef;
  gain: Vector;
  epsilon: number;
  /** f32 [tokens, columns]; not x's buffer. */
  output: BufferRef;
  columns: number;
}

/** RMS norm of every token's row. */
export function planRmsNorm({ x, gain, epsilon, output, columns }: RmsNorm, caps: GpuCaps): Step[] {
  assert(gain.length === columns, `gain of ${gain.length} for ${columns} columns`);
  assert(columns % BLOCK_COLUMNS === 0, `${columns} columns are no multiple of ${BLOCK_COLUMNS}`);
  return [
    {
      kernel: rmsNormKernel({ columns, epsilon, lanes: LANES }, caps),
      buffers: [x, weight(gain.record), output],
      uniforms: [],
      grid: [dim('tokens'), constant(1)],
      work: {
        op: 'rms-norm',
        shape: `${columns}`,
        formats: [],
        bytes: [
          [constant(1), columns * 4],
          [dim('tokens'), columns * 8],
        ],
        flops: null,
      },
    },
  ];
}
