/** Attention of one token over the KV cache, split over the context so that one sequence fills a GPU. */
import type { Architecture } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import {
  type Amount,
  type BufferRef,
  constant,
  dim,
  type Step,
  type StepWork,
  tiles,
} from '../../library-spec.ts';
import { attentionShapeLabel, kvBytesPerPosition, requireAttentionShape } from '../rope-kv/kv-cache.ts';
import {
  attentionMergeKernel,
  attentionSplitKernel,
  headsPerWorkgroup,
  SPLIT_POSITIONS,
} from './attention-decode.wgsl.ts';
import {
  attentionScoresKernel,
  attentionValuesKernel,
  headsPerQuad,
  SCORE_POSITIONS,
  VALUE_RUNS,
} from './attention-quads.wgsl.ts';

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

/**
 * Bytes of the scratch between the two dispatches: a sum, a maximum and a weight for each split and head, or a score for
 * each of its positions.
 */
export function decodeAttentionPartialBytes(
  { headCount, headDim }: Pick<Architecture, 'headCount' | 'headDim'>,
  contextLength: number,
): number {
  const splits = Math.ceil(contextLength / SPLIT_POSITIONS);
  return splits * Math.max(splitRecordBytes({ headCount, headDim }), headCount * SPLIT_POSITIONS * 4);
}

function splitRecordBytes({ headCount, headDim }: Pick<Architecture, 'headCount' | 'headDim'>): number {
  return headCount * (headDim + 4) * 4;
}

/**
 * Two dispatches: softmax(q kᵀ / sqrt(headDim)) v over parts of `length` positions, then the merge of the parts; on
 * processors that pose as GPUs the scores, then their sums of values. Each key/value head is read once for all its query
 * heads (up to 12 of them, on processors 8; beyond, once for each so many or fewer).
 *
 * @throws TramontaneError `architecture-unsupported`, `adapter-limits` (see {@link requireAttentionShape}).
 */
export function planDecodeAttention(operands: DecodeAttentionOperands, caps: GpuCaps): Step[] {
  requireAttentionShape(operands.architecture, operands.contextLength, caps);
  const inQuads = caps.isSoftware === true && caps.subgroups;
  return inQuads ? planQuads(operands, caps) : planSplits(operands, caps);
}

function planSplits(operands: DecodeAttentionOperands, caps: GpuCaps): Step[] {
  const { architecture, partials } = operands;
  const splitBytes = [tiles('length', SPLIT_POSITIONS), splitRecordBytes(architecture)] as const;
  return [
    {
      kernel: attentionSplitKernel(architecture, caps),
      buffers: [operands.qkv, operands.keyCache, operands.valueCache, partials],
      uniforms: [dim('length')],
      grid: [
        tiles('length', SPLIT_POSITIONS),
        constant(architecture.headCount / headsPerWorkgroup(architecture)),
      ],
      work: attentionWork('attention-split', architecture, [
        [dim('length'), kvBytesPerPosition(architecture)],
        splitBytes,
      ]),
    },
    {
      kernel: attentionMergeKernel(architecture, caps),
      buffers: [partials, operands.output],
      uniforms: [tiles('length', SPLIT_POSITIONS)],
      grid: [constant(architecture.headCount), dim('one')],
      work: attentionWork('attention-merge', architecture, [splitBytes]),
    },
  ];
}

function planQuads(operands: DecodeAttentionOperands, caps: GpuCaps): Step[] {
  const { architecture, partials } = operands;
  const { headCount, headDim } = architecture;
  const heads = constant(headCount / headsPerQuad(architecture));
  const kvBytes = [dim('length'), kvBytesPerPosition(architecture) / 2] as const;
  const scoreBytes = [dim('length'), headCount * 4] as const;
  return [
    {
      kernel: attentionScoresKernel(architecture, caps),
      buffers: [operands.qkv, operands.keyCache, partials],
      uniforms: [dim('length')],
      grid: [tiles('length', SCORE_POSITIONS), heads],
      work: attentionWork('attention-scores', architecture, [kvBytes, scoreBytes]),
    },
    {
      kernel: attentionValuesKernel(architecture, caps),
      buffers: [partials, operands.valueCache, operands.output],
      uniforms: [dim('length')],
      grid: [constant(Math.ceil(headDim / (8 * VALUE_RUNS))), heads],
      work: attentionWork('attention-values', architecture, [kvBytes, scoreBytes]),
    },
  ];
}

/** Either dispatch also reads or writes a row of all query heads. */
function attentionWork(op: string, architecture: Architecture, bytes: Amount): StepWork {
  return {
    op,
    shape: attentionShapeLabel(architecture),
    formats: [],
    bytes: [[constant(1), architecture.headCount * architecture.headDim * 4], ...bytes],
    flops: null,
  };
}
