import { matmulReference, swigluReference } from '../matmul/matmul.reference.ts';
import { rmsNormReference } from '../rms-norm/rms-norm.reference.ts';

/** h[r] = silu(gate[r,:] . n) * (up[r,:] . n) with n = rmsnorm(x); `gate` and `up` are [rows, x.length]. */
export function normGateUpReference(
  x: ArrayLike<number>,
  gain: ArrayLike<number>,
  epsilon: number,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
): Float64Array {
  const n = rmsNormReference(x, gain, epsilon);
  return swigluReference(matmulReference(n, gate, n.length), matmulReference(n, up, n.length));
}
