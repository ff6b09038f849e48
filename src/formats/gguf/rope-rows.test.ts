import { expect, test } from 'vitest';
import { toRotateHalfRows } from './rope-rows.ts';

/** llama.cpp's conversion, literally: reshape(heads, 2, headDim / 2, columns).swapaxes(1, 2), back to rows. */
function permute(rows: number[], headCount: number): number[] {
  const headDim = rows.length / headCount;
  const result: number[] = [];
  for (let head = 0; head < headCount; head++) {
    for (let pair = 0; pair < headDim / 2; pair++) {
      for (let half = 0; half < 2; half++) {
        result.push(rows[head * headDim + half * (headDim / 2) + pair] as number);
      }
    }
  }
  return result;
}

test.each([
  [1, 2],
  [3, 8],
  [6, 32],
  [2, 128],
])('undoes the order of %i heads of %i rows', (headCount, headDim) => {
  const huggingFace = Array.from({ length: headCount * headDim }, (_, row) => row);
  const gguf = permute(huggingFace, headCount);
  const rowBytes = 6;
  const bytes = new Uint8Array(gguf.flatMap((row) => [row & 255, row >> 8, 1, 2, 3, 4]));
  const result = toRotateHalfRows(bytes, rowBytes, headDim);
  expect(result).toEqual(new Uint8Array(huggingFace.flatMap((row) => [row & 255, row >> 8, 1, 2, 3, 4])));
});
