/**
 * Where each tensor of a source goes: matrices are cut by rows into parts, parts packed into shards in loading order.
 * Pure arithmetic on the header, so a plan is known before a byte of weights is read, and the same header and limits
 * always give the same plan.
 */
import { FormatError } from '../../base/errors.ts';
import { WEIGHT_FORMATS } from '../../base/weight-formats.ts';
import { type Matrix, type MatrixPart, partByteLength, type Vector } from '../../models/model-description.ts';
import type { SourceMatrix, SourceModel, SourceSlice } from './source-model.ts';

export interface ImportLimits {
  /** Most bytes of one record: one GPU binding. */
  maxRecordBytes: number;
  /** Most bytes of one shard: one file. */
  maxShardBytes: number;
}

/** One entry of tensor-cache.json's inner `records`. */
export interface TensorRecord {
  name: string;
  shape: [number];
  dtype: 'uint32' | 'float32';
  format: 'raw';
  nbytes: number;
  byteOffset: number;
}

/** Where bytes lie, in a shard or in a source. */
export interface Stretch {
  offset: number;
  byteLength: number;
}

/** Work that fills the records of a part of a matrix, or of a vector. */
export interface PlannedItem {
  /** A vector's values are here. */
  quants: Stretch;
  /** Empty where there are none. */
  scales: Stretch;
  slices: readonly SourceSlice[];
}

export interface PlannedShard {
  name: string;
  byteLength: number;
  /** Bytes of the source that fill it. */
  sourceByteLength: number;
  items: readonly PlannedItem[];
  records: readonly TensorRecord[];
}

export interface ImportPlan {
  shards: readonly PlannedShard[];
  matrices: ReadonlyMap<string, Matrix>;
  vectors: ReadonlyMap<string, Vector>;
  /** Bytes that will be read from the source. */
  sourceByteLength: number;
  /** Bytes of all shards. */
  byteLength: number;
}

/** Parts begin at multiples of this many rows where they can, so that kernels' tiles do not straddle them. */
const ROW_MULTIPLE = 64;

/**
 * @throws FormatError `format-unsupported` where the limits leave no room for the smallest possible part
 */
export function planImport(source: SourceModel, limits: ImportLimits): ImportPlan {
  const shards: PlannedShard[] = [];
  const matrices = new Map<string, Matrix>();
  const vectors = new Map<string, Vector>();
  let items: PlannedItem[] = [];
  let records: TensorRecord[] = [];
  let shardBytes = 0;

  const closeShard = (): void => {
    if (items.length === 0) return;
    shards.push({
      name: `params_shard_${shards.length}.bin`,
      byteLength: shardBytes,
      sourceByteLength: sumBytes(items.flatMap(({ slices }) => slices)),
      items,
      records,
    });
    items = [];
    records = [];
    shardBytes = 0;
  };
  /** Makes room for `byteLength` bytes in one shard. */
  const reserve = (byteLength: number): void => {
    if (shardBytes + byteLength > limits.maxShardBytes) closeShard();
  };
  const addRecord = (name: string, dtype: TensorRecord['dtype'], byteLength: number): Stretch => {
    const offset = shardBytes;
    records.push({
      name,
      shape: [byteLength / 4],
      dtype,
      format: 'raw',
      nbytes: byteLength,
      byteOffset: offset,
    });
    shardBytes += byteLength;
    return { offset, byteLength };
  };
  const none = (): Stretch => ({ offset: shardBytes, byteLength: 0 });

  for (const entry of source.tensors) {
    if (entry.kind === 'vector') {
      const { name, length, slice } = entry.vector;
      reserve(length * 4);
      items.push({ quants: addRecord(name, 'float32', length * 4), scales: none(), slices: slice() });
      vectors.set(name, { length, record: name });
      continue;
    }
    const { name, rows, columns, format, slice } = entry.matrix;
    const parts: MatrixPart[] = [];
    for (const { rowStart, rows: partRows } of splitRows(entry.matrix, limits)) {
      const [quantBytes, scaleBytes] = partByteLength(format, partRows, columns);
      reserve(quantBytes + scaleBytes);
      const quants = `${name}.${parts.length}.quants`;
      const scales = scaleBytes === 0 ? null : `${name}.${parts.length}.scales`;
      parts.push({ rowStart, rows: partRows, quants, scales });
      items.push({
        quants: addRecord(quants, format === 'f32' ? 'float32' : 'uint32', quantBytes),
        scales: scales === null ? none() : addRecord(scales, 'uint32', scaleBytes),
        slices: slice(rowStart, partRows),
      });
    }
    matrices.set(name, { format, rows, columns, parts });
  }
  closeShard();
  return {
    shards,
    matrices,
    vectors,
    sourceByteLength: shards.reduce((sum, shard) => sum + shard.sourceByteLength, 0),
    byteLength: sumBytes(shards),
  };
}

function sumBytes(stretches: readonly { byteLength: number }[]): number {
  return stretches.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** What is read of a source for a shard, in order. */
export function sourceRanges({ items }: PlannedShard): Stretch[] {
  return items.flatMap(({ slices }) => slices.map(({ offset, byteLength }) => ({ offset, byteLength })));
}

/** Cuts rows into as few parts as the limits allow, of nearly the same length. */
function splitRows(
  matrix: SourceMatrix,
  { maxRecordBytes, maxShardBytes }: ImportLimits,
): { rowStart: number; rows: number }[] {
  const { rows, columns } = matrix;
  const format = WEIGHT_FORMATS[matrix.format];
  const groups = columns / format.groupColumns;
  // Four bytes for the padding of the scales.
  const mostRows = Math.floor(
    Math.min(
      maxRecordBytes / (groups * Math.max(format.quantBytes, format.scaleBytes)),
      (maxShardBytes - 4) / (groups * (format.quantBytes + format.scaleBytes)),
    ),
  );
  const unit = matrix.rowUnit ?? (mostRows >= ROW_MULTIPLE ? ROW_MULTIPLE : 1);
  const mostUnits = Math.floor(mostRows / unit);
  if (mostUnits < 1) {
    throw new FormatError(
      `Records of ${maxRecordBytes} and shards of ${maxShardBytes} bytes cannot hold ${unit} rows of ${matrix.name}`,
      { field: matrix.name },
      { code: 'format-unsupported' },
    );
  }
  const units = Math.ceil(rows / unit);
  const unitsPerPart = Math.ceil(units / Math.ceil(units / mostUnits));
  const parts: { rowStart: number; rows: number }[] = [];
  for (let rowStart = 0; rowStart < rows; rowStart += unitsPerPart * unit) {
    parts.push({ rowStart, rows: Math.min(unitsPerPart * unit, rows - rowStart) });
  }
  return parts;
}
