/** Model descriptions without weights, for plans: names and shapes as the importer would write them. */
import {
  type Architecture,
  type Matrix,
  type MatrixPart,
  type ModelDescription,
  partByteLength,
  type WeightFormat,
} from '../../src/models/model-description.ts';

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

export const MIB = 2 ** 20;

/** Splits a matrix by rows so that no record exceeds `maxRecordBytes`. */
export function describeMatrix(
  name: string,
  format: WeightFormat,
  rows: number,
  columns: number,
  maxRecordBytes: number,
): Matrix {
  const rowBytes = Math.max(...partByteLength(format, 1, columns));
  const count = Math.ceil(rows / Math.floor(maxRecordBytes / rowBytes));
  const height = Math.ceil(rows / count);
  const parts: MatrixPart[] = [];
  for (let rowStart = 0; rowStart < rows; rowStart += height) {
    const partRows = Math.min(height, rows - rowStart);
    const [, scaleBytes] = partByteLength(format, partRows, columns);
    const record = `${name}.${parts.length}`;
    parts.push({
      rowStart,
      rows: partRows,
      quants: `${record}.quants`,
      scales: scaleBytes > 0 ? `${record}.scales` : null,
    });
  }
  return { format, rows, columns, parts };
}

export function describeModel(
  architecture: Architecture,
  format: WeightFormat,
  maxRecordBytes = 128 * MIB,
): ModelDescription {
  const { hiddenSize, headCount, kvHeadCount, headDim, intermediateSize, vocabularySize } = architecture;
  const matrix = (name: string, rows: number, columns: number) =>
    describeMatrix(name, format, rows, columns, maxRecordBytes);
  const norm = (record: string) => ({ length: hiddenSize, record });
  const embedding = matrix('embed', vocabularySize, hiddenSize);
  return {
    architecture,
    tensors: {
      embedding,
      layers: Array.from({ length: architecture.layerCount }, (_, i) => ({
        attentionNorm: norm(`${i}.attention_norm`),
        query: matrix(`${i}.query`, headCount * headDim, hiddenSize),
        key: matrix(`${i}.key`, kvHeadCount * headDim, hiddenSize),
        value: matrix(`${i}.value`, kvHeadCount * headDim, hiddenSize),
        output: matrix(`${i}.output`, hiddenSize, headCount * headDim),
        feedForwardNorm: norm(`${i}.feed_forward_norm`),
        gate: matrix(`${i}.gate`, intermediateSize, hiddenSize),
        up: matrix(`${i}.up`, intermediateSize, hiddenSize),
        down: matrix(`${i}.down`, hiddenSize, intermediateSize),
      })),
      finalNorm: norm('final_norm'),
      head: architecture.tiedEmbeddings ? embedding : matrix('head', vocabularySize, hiddenSize),
    },
    controlTokenIds: Array.from({ length: 1000 }, (_, id) => id),
    stopTokenIds: [2],
  };
}
