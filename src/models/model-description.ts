/**
 * What the model library needs to know of a model: its architecture and where each tensor's data lie.
 * `model-files.ts` reads it from a model folder; `modellib/lower.ts` turns it into kernels and programs.
 */
import { WEIGHT_FORMATS, type WeightFormat } from '../base/weight-formats.ts';

export type { WeightFormat };

/** A decoder-only transformer of the Llama/Mistral family. Names as in Hugging Face's config.json, in camel case. */
export interface Architecture {
  hiddenSize: number;
  layerCount: number;
  headCount: number;
  kvHeadCount: number;
  /** Independent of hiddenSize: Mistral Small has 32 heads of 128 at a hidden size of 5120. */
  headDim: number;
  intermediateSize: number;
  vocabularySize: number;
  rmsNormEpsilon: number;
  ropeTheta: number;
  /** True where the output head is the embedding table. */
  tiedEmbeddings: boolean;
  /** Most positions the model was made for. */
  maxContextLength: number;
}

/** Rows `rowStart .. rowStart + rows` of a matrix, in records of their own (each within a device's binding limit). */
export interface MatrixPart {
  rowStart: number;
  rows: number;
  /** Record names in tensor-cache.json. */
  quants: string;
  scales: string | null;
}

/** Storage of one matrix: `base/weight-formats.ts` has the layouts. */
export interface Matrix {
  format: WeightFormat;
  rows: number;
  columns: number;
  /** In row order, without gaps. */
  parts: readonly MatrixPart[];
}

/** A vector of f32 in one record: the norms. */
export interface Vector {
  length: number;
  record: string;
}

export interface LayerTensors {
  attentionNorm: Vector;
  /** Rows in Hugging Face's order (rotate-half RoPE), whatever the source's order was. */
  query: Matrix;
  key: Matrix;
  value: Matrix;
  output: Matrix;
  feedForwardNorm: Vector;
  gate: Matrix;
  up: Matrix;
  down: Matrix;
}

export interface ModelTensors {
  embedding: Matrix;
  layers: readonly LayerTensors[];
  finalNorm: Vector;
  /** The embedding itself where the head is tied. */
  head: Matrix;
}

export interface ModelDescription {
  architecture: Architecture;
  tensors: ModelTensors;
  /** Ids of control tokens; under a grammar they are masked unless they end the answer. */
  controlTokenIds: readonly number[];
  /** Ids that end an answer. */
  stopTokenIds: readonly number[];
}

/** Bytes of one part's records: [quants, scales]. Scales are padded to whole words. */
export function partByteLength(
  format: WeightFormat,
  rows: number,
  columns: number,
): [quants: number, scales: number] {
  const { groupColumns, quantBytes, scaleBytes } = WEIGHT_FORMATS[format];
  const groups = (rows * columns) / groupColumns;
  return [groups * quantBytes, Math.ceil((groups * scaleBytes) / 4) * 4];
}
