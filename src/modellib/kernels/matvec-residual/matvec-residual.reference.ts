import { matmulReference } from '../matmul/matmul.reference.ts';

/** residual[r] + sum_k matrix[r,k] * x[k]; `matrix` is [residual.length, x.length]. */
export function matvecResidualReference(
  x: ArrayLike<number>,
  matrix: ArrayLike<number>,
  residual: ArrayLike<number>,
): Float64Array {
  return matmulReference(x, matrix, x.length).map((sum, r) => sum + residual[r]!);
}
