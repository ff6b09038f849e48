/** y[t,r] = sum_k input[t,k] * matrix[r,k]; `input` is [tokens, columns], `matrix` [rows, columns]. */
export function matmulReference(
  input: ArrayLike<number>,
  matrix: ArrayLike<number>,
  columns: number,
): Float64Array {
  const tokens = input.length / columns;
  const rows = matrix.length / columns;
  const y = new Float64Array(tokens * rows);
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += input[t * columns + k]! * matrix[r * columns + k]!;
      y[t * rows + r] = sum;
    }
  }
  return y;
}

/** silu(gate) * up, element by element; silu(g) = g / (1 + exp(-g)). */
export function swigluReference(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from(
    { length: gate.length },
    (_, i) => (gate[i]! / (1 + Math.exp(-gate[i]!))) * up[i]!,
  );
}
