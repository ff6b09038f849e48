/** Causal attention of a chunk of tokens over the KV cache. */
import type { Architecture } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, dim, type Step } from '../../library-spec.ts';
import { attentionShapeLabel, kvBytesPerPosition, requireAttentionShape } from '../rope-kv/kv-cache.ts';
import { attentionPrefillKernel, prefillTile } from './attention-prefill.wgsl.ts';
import { attentionPrefillQuadsKernel, QUAD_ROWS } from './attention-prefill-quads.wgsl.ts';

export interface PrefillAttentionOperands {
  /** f32 [tokens, (headCount + 2 kvHeadCount) headDim], query rows already rotated; the others are not read. */
  qkv: BufferRef;
  /** Caches that hold positions 0 .. position + tokens - 1, these tokens' own included. */
  keyCache: BufferRef;
  valueCache: BufferRef;
  /** f32 [tokens, headCount headDim]. */
  output: BufferRef;
  architecture: Architecture;
  contextLength: number;
}

/**
 * One dispatch: token t attends to positions 0 .. position + t. No score outlives its tile.
 *
 * @throws TramontaneError `architecture-unsupported`, `adapter-limits` (see {@link requireAttentionShape}).
 */
export function planPrefillAttention(operands: PrefillAttentionOperands, caps: GpuCaps): Step[] {
  const { architecture } = operands;
  requireAttentionShape(architecture, operands.contextLength, caps);
  const inQuads = caps.isSoftware === true && caps.subgroups;
  const rows = inQuads ? QUAD_ROWS : prefillTile(architecture, caps).rows;
  return [
    {
      kernel: inQuads
        ? attentionPrefillQuadsKernel(architecture, caps)
        : attentionPrefillKernel(architecture, caps),
      buffers: [operands.qkv, operands.keyCache, operands.valueCache, operands.output],
      uniforms: [dim('tokens'), dim('position')],
      grid: [
        dim('tokens', architecture.headCount / architecture.kvHeadCount, 0, rows),
        constant(architecture.kvHeadCount),
      ],
      work: {
        op: 'attention-prefill',
        shape: attentionShapeLabel(architecture),
        formats: [],
        bytes: [
          [dim('tokens'), architecture.headCount * architecture.headDim * 8],
          [dim('length'), kvBytesPerPosition(architecture)],
        ],
        flops: null,
      },
    },
  ];
}
