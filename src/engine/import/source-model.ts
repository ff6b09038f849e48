/**
 * A model as a source has it, in whatever layout: its architecture, and for each tensor what to read and where the bytes
 * go in the store. Matrices and vectors come in the order in which a model computes.
 */

import type { WeightFormat } from '../../base/weight-formats.ts';
import type { BuiltTokenizer } from '../../formats/tokenizer/build-tokenizer.ts';
import type { ChatTemplate } from '../../models/chat-template.ts';
import type { Architecture } from '../../models/model-description.ts';
import type { ModelOrigin } from '../../models/model-files.ts';
import {
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  LAYER_MATRICES,
  type LayerMatrix,
  type LayerVector,
  layerMatrixShape,
  layerTensorName,
} from '../../models/tensor-names.ts';

/** A range of the source, and what its bytes fill: stretches of a part's quants and scales, or of a vector's values. */
export interface SourceSlice {
  offset: number;
  byteLength: number;
  /** `quants` and `scales` are the whole records of the part; `scales` is empty where there are none. */
  apply(bytes: Uint8Array<ArrayBuffer>, quants: Uint8Array, scales: Uint8Array): void;
}

interface SourceTensor {
  /** Canonical. */
  name: string;
  /** As the source calls its format, `Q4_K`, and its bytes there. */
  sourceType: string;
  sourceByteLength: number;
}

export interface SourceMatrix extends SourceTensor {
  rows: number;
  columns: number;
  /** How it is stored. */
  format: WeightFormat;
  /** Rows that change places among each other and so stay in one part; null where none do. */
  rowUnit: number | null;
  /** What to read for `rows` rows from `rowStart` on. */
  slice(rowStart: number, rows: number): SourceSlice[];
}

/** Stored as f32. */
export interface SourceVector extends SourceTensor {
  length: number;
  slice(): SourceSlice[];
}

export interface SourceModel {
  architecture: Architecture;
  /** In the order of {@link listTensors}. */
  tensors: readonly ({ kind: 'matrix'; matrix: SourceMatrix } | { kind: 'vector'; vector: SourceVector })[];
  /** Weights; a tied head counts once. */
  parameterCount: number;
}

/** Everything that is known of a model before a weight is read. */
export interface PreparedModel {
  layout: 'gguf' | 'mlc';
  model: SourceModel;
  tokenizer: BuiltTokenizer;
  template: ChatTemplate;
  /** What its makers recommend. */
  sampling: { temperature: number; topP: number };
  origin: ModelOrigin;
}

export type TensorPlace =
  | {
      kind: 'matrix';
      name: string;
      layer: number | null;
      tensor: LayerMatrix | null;
      shape: [number, number];
    }
  | { kind: 'vector'; name: string; layer: number | null; tensor: LayerVector | null; length: number };

/** The tensors of an architecture, in the order in which it computes: embedding, layers, final norm, head. */
export function listTensors(architecture: Architecture): TensorPlace[] {
  const { hiddenSize, vocabularySize, layerCount, tiedEmbeddings } = architecture;
  const table = (name: string): TensorPlace => ({
    kind: 'matrix',
    name,
    layer: null,
    tensor: null,
    shape: [vocabularySize, hiddenSize],
  });
  const layers = Array.from({ length: layerCount }, (_, layer) => {
    const vector = (tensor: LayerVector): TensorPlace => ({
      kind: 'vector',
      name: layerTensorName(layer, tensor),
      layer,
      tensor,
      length: hiddenSize,
    });
    const matrices = LAYER_MATRICES.map(
      (tensor): TensorPlace => ({
        kind: 'matrix',
        name: layerTensorName(layer, tensor),
        layer,
        tensor,
        shape: layerMatrixShape(architecture, tensor),
      }),
    );
    return [
      vector('input_layernorm'),
      ...matrices.slice(0, ATTENTION_MATRICES),
      vector('post_attention_layernorm'),
      ...matrices.slice(ATTENTION_MATRICES),
    ];
  });
  return [
    table(EMBEDDING),
    ...layers.flat(),
    { kind: 'vector', name: FINAL_NORM, layer: null, tensor: null, length: hiddenSize },
    ...(tiedEmbeddings ? [] : [table(HEAD)]),
  ];
}

/** The first of {@link LAYER_MATRICES} are attention's. */
const ATTENTION_MATRICES = LAYER_MATRICES.filter((name) => name.startsWith('self_attn.')).length;
