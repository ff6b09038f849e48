import { matmulReference } from '../matmul/matmul.reference.ts';
import { rmsNormReference } from '../rms-norm/rms-norm.reference.ts';

/** y[r] = sum_k matrix[r,k] * rmsnorm(x)[k]; `x` is one row of `gain.length` columns, `matrix` [rows, columns]. */
export function normMatvecReference(
  x: ArrayLike<number>,
  gain: ArrayLike<number>,
  epsilon: number,
  matrix: ArrayLike<number>,
): Float64Array {
  return matmulReference(rmsNormReference(x, gain, epsilon), matrix, gain.length);
}
