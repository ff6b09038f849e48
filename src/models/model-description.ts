/**
 * What the model library needs to know of a model: its architecture and where each tensor's data lie.
 * `model-files.ts` reads it from a model folder; `modellib/lower.ts` turns it into kernels and programs.
 */

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

/**
 * Storage of one matrix, [rows, columns] with columns contiguous. `columns` is a multiple of 32: a block is 32
 * consecutive columns of one row. All quants are packed into u32 words in column order, lowest bits first.
 *
 * | format  | quants, per block     | scales, per block          | weight                    |
 * |---------|-----------------------|----------------------------|---------------------------|
 * | f32     | 32 f32                | none                       | w                         |
 * | f16     | 32 f16 in 16 words    | none                       | w                         |
 * | q4f16_1 | 32 nibbles in 4 words | 1 f16                      | (q - 7) * scale  (MLC)    |
 * | q4_0    | 32 nibbles in 4 words | 1 f16                      | (q - 8) * scale  (GGUF)   |
 * | q4_1    | 32 nibbles in 4 words | f16 scale, f16 min, 1 word | q * scale + min  (GGUF)   |
 * | q8_0    | 32 int8 in 8 words    | 1 f16                      | q * scale        (GGUF)   |
 *
 * f16 scales are consecutive over rows and blocks, two to a word; a part's scales are padded to a whole word.
 */
export type WeightFormat = 'f32' | 'f16' | 'q4f16_1' | 'q4_0' | 'q4_1' | 'q8_0';

export const BLOCK_COLUMNS = 32;

/** Rows `rowStart .. rowStart + rows` of a matrix, in records of their own (each within a device's binding limit). */
export interface MatrixPart {
  rowStart: number;
  rows: number;
  /** Record names in tensor-cache.json. */
  quants: string;
  scales: string | null;
}

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

/** Bytes of one part's records: [quants, scales]. */
export function partByteLength(
  format: WeightFormat,
  rows: number,
  columns: number,
): [quants: number, scales: number] {
  const blocks = (rows * columns) / BLOCK_COLUMNS;
  const f16Scales = Math.ceil(blocks / 2) * 4;
  switch (format) {
    case 'f32':
      return [blocks * 128, 0];
    case 'f16':
      return [blocks * 64, 0];
    case 'q4f16_1':
    case 'q4_0':
      return [blocks * 16, f16Scales];
    case 'q4_1':
      return [blocks * 16, blocks * 4];
    case 'q8_0':
      return [blocks * 32, f16Scales];
  }
}
