/** llama.cpp's conversion of Q and K: reshape(heads, 2, headDim / 2, columns).swapaxes(1, 2). */
export function permuteRows(bytes: Uint8Array, rows: number, headDim: number): Uint8Array {
  const rowBytes = bytes.byteLength / rows;
  const result = new Uint8Array(bytes.byteLength);
  let target = 0;
  for (let head = 0; head < rows / headDim; head++) {
    for (let pair = 0; pair < headDim / 2; pair++) {
      for (let half = 0; half < 2; half++) {
        const row = head * headDim + half * (headDim / 2) + pair;
        result.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), target++ * rowBytes);
      }
    }
  }
  return result;
}
