/** What a matrix product has to move and compute: see `StepWork`. */
import { partByteLength } from '../../../models/model-description.ts';
import { constant, type DimExpr, type StepWork } from '../../library-spec.ts';
import type { Segment } from './segments.ts';

/** Bytes of the rows that segments read. */
export function segmentBytes(segments: readonly Segment[], columns: number): number {
  return segments.reduce(
    (sum, { rows, sources }) =>
      sum +
      sources.reduce((bytes, { format }) => {
        const [quants, scales] = partByteLength(format, rows, columns);
        return bytes + quants + scales;
      }, 0),
    0,
  );
}

/** `(4096 + 1024) x 5120`: rows of each segment, and columns; `2 x` where segments pair two matrices. */
export function segmentsShape(segments: readonly Segment[], columns: number): string {
  const rows = segments.map((segment) => segment.rows).join(' + ');
  const pair = segments[0]!.sources.length === 2 ? '2 x ' : '';
  return `${pair}${segments.length > 1 ? `(${rows})` : rows} x ${columns}`;
}

export function segmentFormats(segments: readonly Segment[]): StepWork['formats'] {
  return [...new Set(segments.flatMap(({ sources }) => sources.map(({ format }) => format)))];
}

/** Of a product for `tokens` rows of x, each read once: with a gain where a norm is part of it. */
export function productWork(
  op: string,
  { segments, columns }: { segments: readonly Segment[]; columns: number },
  tokens: DimExpr,
  { norm, accumulates }: { norm: boolean; accumulates: boolean },
): StepWork {
  const outputs = segments.reduce((sum, { rows }) => sum + rows, 0);
  const products = segments.reduce((sum, { rows, sources }) => sum + rows * sources.length, 0);
  return {
    op,
    shape: segmentsShape(segments, columns),
    formats: segmentFormats(segments),
    bytes: [
      [constant(1), segmentBytes(segments, columns) + (norm ? columns * 4 : 0)],
      [tokens, (columns + outputs * (accumulates ? 2 : 1)) * 4],
    ],
    flops: [[tokens, 2 * products * columns]],
  };
}
