import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { matvecKernel } from '../matrix/matvec.wgsl.ts';
import type { MatvecKernel } from '../matrix/matvec-shape.ts';

export type MatvecResidualShape = Pick<MatvecKernel, 'columns' | 'segments' | 'shape'>;

/** Bindings: input, quants and scales of each part, residual (read and written). */
export function matvecResidualKernel(shape: MatvecResidualShape, caps: GpuCaps): KernelSource {
  return matvecKernel(
    {
      ...shape,
      op: 'matvec_residual',
      header: [
        'matvec_residual: residual[r] += sum_k W[r,k] * x[k]',
        'x (K) f32; W (R,K) in parts; residual (R) f32',
      ],
      norm: null,
      rowUniform: false,
      epilogue: 'add',
    },
    caps,
  );
}
