/** y[t,k] = W[ids[t],k]; zeros where an id is out of range. `table` is [rows, columns]. */
export function embedReference(
  ids: ArrayLike<number>,
  table: ArrayLike<number>,
  rows: number,
  columns: number,
): Float64Array {
  const y = new Float64Array(ids.length * columns);
  for (let t = 0; t < ids.length; t++) {
    const id = ids[t]!;
    if (id < 0 || id >= rows) continue;
    for (let k = 0; k < columns; k++) y[t * columns + k] = table[id * columns + k]!;
  }
  return y;
}
