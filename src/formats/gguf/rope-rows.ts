/**
 * Row order of Q and K. llama.cpp rotates neighbouring rows of a head (2j, 2j + 1) and stores them so; Hugging Face,
 * and our kernels, rotate rows j and j + headDim / 2. Rows move whole, so no weight changes.
 */

/** Row of a head, in Hugging Face's order, of the row that GGUF stores at `row` of that head. */
function rotateHalfRow(row: number, headDim: number): number {
  return (row % 2) * (headDim / 2) + Math.floor(row / 2);
}

/** Puts whole heads of GGUF rows into Hugging Face's order. `bytes` holds a multiple of `headDim` rows. */
export function toRotateHalfRows(
  bytes: Uint8Array<ArrayBuffer>,
  rowBytes: number,
  headDim: number,
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes.byteLength);
  const rows = bytes.byteLength / rowBytes;
  for (let row = 0; row < rows; row++) {
    const rowInHead = row % headDim;
    const target = row - rowInHead + rotateHalfRow(rowInHead, headDim);
    result.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
  }
  return result;
}
