/**
 * Lowers a model to the programs that WebLLM calls: which kernels run, over which buffers, in which order. Pure: no
 * GPU, no I/O; what it returns can be printed, counted and tested.
 *
 * A decoded token is 7 dispatches a layer:
 *   norm+QKV · RoPE+KV write · attention · merge · O+residual · norm+gate·up+SwiGLU · down+residual
 * A prefill chunk is 8: norm · QKV · RoPE+KV write · attention · O+residual · norm · gate·up+SwiGLU · down+residual.
 */
import { TramontaneError } from '../base/errors.ts';
import {
  type LayerTensors,
  type Matrix,
  type ModelDescription,
  partByteLength,
} from '../models/model-description.ts';
import type { GpuCaps } from './gpu-caps.ts';
import {
  decodeAttentionPartialBytes,
  planDecodeAttention,
} from './kernels/attention-decode/attention-decode.plan.ts';
import { planPrefillAttention } from './kernels/attention-prefill/attention-prefill.plan.ts';
import { planEmbed } from './kernels/embed/embed.plan.ts';
import { planMatmul, planMatmulGateUp, planMatmulResidual } from './kernels/matmul/matmul.plan.ts';
import { planMatvecResidual } from './kernels/matvec-residual/matvec-residual.plan.ts';
import { planNormGateUp } from './kernels/norm-gate-up/norm-gate-up.plan.ts';
import { planNormMatvec } from './kernels/norm-matvec/norm-matvec.plan.ts';
import { planRmsNorm } from './kernels/rms-norm/rms-norm.plan.ts';
import { kvCacheByteLength, planRopeKv, ropeTable } from './kernels/rope-kv/rope-kv.plan.ts';
import {
  planApplyBitmask,
  planApplyLogitBias,
  planApplyPenalty,
  planSample,
  planSoftmax,
  SAMPLING_EXTRAS_BYTES,
  softmaxPartialBytes,
} from './kernels/sampling/sampling.plan.ts';
import { constant, dim, type LibrarySpec, type PlannedBuffer, planned, type Step } from './library-spec.ts';

export interface LowerOptions {
  /** Tokens of context to plan the KV cache for. */
  contextLength: number;
  /** Most tokens in one prefill call. */
  prefillChunkLength: number;
}

export interface LibraryPlan {
  spec: LibrarySpec;
  weightBytes: number;
  kvCacheBytes: number;
  activationBytes: number;
  /** Dispatches of one decoded token: in each layer (the most in any), and outside the layers up to the logits. */
  dispatches: { perLayer: number; embed: number; head: number };
}

/** Prefill programs for follow-up questions, which are short: a tile of 64 rows would be mostly padding. */
const SHORT_PREFILL_TOKENS = 16;
const SCORE_LOGITS_BYTES = 16 * 2 ** 20;

/**
 * @throws TramontaneError `adapter-limits` where the device cannot hold a buffer, `config-invalid` for options that
 * make no sense, `architecture-unsupported` for shapes without a kernel.
 */
export function lower(model: ModelDescription, caps: GpuCaps, options: LowerOptions): LibraryPlan {
  const { architecture, tensors } = model;
  const { contextLength } = options;
  requireCount('contextLength', contextLength, 1, architecture.maxContextLength);
  requireCount('prefillChunkLength', options.prefillChunkLength, 1, 8192);
  const prefillChunkLength = Math.min(options.prefillChunkLength, contextLength);
  const scoreChunkLength = Math.max(
    1,
    Math.min(prefillChunkLength, Math.floor(SCORE_LOGITS_BYTES / (4 * architecture.vocabularySize))),
  );

  const queryRows = architecture.headCount * architecture.headDim;
  const kvRows = architecture.kvHeadCount * architecture.headDim;
  const kvBytes = kvCacheByteLength(architecture, contextLength);
  const rope = ropeTable(architecture, contextLength);
  const perToken = (floats: number) => prefillChunkLength * floats * 4;
  const activation = (name: string, byteLength: number): PlannedBuffer => ({
    name,
    byteLength,
    use: 'activation',
  });
  const sampling = (name: string, byteLength: number): PlannedBuffer => ({
    name,
    byteLength,
    use: 'sampling',
  });
  const buffers: PlannedBuffer[] = [
    activation('x', perToken(architecture.hiddenSize)),
    activation('normed', perToken(architecture.hiddenSize)),
    activation('qkv', perToken(queryRows + 2 * kvRows)),
    activation('attention', perToken(queryRows)),
    activation('hidden', perToken(architecture.intermediateSize)),
    activation('partials', decodeAttentionPartialBytes(architecture, contextLength)),
    { ...activation('rope_table', rope.byteLength), initial: rope },
    activation('score_logits', scoreChunkLength * architecture.vocabularySize * 4),
    sampling('logits', architecture.vocabularySize * 4),
    sampling('probs', architecture.vocabularySize * 4),
    sampling('softmax_partials', softmaxPartialBytes(architecture.vocabularySize)),
    sampling('sampling_extras', SAMPLING_EXTRAS_BYTES),
    sampling('sampled', 16),
    ...tensors.layers.flatMap((_, layer): PlannedBuffer[] => [
      { name: `key_cache_${layer}`, byteLength: kvBytes.key, use: 'kv-cache' },
      { name: `value_cache_${layer}`, byteLength: kvBytes.value, use: 'kv-cache' },
    ]),
  ];
  for (const buffer of buffers) requireBinding(caps, buffer.name, buffer.byteLength);

  const x = planned('x');
  const normed = planned('normed');
  const qkv = planned('qkv');
  const attention = planned('attention');
  const hidden = planned('hidden');
  const epsilon = architecture.rmsNormEpsilon;
  const cache = (layer: number) => ({
    qkv,
    keyCache: planned(`key_cache_${layer}`),
    valueCache: planned(`value_cache_${layer}`),
    architecture,
    contextLength,
  });
  const lastRow = dim('tokens', 1, -1);

  const decodeLayer = (t: LayerTensors, layer: number): Step[] => [
    ...planNormMatvec(
      {
        x,
        row: constant(0),
        gain: t.attentionNorm,
        epsilon,
        matrices: [t.query, t.key, t.value],
        output: qkv,
      },
      caps,
    ),
    ...planRopeKv({ ...cache(layer), ropeTable: planned('rope_table') }, caps),
    ...planDecodeAttention({ ...cache(layer), partials: planned('partials'), output: attention }, caps),
    ...planMatvecResidual({ input: attention, matrix: t.output, residual: x }, caps),
    ...planNormGateUp({ x, gain: t.feedForwardNorm, epsilon, gate: t.gate, up: t.up, output: hidden }, caps),
    ...planMatvecResidual({ input: hidden, matrix: t.down, residual: x }, caps),
  ];
  const head = planNormMatvec(
    {
      x,
      row: lastRow,
      gain: tensors.finalNorm,
      epsilon,
      matrices: [tensors.head],
      output: planned('logits'),
    },
    caps,
  );
  const decodeLayers = tensors.layers.map(decodeLayer);

  const columns = architecture.hiddenSize;
  const prefillLayers = (maxTokens: number): Step[] =>
    tensors.layers.flatMap((t, layer) => [
      ...planRmsNorm({ x, gain: t.attentionNorm, epsilon, output: normed, columns }, caps),
      ...planMatmul({ input: normed, matrices: [t.query, t.key, t.value], output: qkv }, caps, maxTokens),
      ...planRopeKv({ ...cache(layer), ropeTable: planned('rope_table') }, caps),
      ...planPrefillAttention({ ...cache(layer), output: attention }, caps),
      ...planMatmulResidual({ input: attention, matrix: t.output, residual: x }, caps, maxTokens),
      ...planRmsNorm({ x, gain: t.feedForwardNorm, epsilon, output: normed, columns }, caps),
      ...planMatmulGateUp({ input: normed, gate: t.gate, up: t.up, output: hidden }, caps, maxTokens),
      ...planMatmulResidual({ input: hidden, matrix: t.down, residual: x }, caps, maxTokens),
    ]);
  const scoreHead = (maxTokens: number): Step[] => [
    ...planRmsNorm({ x, gain: tensors.finalNorm, epsilon, output: normed, columns }, caps),
    ...planMatmul(
      { input: normed, matrices: [tensors.head], output: planned('score_logits') },
      caps,
      maxTokens,
    ),
  ];
  const variants = (longest: number, tail: (maxTokens: number) => Step[]) => {
    const short = longest > SHORT_PREFILL_TOKENS && caps.isSoftware !== true;
    return (short ? [SHORT_PREFILL_TOKENS, longest] : [longest]).map((maxTokens) => {
      // Kernels are right for any number of tokens; those for few are a third of the others' size.
      const tile = caps.isSoftware === true ? SHORT_PREFILL_TOKENS : maxTokens;
      // Scoring runs the layers of prefill, though its chunks are shorter: it is what judges them.
      const layerTile = tile > SHORT_PREFILL_TOKENS ? prefillChunkLength : tile;
      return { maxTokens, steps: [...prefillLayers(layerTile), ...tail(tile)] };
    });
  };

  const vocabulary = { vocabularySize: architecture.vocabularySize };
  const extras = planned('sampling_extras');
  const records = recordNames(model);
  const spec: LibrarySpec = {
    metadata: {
      model_type: 'tramontane',
      quantization: 'as-stored',
      kv_state_kind: 'kv_cache',
      context_window_size: contextLength,
      sliding_window_size: -1,
      attention_sink_size: -1,
      prefill_chunk_size: prefillChunkLength,
      tensor_parallel_shards: 1,
      params: records.map((name) => ({ name })),
    },
    hiddenSize: architecture.hiddenSize,
    vocabularySize: architecture.vocabularySize,
    contextLength,
    prefillChunkLength,
    scoreChunkLength,
    records,
    buffers,
    programs: {
      embed: planEmbed({ table: tensors.embedding, output: x }, caps),
      decode: [...decodeLayers.flat(), ...head],
      prefill: variants(prefillChunkLength, () => head),
      score: variants(scoreChunkLength, scoreHead),
      applyBitmask: planApplyBitmask(
        { ...vocabulary, controlTokenIds: model.controlTokenIds, stopTokenIds: model.stopTokenIds },
        caps,
      ),
      applyLogitBias: planApplyLogitBias({ ...vocabulary, extras }, caps),
      applyPenalty: planApplyPenalty(vocabulary, caps),
      softmax: planSoftmax(
        { ...vocabulary, probs: planned('probs'), partials: planned('softmax_partials') },
        caps,
      ),
      sample: planSample({ ...vocabulary, extras, output: planned('sampled') }, caps),
    },
  };
  const bytesOf = (use: PlannedBuffer['use'][]) =>
    buffers.filter((buffer) => use.includes(buffer.use)).reduce((sum, buffer) => sum + buffer.byteLength, 0);
  return {
    spec,
    weightBytes: weightByteLength(model),
    kvCacheBytes: bytesOf(['kv-cache']),
    activationBytes: bytesOf(['activation', 'sampling']),
    dispatches: {
      perLayer: Math.max(...decodeLayers.map((steps) => steps.length)),
      embed: spec.programs.embed.length,
      head: head.length,
    },
  };
}

function requireCount(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new TramontaneError(
    'config-invalid',
    `${name} is ${value}; it must be a whole number from ${least} to ${most}.`,
    {
      nextStep: 'Choose a smaller context.',
      data: { field: name, found: value, least, most },
    },
  );
}

function requireBinding(caps: GpuCaps, name: string, byteLength: number): void {
  if (byteLength <= caps.maxStorageBindingBytes) return;
  throw new TramontaneError(
    'adapter-limits',
    `Buffer ${name} needs ${byteLength} bytes; this GPU binds at most ${caps.maxStorageBindingBytes}.`,
    {
      nextStep: 'Choose a smaller context.',
      data: { buffer: name, needed: byteLength, found: caps.maxStorageBindingBytes },
    },
  );
}

/** Distinct matrices of a model: a tied head is the embedding itself. */
function matricesOf({ tensors }: ModelDescription): Matrix[] {
  const all = [
    tensors.embedding,
    tensors.head,
    ...tensors.layers.flatMap((t) => [t.query, t.key, t.value, t.output, t.gate, t.up, t.down]),
  ];
  return [...new Map(all.map((matrix) => [matrix.parts[0]!.quants, matrix])).values()];
}

function recordNames(model: ModelDescription): string[] {
  const vectors = [
    model.tensors.finalNorm,
    ...model.tensors.layers.flatMap((t) => [t.attentionNorm, t.feedForwardNorm]),
  ];
  return [
    ...matricesOf(model).flatMap((matrix) =>
      matrix.parts.flatMap((part) => (part.scales === null ? [part.quants] : [part.quants, part.scales])),
    ),
    ...vectors.map((vector) => vector.record),
  ];
}

function weightByteLength(model: ModelDescription): number {
  const { layerCount, hiddenSize } = model.architecture;
  const norms = (2 * layerCount + 1) * hiddenSize * 4;
  return matricesOf(model).reduce(
    (sum, matrix) =>
      sum +
      matrix.parts.reduce((bytes, part) => {
        const [quants, scales] = partByteLength(matrix.format, part.rows, matrix.columns);
        return bytes + quants + scales;
      }, 0),
    norms,
  );
}
