/** Model descriptions without weights, for plans: names, shapes and parts as the importer would write them. */
import { DEFAULT_MAX_RECORD_BYTES, DEFAULT_MAX_SHARD_BYTES } from '../../src/engine/import/import-model.ts';
import { planImport } from '../../src/engine/import/import-plan.ts';
import { listTensors, type SourceModel } from '../../src/engine/import/source-model.ts';
import type { Architecture, ModelDescription, WeightFormat } from '../../src/models/model-description.ts';
import {
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  type LayerMatrix,
  type LayerVector,
  layerTensorName,
} from '../../src/models/tensor-names.ts';

/** Mistral Small 3.1 and 3.2, text part: config.json of Mistral-Small-3.2-24B-Instruct-2506. */
export const MISTRAL_SMALL: Architecture = {
  hiddenSize: 5120,
  layerCount: 40,
  headCount: 32,
  kvHeadCount: 8,
  headDim: 128,
  intermediateSize: 32768,
  vocabularySize: 131072,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 1e9,
  tiedEmbeddings: false,
  maxContextLength: 131072,
};

/** A small shape, for tests of plans and measurements. */
export const SMALL_SHAPE: Architecture = {
  hiddenSize: 64,
  layerCount: 1,
  headCount: 4,
  kvHeadCount: 2,
  headDim: 16,
  intermediateSize: 96,
  vocabularySize: 500,
  rmsNormEpsilon: 1e-5,
  ropeTheta: 1e4,
  tiedEmbeddings: true,
  maxContextLength: 512,
};

export const MIB = 2 ** 20;

/** A tensor's format by its place; `layer` is -1 outside the layers. */
export type FormatRule = (
  tensor: LayerMatrix | typeof EMBEDDING | typeof HEAD,
  layer: number,
) => WeightFormat;

/** Builds as llama.cpp makes them for Mistral Small: its llama_tensor_get_type, as far as it concerns these tensors. */
export const MISTRAL_SMALL_BUILDS: Readonly<Record<string, FormatRule>> = {
  Q4_K_M: (tensor, layer) => (tensor === HEAD || wantsMoreBits(tensor, layer) ? 'q6_k' : 'q4_k'),
  Q5_K_M: (tensor, layer) => (tensor === HEAD || wantsMoreBits(tensor, layer) ? 'q6_k' : 'q5_k'),
  Q4_0: (tensor) => (tensor === HEAD ? 'q6_k' : 'q4_0'),
  IQ4_XS: (tensor, layer) => {
    if (tensor === HEAD) return 'q6_k';
    const isLarger = tensor === 'self_attn.v_proj' || (tensor === 'mlp.down_proj' && layer < EIGHTH);
    return isLarger ? 'q5_k' : 'iq4_xs';
  },
};

/** An eighth of Mistral Small's layers. */
const EIGHTH = 5;

/** The value and down projections of half of the layers. */
function wantsMoreBits(tensor: string, layer: number): boolean {
  const isChosen = layer < EIGHTH || layer >= 7 * EIGHTH || (layer - EIGHTH) % 3 === 2;
  return isChosen && (tensor === 'self_attn.v_proj' || tensor === 'mlp.down_proj');
}

/** As the importer would describe a model of one format, or of formats by tensor. */
export function describeModel(
  architecture: Architecture,
  format: WeightFormat | FormatRule,
): ModelDescription {
  const rule = typeof format === 'string' ? () => format : format;
  const limits = { maxRecordBytes: DEFAULT_MAX_RECORD_BYTES, maxShardBytes: DEFAULT_MAX_SHARD_BYTES };
  const nothing = { sourceType: '', sourceByteLength: 0, slice: () => [] };
  const tensors = listTensors(architecture).map((place): SourceModel['tensors'][number] => {
    const { name } = place;
    if (place.kind === 'vector')
      return { kind: 'vector', vector: { ...nothing, name, length: place.length } };
    const [rows, columns] = place.shape;
    const tensor = place.tensor ?? (name === EMBEDDING ? EMBEDDING : HEAD);
    const isRotated = tensor === 'self_attn.q_proj' || tensor === 'self_attn.k_proj';
    const matrix = {
      ...{ ...nothing, name, rows, columns, format: rule(tensor, place.layer ?? -1) },
      rowUnit: isRotated ? architecture.headDim : null,
    };
    return { kind: 'matrix', matrix };
  });
  const { matrices, vectors } = planImport({ architecture, tensors, parameterCount: 0 }, limits);
  const matrix = (name: string) => matrices.get(name)!;
  const embedding = matrix(EMBEDDING);
  return {
    architecture,
    tensors: {
      embedding,
      layers: Array.from({ length: architecture.layerCount }, (_, layer) => {
        const layerMatrix = (tensor: LayerMatrix) => matrix(layerTensorName(layer, tensor));
        const layerVector = (tensor: LayerVector) => vectors.get(layerTensorName(layer, tensor))!;
        return {
          attentionNorm: layerVector('input_layernorm'),
          query: layerMatrix('self_attn.q_proj'),
          key: layerMatrix('self_attn.k_proj'),
          value: layerMatrix('self_attn.v_proj'),
          output: layerMatrix('self_attn.o_proj'),
          feedForwardNorm: layerVector('post_attention_layernorm'),
          gate: layerMatrix('mlp.gate_proj'),
          up: layerMatrix('mlp.up_proj'),
          down: layerMatrix('mlp.down_proj'),
        };
      }),
      finalNorm: vectors.get(FINAL_NORM)!,
      head: architecture.tiedEmbeddings ? embedding : matrix(HEAD),
    },
    controlTokenIds: Array.from({ length: 1000 }, (_, id) => id),
    stopTokenIds: [2],
  };
}
