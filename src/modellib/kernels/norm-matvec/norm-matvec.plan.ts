import { assert } from '../../../base/assert.ts';
import type { Matrix, Vector } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, type DimExpr, type Step, weight } from '../../library-spec.ts';
import { productWork } from '../matrix/matrix-work.ts';
import { chooseMatvecShape, rowsPerWorkgroup } from '../matrix/matvec-shape.ts';
import {
  concatenationSegments,
  packSegments,
  partBindings,
  partBuffers,
  sharedColumns,
  workgroupCount,
} from '../matrix/segments.ts';
import { normMatvecKernel } from './norm-matvec.wgsl.ts';

export interface NormMatvec {
  /** f32 [tokens, columns]. */
  x: BufferRef;
  /** The row of x to work on. */
  row: DimExpr;
  gain: Vector;
  epsilon: number;
  /** Their rows, one matrix after the other, are the output's elements. */
  matrices: readonly Matrix[];
  /** f32 [sum of rows]. */
  output: BufferRef;
}

/**
 * One token: output = concat(matrices) * rmsnorm(x[row]). As many matrix parts a dispatch as the device's bindings
 * allow: Q, K and V take one, a head in three parts too.
 * @throws TramontaneError 'adapter-limits' where a part does not fit the device.
 */
export function planNormMatvec(
  { x, row, gain, epsilon, matrices, output }: NormMatvec,
  caps: GpuCaps,
): Step[] {
  const columns = sharedColumns(matrices);
  assert(gain.length === columns, `gain of ${gain.length} for ${columns} columns`);
  const shape = chooseMatvecShape(columns, caps);
  return packSegments(concatenationSegments(matrices), columns, 3, caps).map((segments) => ({
    kernel: normMatvecKernel({ columns, segments, shape, epsilon }, caps),
    buffers: [x, weight(gain.record), ...partBuffers(partBindings(segments)), output],
    uniforms: [row],
    grid: [constant(workgroupCount(segments, rowsPerWorkgroup(shape, 1))), constant(1)],
    work: productWork('norm-matvec', { segments, columns }, constant(1), { norm: true, accumulates: false }),
  }));
}
