/** y[t,k] = x[t,k] * gain[k] / sqrt(mean_k(x[t,k]^2) + epsilon), for each row of `gain.length` columns. */
export function rmsNormReference(
  x: ArrayLike<number>,
  gain: ArrayLike<number>,
  epsilon: number,
): Float64Array {
  const columns = gain.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += columns) {
    let squares = 0;
    for (let k = 0; k < columns; k++) squares += x[start + k]! ** 2;
    const factor = 1 / Math.sqrt(squares / columns + epsilon);
    for (let k = 0; k < columns; k++) y[start + k] = x[start + k]! * gain[k]! * factor;
  }
  return y;
}
