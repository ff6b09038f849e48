import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { matvecKernel } from '../matrix/matvec.wgsl.ts';
import type { MatvecKernel } from '../matrix/matvec-shape.ts';

export type NormMatvecShape = Pick<MatvecKernel, 'columns' | 'segments' | 'shape'> & { epsilon: number };

/** Bindings: x, gain, quants and scales of each part, y. Uniforms: row. */
export function normMatvecKernel({ epsilon, ...rest }: NormMatvecShape, caps: GpuCaps): KernelSource {
  return matvecKernel(
    {
      ...rest,
      op: 'norm_matvec',
      header: [
        'norm_matvec: y[r] = rsqrt(mean_k(x[k]^2) + eps) * sum_k W[r,k] * x[k] * gain[k]',
        'x (tokens,K) f32, of which one row is read; gain (K) f32; W (R,K) in parts; y (R) f32',
      ],
      norm: { epsilon },
      rowUniform: true,
      epilogue: 'store',
    },
    caps,
  );
}
