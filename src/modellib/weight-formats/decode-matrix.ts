/** CPU twin of the kernels' decoding: the weights of a matrix, from its records. */
import type { Matrix } from '../../models/model-description.ts';
import { weightFormats } from './weight-formats.ts';

/** @returns f32 [rows, columns]; exact for every format but f32 sums of scale and minimum, which round once. */
export function decodeMatrix(matrix: Matrix, readRecord: (name: string) => Uint8Array): Float32Array {
  const { decode } = weightFormats[matrix.format];
  const view = (name: string) => {
    const bytes = readRecord(name);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const values = new Float32Array(matrix.rows * matrix.columns);
  for (const part of matrix.parts) {
    const record = { quants: view(part.quants), scales: part.scales === null ? null : view(part.scales) };
    const start = part.rowStart * matrix.columns;
    for (let i = 0; i < part.rows * matrix.columns; i++) values[start + i] = decode(record, i >> 5, i & 31);
  }
  return values;
}
