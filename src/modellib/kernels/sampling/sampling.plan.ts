/**
 * What happens to the logits of one token, in the order in which WebLLM calls it: grammar mask, logit bias, penalties,
 * the distribution, the draw. None of these programs can see temperature or top_p on the CPU (WebLLM writes them into
 * GPU buffers), so the same dispatches run for every request and the kernels branch.
 */
import { TramontaneError } from '../../../base/errors.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import {
  type Amount,
  argument,
  type BufferRef,
  constant,
  dim,
  type Step,
  type StepWork,
  tiles,
} from '../../library-spec.ts';
import {
  ELEMENTWISE_WORKGROUP,
  idRanges,
  logitBiasKernel,
  maskKernel,
  penaltyKernel,
} from './logit-edits.wgsl.ts';
import { sampleKernel } from './sample.wgsl.ts';
import { SOFTMAX_CHUNK, softmaxPartialKernel, softmaxWriteKernel } from './softmax.wgsl.ts';

/** Bytes of the buffer that carries top_k and min_p from the logit bias to the draw: f32[8]. */
export const SAMPLING_EXTRAS_BYTES = 32;

/** Extras 0..3 are the digits of top_k in base 64, lowest first; 4 is min_p; 0 means that it was not asked for. */
export const TOP_K_BASE = 64;
const TOP_K_DIGITS = 4;
const MIN_P_EXTRA = 4;

/** Bounds the 64-bit sums of the draw, 2^40 a token, and its rows. */
const MAX_VOCABULARY = 2 ** 21;

interface Vocabulary {
  vocabularySize: number;
}

/** Work on the logits: `vocabularyBytes` for each of them, and what else there is. */
function logitsWork(
  op: string,
  { vocabularySize }: Vocabulary,
  vocabularyBytes: number,
  others: Amount = [],
): StepWork {
  return {
    op,
    shape: `${vocabularySize}`,
    formats: [],
    bytes: [[constant(vocabularySize), vocabularyBytes], ...others],
    flops: null,
  };
}

function requireVocabulary({ vocabularySize }: Vocabulary, caps: GpuCaps): void {
  if (!Number.isInteger(vocabularySize) || vocabularySize < 1 || vocabularySize > MAX_VOCABULARY) {
    throw new TramontaneError(
      'architecture-unsupported',
      `The vocabulary has ${vocabularySize} tokens; the samplers take 1 to ${MAX_VOCABULARY}.`,
      { nextStep: 'Choose another model.', data: { vocabularySize } },
    );
  }
  if (vocabularySize * 4 > caps.maxStorageBindingBytes) {
    throw new TramontaneError(
      'adapter-limits',
      `The logits take ${vocabularySize * 4} bytes; this GPU binds at most ${caps.maxStorageBindingBytes} bytes at once.`,
      {
        nextStep: 'Choose another model.',
        data: { needed: vocabularySize * 4, limit: caps.maxStorageBindingBytes },
      },
    );
  }
}

/**
 * The part of `logit_bias` that asks our samplers for top_k and min_p, which WebLLM has no field for: ids from
 * `vocabularySize` on, values within ±100, exact in f32. Only for libraries of this room: a prebuilt one would write
 * beyond its logits.
 *
 * @param extras topK: tokens to draw from, at least 1 (0 or none: all); minP: share of the largest weight that a token
 * must have, 0 to 1. @throws TramontaneError `request-invalid`.
 */
export function encodeSamplingExtras(extras: {
  topK?: number;
  minP?: number;
  vocabularySize: number;
}): Record<string, number> {
  const { topK = 0, minP = 0, vocabularySize } = extras;
  if (!Number.isInteger(topK) || topK < 0) {
    throw new TramontaneError('request-invalid', `top_k is ${topK}; it must be a whole number from 0.`, {
      nextStep: 'Give top_k as a whole number; 0 means no limit.',
      data: { field: 'top_k', found: topK },
    });
  }
  if (!(minP >= 0 && minP <= 1)) {
    throw new TramontaneError('request-invalid', `min_p is ${minP}; it must be from 0 to 1.`, {
      nextStep: 'Give min_p as a share from 0 to 1.',
      data: { field: 'min_p', found: minP },
    });
  }
  const bias: Record<string, number> = {};
  if (topK > 0 && topK < vocabularySize) {
    for (let digit = 0, rest = topK; digit < TOP_K_DIGITS; digit++, rest = Math.floor(rest / TOP_K_BASE)) {
      bias[vocabularySize + digit] = rest % TOP_K_BASE;
    }
  }
  if (minP > 0) bias[vocabularySize + MIN_P_EXTRA] = minP;
  return bias;
}

/**
 * Masks logits in place: argument 0 logits f32 [V], 2 mask i32 [ceil(V/32)], bit v % 32 of word v / 32 allows token v.
 * Control tokens that do not end an answer are masked whatever the mask says. Masked is -3.4028235e38.
 */
export function planApplyBitmask(
  operands: Vocabulary & { controlTokenIds: readonly number[]; stopTokenIds: readonly number[] },
  caps: GpuCaps,
): Step[] {
  requireVocabulary(operands, caps);
  const { vocabularySize, controlTokenIds, stopTokenIds } = operands;
  const stops = new Set(stopTokenIds);
  const blocked = idRanges(controlTokenIds.filter((id) => !stops.has(id) && id >= 0 && id < vocabularySize));
  return [
    {
      kernel: maskKernel(vocabularySize, blocked),
      buffers: [argument(0), argument(2)],
      uniforms: [],
      grid: [constant(Math.ceil(vocabularySize / ELEMENTWISE_WORKGROUP)), dim('one')],
      work: logitsWork('apply-bitmask', operands, 8 + 1 / 8),
    },
  ];
}

/**
 * Adds biases in place: argument 0 logits f32 [V], 2 distinct token ids i32 [count], 3 biases f32 [count]. Ids from V
 * on are not tokens: they carry {@link encodeSamplingExtras} into `extras`, f32[8], which is cleared first.
 */
export function planApplyLogitBias(operands: Vocabulary & { extras: BufferRef }, caps: GpuCaps): Step[] {
  requireVocabulary(operands, caps);
  return [
    {
      kernel: logitBiasKernel(operands.vocabularySize, SAMPLING_EXTRAS_BYTES / 4),
      buffers: [argument(0), argument(2), argument(3), operands.extras],
      uniforms: [dim('count')],
      grid: [dim('one'), dim('one')],
      work: logitsWork('apply-logit-bias', operands, 0, [
        [dim('count'), 16],
        [constant(1), SAMPLING_EXTRAS_BYTES],
      ]),
    },
  ];
}

/**
 * Penalises tokens in place: argument 0 logits f32 [V], 3 distinct token ids i32 [count], 4 their counts i32 [count],
 * 5 presence, frequency and repetition penalty f32 [3]. Masked logits stay masked.
 */
export function planApplyPenalty(operands: Vocabulary, caps: GpuCaps): Step[] {
  requireVocabulary(operands, caps);
  return [
    {
      kernel: penaltyKernel(operands.vocabularySize),
      buffers: [argument(0), argument(3), argument(4), argument(5)],
      uniforms: [dim('count')],
      grid: [tiles('count', ELEMENTWISE_WORKGROUP), dim('one')],
      work: logitsWork('apply-penalty', operands, 0, [
        [dim('count'), 16],
        [constant(1), 12],
      ]),
    },
  ];
}

/** Bytes of the scratch between softmax's two dispatches: a maximum and a sum for each part of the vocabulary. */
export function softmaxPartialBytes(vocabularySize: number): number {
  return Math.ceil(vocabularySize / SOFTMAX_CHUNK) * 8;
}

/**
 * Two dispatches: argument 0 logits f32 [V] to `probs` f32 [V], the distribution at temperature 1 (argument 1 is not
 * looked at). Masked and NaN logits get 0; so do all when all are masked.
 */
export function planSoftmax(
  operands: Vocabulary & { probs: BufferRef; partials: BufferRef },
  caps: GpuCaps,
): Step[] {
  requireVocabulary(operands, caps);
  const { vocabularySize, probs, partials } = operands;
  const chunks = constant(Math.ceil(vocabularySize / SOFTMAX_CHUNK));
  const partialBytes: Amount = [[constant(1), softmaxPartialBytes(vocabularySize)]];
  return [
    {
      kernel: softmaxPartialKernel(vocabularySize, caps),
      buffers: [argument(0), partials],
      uniforms: [],
      grid: [chunks, dim('one')],
      work: logitsWork('softmax-partial', operands, 4, partialBytes),
    },
    {
      kernel: softmaxWriteKernel(vocabularySize, caps),
      buffers: [argument(0), partials, probs],
      uniforms: [],
      grid: [chunks, dim('one')],
      work: logitsWork('softmax-write', operands, 8, partialBytes),
    },
  ];
}

/**
 * One dispatch of one workgroup: draws a token. Argument 0 logits f32 [V], 1 temperature f32 [1], 2 a uniform number
 * in [0, 1) f32 [1], 3 top_p f32 [1]; top_k and min_p from `extras` where this step's logits had a bias call. Writes
 * the id to `output`, i32 [1]: the most likely one (the lowest of equals) at temperatures up to 1e-5, 0 when every
 * logit is masked.
 */
export function planSample(
  operands: Vocabulary & { extras: BufferRef; output: BufferRef },
  caps: GpuCaps,
): Step[] {
  requireVocabulary(operands, caps);
  return [
    {
      kernel: sampleKernel(operands.vocabularySize, caps),
      buffers: [argument(0), argument(1), argument(2), argument(3), operands.extras, operands.output],
      uniforms: [constant(operands.vocabularySize), dim('biased')],
      grid: [dim('one'), dim('one')],
      // Greedy: one look at every logit; temperature, id.
      work: logitsWork('sample', operands, 4, [[constant(1), 8]]),
    },
  ];
}
