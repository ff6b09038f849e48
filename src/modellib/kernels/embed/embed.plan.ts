import type { Matrix } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { argument, type BufferRef, constant, dim, type Step } from '../../library-spec.ts';
import { segmentBytes, segmentFormats } from '../matrix/matrix-work.ts';
import {
  concatenationSegments,
  packSegments,
  partBindings,
  partBuffers,
  type Segment,
  sharedColumns,
} from '../matrix/segments.ts';
import { EMBED_WORKGROUP_SIZE, embedKernel } from './embed.wgsl.ts';

export interface Embed {
  /** [vocabulary, columns]. */
  table: Matrix;
  /** f32 [tokens, columns]. */
  output: BufferRef;
}

/**
 * Rows of the table for the token ids in argument 0 (i32 [tokens]); zeros for an id out of range. One dispatch where
 * the bindings fit, else several that each write the rows they hold.
 * @throws TramontaneError 'adapter-limits' where a part does not fit the device.
 */
export function planEmbed({ table, output }: Embed, caps: GpuCaps): Step[] {
  const columns = sharedColumns([table]);
  return packSegments(concatenationSegments([table]), columns, 2, caps).map((segments, i) => ({
    kernel: embedKernel({ columns, tableRows: table.rows, segments, zeros: i === 0 }, caps),
    buffers: [argument(0), ...partBuffers(partBindings(segments)), output],
    uniforms: [dim('tokens')],
    grid: [dim('tokens', columns / 32, 0, EMBED_WORKGROUP_SIZE), constant(1)],
    work: {
      op: 'embed',
      shape: `${table.rows} x ${columns}`,
      formats: segmentFormats(segments),
      // Each dispatch reads all ids, and moves the rows of those that it holds: on average, its share of them.
      bytes: [
        [dim('tokens'), 4],
        [dim('tokens'), (segmentBytes(segments, columns) + heldRows(segments) * columns * 4) / table.rows],
      ],
      flops: null,
    },
  }));
}

function heldRows(segments: readonly Segment[]): number {
  return segments.reduce((sum, { rows }) => sum + rows, 0);
}
