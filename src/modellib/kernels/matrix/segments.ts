/**
 * Splits the rows of one or more matrices into segments that a kernel can treat alike, and packs segments into
 * dispatches whose bindings fit the device.
 */
import { assert } from '../../../base/assert.ts';
import { TramontaneError } from '../../../base/errors.ts';
import { BLOCK_COLUMNS, WEIGHT_FORMATS } from '../../../base/weight-formats.ts';
import {
  type Matrix,
  type MatrixPart,
  partByteLength,
  type WeightFormat,
} from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, weight } from '../../library-spec.ts';

/** Rows of one matrix part, from `firstRow` (within the part). */
export interface Source {
  format: WeightFormat;
  part: MatrixPart;
  firstRow: number;
}

/**
 * `rows` consecutive rows of the output, from `outputRow`. One source, or two of the same height whose results are
 * combined (gate and up).
 */
export interface Segment {
  outputRow: number;
  rows: number;
  sources: readonly Source[];
}

/** Columns of matrices that share their input. @throws Error (ours) unless they agree. */
export function sharedColumns(matrices: readonly Matrix[]): number {
  const columns = matrices[0]!.columns;
  assert(
    matrices.every((matrix) => matrix.columns === columns),
    `matrices of one input have ${matrices.map((matrix) => matrix.columns).join(', ')} columns`,
  );
  assert(columns % BLOCK_COLUMNS === 0, `${columns} columns are no multiple of ${BLOCK_COLUMNS}`);
  return columns;
}

/** The parts of the row-wise concatenation of `matrices`, one segment each. */
export function concatenationSegments(matrices: readonly Matrix[]): Segment[] {
  const segments: Segment[] = [];
  let base = 0;
  for (const { format, parts, rows } of matrices) {
    for (const part of parts) {
      const source = { format, part, firstRow: 0 };
      segments.push({ outputRow: base + part.rowStart, rows: part.rows, sources: [source] });
    }
    base += rows;
  }
  return segments;
}

/** Segments of rows that both matrices hold within one part, however differently they are split. */
export function pairedSegments(a: Matrix, b: Matrix): Segment[] {
  assert(a.rows === b.rows, `paired matrices have ${a.rows} and ${b.rows} rows`);
  const segments: Segment[] = [];
  const find = (matrix: Matrix, row: number): Source => {
    const part = matrix.parts.find(({ rowStart, rows }) => row >= rowStart && row < rowStart + rows);
    assert(part, `no part holds row ${row} of ${matrix.rows}`);
    return { format: matrix.format, part, firstRow: row - part.rowStart };
  };
  for (let row = 0; row < a.rows; ) {
    const sources = [find(a, row), find(b, row)];
    const end = Math.min(...sources.map(({ part }) => part.rowStart + part.rows));
    segments.push({ outputRow: row, rows: end - row, sources });
    row = end;
  }
  return segments;
}

/** One part's records as bindings of a kernel. */
export interface PartBinding {
  format: WeightFormat;
  part: MatrixPart;
  /** WGSL names of its storage arrays. */
  quants: string;
  scales: string;
}

/** The distinct parts that segments read, named `quants0`, `scales0`, … in order. */
export function partBindings(segments: readonly Segment[]): PartBinding[] {
  const bindings: PartBinding[] = [];
  for (const { format, part } of segments.flatMap((segment) => segment.sources)) {
    if (bindings.some((binding) => binding.part.quants === part.quants)) continue;
    const i = bindings.length;
    bindings.push({ format, part, quants: `quants${i}`, scales: `scales${i}` });
  }
  return bindings;
}

/** The parts that source number `source` of some segment reads, in the order of `parts`. */
export function sourceParts(
  segments: readonly Segment[],
  parts: readonly PartBinding[],
  source: number,
): PartBinding[] {
  const records = new Set(segments.map(({ sources }) => sources[source]!.part.quants));
  return parts.filter(({ part }) => records.has(part.quants));
}

/** Buffers of part bindings, in the order in which kernels declare them. */
export function partBuffers(bindings: readonly PartBinding[]): BufferRef[] {
  return bindings.flatMap(({ format, part }) => {
    const quants = weight(part.quants);
    if (WEIGHT_FORMATS[format].scaleBytes === 0) return [quants];
    assert(part.scales !== null, `${part.quants} (${format}) has no scales`);
    return [quants, weight(part.scales)];
  });
}

/**
 * Packs segments, in order, into as few dispatches as the device's bindings allow beside `otherBindings` of the
 * kernel's own.
 * @throws TramontaneError 'adapter-limits' where one segment alone has too many bindings, or a record is larger than a
 * binding may be.
 */
export function packSegments(
  segments: readonly Segment[],
  columns: number,
  otherBindings: number,
  caps: GpuCaps,
): Segment[][] {
  const groups: Segment[][] = [];
  for (const segment of segments) {
    for (const { format, part } of segment.sources) checkRecords(format, part, columns, caps);
    const fits = (group: readonly Segment[]) =>
      partBuffers(partBindings(group)).length + otherBindings <= caps.maxStorageBuffersPerStage;
    const last = groups.at(-1);
    if (last !== undefined && fits([...last, segment])) {
      last.push(segment);
      continue;
    }
    if (!fits([segment])) {
      const needed = partBuffers(partBindings([segment])).length + otherBindings;
      throw new TramontaneError(
        'adapter-limits',
        `A kernel needs ${needed} storage buffers; this GPU allows ${caps.maxStorageBuffersPerStage} per stage.`,
        {
          nextStep: 'Use a GPU or browser that allows more.',
          data: { needed, limit: caps.maxStorageBuffersPerStage },
        },
      );
    }
    groups.push([segment]);
  }
  return groups;
}

function checkRecords(format: WeightFormat, part: MatrixPart, columns: number, caps: GpuCaps): void {
  const limit = caps.maxStorageBindingBytes;
  for (const [i, byteLength] of partByteLength(format, part.rows, columns).entries()) {
    if (byteLength <= limit) continue;
    const record = i === 0 ? part.quants : part.scales;
    throw new TramontaneError(
      'adapter-limits',
      `Weight record ${record} has ${byteLength} bytes; this GPU binds at most ${limit}.`,
      { nextStep: 'Import the model again with smaller records.', data: { record, byteLength, limit } },
    );
  }
}

/** @throws TramontaneError 'adapter-limits' where a kernel's workgroup memory does not fit. */
export function checkWorkgroupStorage(kernel: string, byteLength: number, caps: GpuCaps): void {
  if (byteLength <= caps.maxWorkgroupStorageBytes) return;
  throw new TramontaneError(
    'adapter-limits',
    `Kernel ${kernel} needs ${byteLength} bytes of workgroup memory; this GPU has ${caps.maxWorkgroupStorageBytes}.`,
    { data: { kernel, byteLength, limit: caps.maxWorkgroupStorageBytes } },
  );
}

/** Workgroups that cover the segments at `height` rows each; none straddles two segments. */
export function workgroupCount(segments: readonly Segment[], height: number): number {
  return segments.reduce((count, { rows }) => count + Math.ceil(rows / height), 0);
}
