/** How tensors of a source are read: in slices of bounded size, each filling a stretch of the records it belongs to. */
import { float16ToNumber } from '../../base/float16.ts';
import { toRotateHalfRows } from '../../formats/gguf/rope-rows.ts';
import { type BlockFormat, viewOf } from '../../formats/quant/block-format.ts';
import type { SourceSlice } from './source-model.ts';

/** Most bytes read at once, if a row (or a head, where its rows change places) is not longer. */
const SLICE_BYTES = 4 << 20;

export interface GgufMatrixPlace {
  /** Of the tensor, in the source. */
  offset: number;
  format: BlockFormat;
  columns: number;
  /** Rows of a head, where they are in llama.cpp's order; else null. */
  headDim: number | null;
}

/** Rows of a GGUF tensor: re-packed, and put into Hugging Face's order. */
export function sliceGgufMatrix(place: GgufMatrixPlace, rowStart: number, rows: number): SourceSlice[] {
  const { offset, format, columns, headDim } = place;
  const rowGroups = columns / format.groupColumns;
  const rowBytes = rowGroups * format.sourceBytes;
  return sliceRows(rows, rowBytes, headDim ?? 1, (row, count) => {
    const start = row * rowGroups;
    const end = start + count * rowGroups;
    return {
      offset: offset + (rowStart + row) * rowBytes,
      byteLength: count * rowBytes,
      apply: (bytes, quants, scales) =>
        format.repack(
          headDim === null ? bytes : toRotateHalfRows(bytes, rowBytes, headDim),
          quants.subarray(start * format.quantBytes, end * format.quantBytes),
          scales.subarray(start * format.scaleBytes, end * format.scaleBytes),
        ),
    };
  });
}

/** Bytes that are stored as they are, from the beginning of a part's quants or scales on. */
export function sliceBytes(offset: number, byteLength: number, target: 'quants' | 'scales'): SourceSlice[] {
  return Array.from({ length: Math.ceil(byteLength / SLICE_BYTES) }, (_, index) => {
    const start = index * SLICE_BYTES;
    return {
      offset: offset + start,
      byteLength: Math.min(SLICE_BYTES, byteLength - start),
      apply: (bytes, quants, scales) => (target === 'quants' ? quants : scales).set(bytes, start),
    };
  });
}

/** A vector of f16 or f32, as f32. */
export function sliceVector(offset: number, length: number, type: 'F16' | 'F32'): SourceSlice[] {
  const isHalf = type === 'F16';
  return [
    {
      offset,
      byteLength: length * (isHalf ? 2 : 4),
      apply: (bytes, values) => (isHalf ? widenHalves(bytes, values) : values.set(bytes)),
    },
  ];
}

/** Cuts rows into runs of at most {@link SLICE_BYTES}, whole units each. */
function sliceRows(
  rows: number,
  rowBytes: number,
  unit: number,
  slice: (row: number, count: number) => SourceSlice,
): SourceSlice[] {
  const most = Math.max(1, Math.floor(SLICE_BYTES / (rowBytes * unit))) * unit;
  return Array.from({ length: Math.ceil(rows / most) }, (_, index) =>
    slice(index * most, Math.min(most, rows - index * most)),
  );
}

function widenHalves(source: Uint8Array, target: Uint8Array): void {
  const from = viewOf(source);
  const to = viewOf(target);
  for (let index = 0; index < source.byteLength / 2; index++) {
    to.setFloat32(index * 4, float16ToNumber(from.getUint16(index * 2, true)), true);
  }
}
