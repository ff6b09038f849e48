/**
 * Where each tensor of a source goes: matrices are cut by rows into parts, parts packed into shards in loading order.
 * Pure arithmetic on the header, so a plan is known before a byte of weights is read, and the same header and limits
 * always give the same plan.
 */
import { type Matrix, type MatrixPart, partByteLength, type Vector } from '../../models/model-description.ts';
import type { SourceMatrix, SourceModel, SourceVector } from './gguf-architecture.ts';

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

/** Work that fills a stretch of a shard. Offsets are in bytes from the shard's start. */
export type PlannedItem =
  | {
      kind: 'part';
      matrix: SourceMatrix;
      rowStart: number;
      rows: number;
      quantsOffset: number;
      /** Equal to the end of the quants where the format has no scales. */
      scalesOffset: number;
    }
  | { kind: 'vector'; vector: SourceVector; offset: number };

export interface PlannedShard {
  name: string;
  byteLength: number;
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
 * @throws RangeError where the limits leave no room for the smallest possible part
 */
export function planImport(source: SourceModel, limits: ImportLimits): ImportPlan {
  const shards: PlannedShard[] = [];
  const matrices = new Map<string, Matrix>();
  const vectors = new Map<string, Vector>();
  let items: PlannedItem[] = [];
  let records: TensorRecord[] = [];
  let shardBytes = 0;
  let sourceByteLength = 0;

  const closeShard = (): void => {
    if (items.length === 0) return;
    shards.push({ name: `params_shard_${shards.length}.bin`, byteLength: shardBytes, items, records });
    items = [];
    records = [];
    shardBytes = 0;
  };
  /** Makes room for `byteLength` bytes in one shard. */
  const reserve = (byteLength: number): void => {
    if (shardBytes + byteLength > limits.maxShardBytes) closeShard();
  };
  const addRecord = (name: string, dtype: TensorRecord['dtype'], nbytes: number): number => {
    const byteOffset = shardBytes;
    records.push({ name, shape: [nbytes / 4], dtype, format: 'raw', nbytes, byteOffset });
    shardBytes += nbytes;
    return byteOffset;
  };

  for (const entry of source.tensors) {
    if (entry.kind === 'vector') {
      const { vector } = entry;
      reserve(vector.length * 4);
      const offset = addRecord(vector.name, 'float32', vector.length * 4);
      items.push({ kind: 'vector', vector, offset });
      vectors.set(vector.name, { length: vector.length, record: vector.name });
      sourceByteLength += vector.tensor.byteLength;
      continue;
    }
    const { matrix } = entry;
    const { name, rows, columns } = matrix;
    const format = matrix.format.name;
    const parts: MatrixPart[] = [];
    for (const { rowStart, rows: partRows } of splitRows(matrix, limits)) {
      const [quantBytes, scaleBytes] = partByteLength(format, partRows, columns);
      reserve(quantBytes + scaleBytes);
      const quants = `${name}.${parts.length}.quants`;
      const scales = scaleBytes === 0 ? null : `${name}.${parts.length}.scales`;
      const quantsOffset = addRecord(quants, format === 'f32' ? 'float32' : 'uint32', quantBytes);
      const scalesOffset = scales === null ? shardBytes : addRecord(scales, 'uint32', scaleBytes);
      parts.push({ rowStart, rows: partRows, quants, scales });
      items.push({ kind: 'part', matrix, rowStart, rows: partRows, quantsOffset, scalesOffset });
    }
    matrices.set(name, { format, rows, columns, parts });
    sourceByteLength += matrix.tensor.byteLength;
  }
  closeShard();
  const byteLength = shards.reduce((sum, shard) => sum + shard.byteLength, 0);
  return { shards, matrices, vectors, sourceByteLength, byteLength };
}

/** Cuts rows into as few parts as the limits allow, of nearly the same length. */
function splitRows(
  matrix: SourceMatrix,
  { maxRecordBytes, maxShardBytes }: ImportLimits,
): { rowStart: number; rows: number }[] {
  const { rows, columns, format } = matrix;
  const groups = columns / format.groupColumns;
  // Four bytes for the padding of the scales.
  const mostRows = Math.floor(
    Math.min(
      maxRecordBytes / (groups * Math.max(format.quantBytes, format.scaleBytes)),
      (maxShardBytes - 4) / (groups * (format.quantBytes + format.scaleBytes)),
    ),
  );
  // Rows change places within a head, so a head of Q or K stays in one part.
  const unit = matrix.headDim ?? (mostRows >= ROW_MULTIPLE ? ROW_MULTIPLE : 1);
  const mostUnits = Math.floor(mostRows / unit);
  if (mostUnits < 1) {
    throw new RangeError(
      `Records of ${maxRecordBytes} and shards of ${maxShardBytes} bytes cannot hold ${unit} rows of ${matrix.name}`,
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
