import type { Matrix } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, type Step } from '../../library-spec.ts';
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
import { matvecResidualKernel } from './matvec-residual.wgsl.ts';

export interface MatvecResidual {
  /** f32 [columns]. */
  input: BufferRef;
  matrix: Matrix;
  /** f32 [rows], read and written; not the input's buffer. */
  residual: BufferRef;
}

/**
 * One token: residual += matrix * input.
 * @throws TramontaneError 'adapter-limits' where a part does not fit the device.
 */
export function planMatvecResidual({ input, matrix, residual }: MatvecResidual, caps: GpuCaps): Step[] {
  const columns = sharedColumns([matrix]);
  const shape = chooseMatvecShape(columns, caps);
  return packSegments(concatenationSegments([matrix]), columns, 2, caps).map((segments) => ({
    kernel: matvecResidualKernel({ columns, segments, shape }, caps),
    buffers: [input, ...partBuffers(partBindings(segments)), residual],
    uniforms: [],
    grid: [constant(workgroupCount(segments, rowsPerWorkgroup(shape, 1))), constant(1)],
    work: productWork('matvec-residual', { segments, columns }, constant(1), {
      norm: false,
      accumulates: true,
    }),
  }));
}
