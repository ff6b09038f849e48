import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { matvecKernel } from '../matrix/matvec.wgsl.ts';
import type { MatvecKernel } from '../matrix/matvec-shape.ts';

export type NormGateUpShape = Pick<MatvecKernel, 'columns' | 'segments' | 'shape'> & { epsilon: number };

/** Bindings: x, gain, quants and scales of each part, h. */
export function normGateUpKernel({ epsilon, ...rest }: NormGateUpShape, caps: GpuCaps): KernelSource {
  return matvecKernel(
    {
      ...rest,
      op: 'norm_gate_up',
      header: [
        'norm_gate_up: h[r] = silu(G[r,:] . n) * (U[r,:] . n), n[k] = x[k] * gain[k] * rsqrt(mean_k(x[k]^2) + eps)',
        'x (K) f32; gain (K) f32; G, U (R,K) in parts; h (R) f32',
      ],
      norm: { epsilon },
      rowUniform: false,
      epilogue: 'swiglu',
    },
    caps,
  );
}
