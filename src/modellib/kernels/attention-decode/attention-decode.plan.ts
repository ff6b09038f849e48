/** Attention of one token over the KV cache, split over the context so that one sequence fills a GPU. */
import type { Architecture } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, dim, type Step, tiles } from '../../library-spec.ts';
import { attentionShapeLabel, kvBytesPerPosition, requireAttentionShape } from '../rope-kv/kv-cache.ts';
import {
  attentionMergeKernel,
  attentionSplitKernel,
  headsPerWorkgroup,
  SPLIT_POSITIONS,
} from './attention-decode.wgsl.ts';

export interface DecodeAttentionOperands {
  /** f32 [1, (headCount + 2 kvHeadCount) headDim], query rows already rotated; the others are not read. */
  qkv: BufferRef;
  /** Caches that hold positions 0 .. length - 1, this token's own included. */
  keyCache: BufferRef;
  valueCache: BufferRef;
  /** Scratch of {@link decodeAttentionPartialBytes}. */
  partials: BufferRef;
  /** f32 [headCount headDim]. */
  output: BufferRef;
  architecture: Architecture;
  contextLength: number;
}

/** Bytes of the scratch between the two dispatches: a sum, a maximum and a weight for each split and head. */
export function decodeAttentionPartialBytes(
  { headCount, headDim }: Pick<Architecture, 'headCount' | 'headDim'>,
  contextLength: number,
): number {
  return Math.ceil(contextLength / SPLIT_POSITIONS) * splitRecordBytes({ headCount, headDim });
}

function splitRecordBytes({ headCount, headDim }: Pick<Architecture, 'headCount' | 'headDim'>): number {
  return headCount * (headDim + 4) * 4;
}

/**
 * Two dispatches: softmax(q kᵀ / sqrt(headDim)) v over parts of `length` positions, then the merge of the parts. Each
 * key/value head is read once for all its query heads (up to 12 of them; beyond, once for each 12 or fewer; in software
 * once for each).
 *
 * @throws TramontaneError `architecture-unsupported`, `adapter-limits` (see {@link requireAttentionShape}).
 */
export function planDecodeAttention(operands: DecodeAttentionOperands, caps: GpuCaps): Step[] {
  const { architecture } = operands;
  requireAttentionShape(architecture, operands.contextLength, caps);
  const shape = attentionShapeLabel(architecture);
  const rowBytes = architecture.headCount * architecture.headDim * 4;
  const splits = [tiles('length', SPLIT_POSITIONS), splitRecordBytes(architecture)] as const;
  return [
    {
      kernel: attentionSplitKernel(architecture, caps),
      buffers: [operands.qkv, operands.keyCache, operands.valueCache, operands.partials],
      uniforms: [dim('length')],
      grid: [
        tiles('length', SPLIT_POSITIONS),
        constant(architecture.headCount / headsPerWorkgroup(architecture, caps)),
      ],
      work: {
        op: 'attention-split',
        shape,
        formats: [],
        bytes: [[constant(1), rowBytes], [dim('length'), kvBytesPerPosition(architecture)], splits],
        flops: null,
      },
    },
    {
      kernel: attentionMergeKernel(architecture, caps),
      buffers: [operands.partials, operands.output],
      uniforms: [tiles('length', SPLIT_POSITIONS)],
      grid: [constant(architecture.headCount), dim('one')],
      work: {
        op: 'attention-merge',
        shape,
        formats: [],
        bytes: [splits, [constant(1), rowBytes]],
        flops: null,
      },
    },
  ];
}
