import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { laneRowsMatvecKernel } from './matvec-lane-rows.wgsl.ts';
import type { MatvecKernel } from './matvec-shape.ts';
import { teamMatvecKernel } from './matvec-team.wgsl.ts';

/** The matrix-vector kernel of the chosen shape. Bindings: x, gain (with a norm), quants and scales of parts, output. */
export function matvecKernel(kernel: MatvecKernel, caps: GpuCaps): KernelSource {
  const { shape } = kernel;
  return shape.kind === 'team'
    ? teamMatvecKernel({ ...kernel, shape }, caps)
    : laneRowsMatvecKernel({ ...kernel, shape }, caps);
}
