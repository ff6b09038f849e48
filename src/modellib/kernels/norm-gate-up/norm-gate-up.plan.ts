import { assert } from '../../../base/assert.ts';
import type { Matrix, Vector } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, type Step, weight } from '../../library-spec.ts';
import { productWork } from '../matrix/matrix-work.ts';
import { chooseMatvecShape, rowsPerWorkgroup } from '../matrix/matvec-shape.ts';
import {
  packSegments,
  pairedSegments,
  partBindings,
  partBuffers,
  sharedColumns,
  workgroupCount,
} from '../matrix/segments.ts';
import { normGateUpKernel } from './norm-gate-up.wgsl.ts';

export interface NormGateUp {
  /** f32 [columns] (the first row, where there are more). */
  x: BufferRef;
  gain: Vector;
  epsilon: number;
  /** Of one shape; formats and parts may differ. */
  gate: Matrix;
  up: Matrix;
  /** f32 [rows]. */
  output: BufferRef;
}

/**
 * One token: output = silu(gate * n) * (up * n) with n = rmsnorm(x). One dispatch where the bindings fit.
 * @throws TramontaneError 'adapter-limits' where a part does not fit the device.
 */
export function planNormGateUp({ x, gain, epsilon, gate, up, output }: NormGateUp, caps: GpuCaps): Step[] {
  const columns = sharedColumns([gate, up]);
  assert(gain.length === columns, `gain of ${gain.length} for ${columns} columns`);
  const shape = chooseMatvecShape(columns, caps);
  return packSegments(pairedSegments(gate, up), columns, 3, caps).map((segments) => ({
    kernel: normGateUpKernel({ columns, segments, shape, epsilon }, caps),
    buffers: [x, weight(gain.record), ...partBuffers(partBindings(segments)), output],
    uniforms: [],
    grid: [constant(workgroupCount(segments, rowsPerWorkgroup(shape, 2))), constant(1)],
    work: productWork('norm-gate-up', { segments, columns }, constant(1), { norm: true, accumulates: false }),
  }));
}
