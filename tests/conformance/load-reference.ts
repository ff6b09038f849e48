/**
 * A model folder, as the importer writes it, dequantised for the reference model. It follows the table of formats in
 * src/base/weight-formats.ts and shares no code with the importer or the kernels.
 */
import { BLOCK_COLUMNS } from '../../src/base/weight-formats.ts';
import type { LayerTensors, Matrix, MatrixPart, Vector } from '../../src/models/model-description.ts';
import {
  CONFIG_FILE,
  type ModelFiles,
  parseModelFiles,
  TENSOR_CACHE_FILE,
} from '../../src/models/model-files.ts';
import {
  createReferenceModel,
  type ReferenceModel,
  type ReferenceOptions,
  type ReferenceWeights,
} from './reference-model.ts';

/** Reads a file of the model folder by name. */
export type ReadFile = (name: string) => Promise<Uint8Array>;

/** Bytes of a record by its name in tensor-cache.json. */
type Records = ReadonlyMap<string, DataView>;

interface ShardEntry {
  dataPath: string;
  records: { name: string; byteOffset: number; nbytes: number }[];
}

/** @throws TramontaneError where the folder is not what `parseModelFiles` accepts */
export async function loadReferenceModel(
  readFile: ReadFile,
  options: ReferenceOptions = {},
): Promise<{ files: ModelFiles; model: ReferenceModel; weights: ReferenceWeights }> {
  const json = async (name: string): Promise<unknown> =>
    JSON.parse(new TextDecoder().decode(await readFile(name)));
  const tensorCache = (await json(TENSOR_CACHE_FILE)) as { records: ShardEntry[] };
  const files = parseModelFiles(await json(CONFIG_FILE), tensorCache);
  const records = new Map<string, DataView>();
  for (const shard of tensorCache.records) {
    const bytes = await readFile(shard.dataPath);
    for (const { name, byteOffset, nbytes } of shard.records) {
      records.set(name, new DataView(bytes.buffer, bytes.byteOffset + byteOffset, nbytes));
    }
  }
  const { architecture, tensors } = files.description;
  const embedding = dequantise(tensors.embedding, records);
  const weights: ReferenceWeights = {
    embedding,
    layers: tensors.layers.map((layer) => loadLayer(layer, records)),
    finalNorm: loadVector(tensors.finalNorm, records),
    head: architecture.tiedEmbeddings ? embedding : dequantise(tensors.head, records),
  };
  return { files, weights, model: createReferenceModel(architecture, weights, options) };
}

function loadLayer(layer: LayerTensors, records: Records) {
  return {
    attentionNorm: loadVector(layer.attentionNorm, records),
    query: dequantise(layer.query, records),
    key: dequantise(layer.key, records),
    value: dequantise(layer.value, records),
    output: dequantise(layer.output, records),
    feedForwardNorm: loadVector(layer.feedForwardNorm, records),
    gate: dequantise(layer.gate, records),
    up: dequantise(layer.up, records),
    down: dequantise(layer.down, records),
  };
}

function record(records: Records, name: string | null): DataView {
  const view = name === null ? undefined : records.get(name);
  if (view === undefined) throw new Error(`No record ${name}`);
  return view;
}

function loadVector(vector: Vector, records: Records): Float32Array {
  const view = record(records, vector.record);
  return Float32Array.from({ length: vector.length }, (_, i) => view.getFloat32(i * 4, true));
}

/** [rows][columns] of weights as f32. */
export function dequantise(matrix: Matrix, records: Records): Float32Array {
  const weights = new Float32Array(matrix.rows * matrix.columns);
  for (const part of matrix.parts) {
    const readBlock = blockReader(matrix, part, records);
    const first = (part.rowStart * matrix.columns) / BLOCK_COLUMNS;
    const count = (part.rows * matrix.columns) / BLOCK_COLUMNS;
    for (let block = 0; block < count; block++) {
      const start = (first + block) * BLOCK_COLUMNS;
      readBlock(block, weights.subarray(start, start + BLOCK_COLUMNS));
    }
  }
  return weights;
}

/** Writes the 32 weights of a block, by its index within a part: a row of the table in weight-formats.ts. */
function blockReader(
  { format }: Matrix,
  part: MatrixPart,
  records: Records,
): (block: number, weights: Float32Array) => void {
  const quants = record(records, part.quants);
  const f16 = (view: DataView, index: number) => f16Value(view.getUint16(index * 2, true));
  const fill = (weights: Float32Array, weight: (i: number) => number) => {
    for (let i = 0; i < weights.length; i++) weights[i] = weight(i);
  };
  const at = (block: number, i: number) => block * BLOCK_COLUMNS + i;
  /** Eight nibbles to a word, lowest first: the same as two to a byte, lowest first. */
  const nibble = (index: number) => (quants.getUint8(index >> 1) >> ((index & 1) * 4)) & 15;
  if (format === 'f32') {
    return (block, weights) => fill(weights, (i) => quants.getFloat32(at(block, i) * 4, true));
  }
  if (format === 'f16') return (block, weights) => fill(weights, (i) => f16(quants, at(block, i)));
  const scales = record(records, part.scales);
  return (block, weights) => {
    if (format === 'q4_1') {
      const [scale, min] = [f16(scales, 2 * block), f16(scales, 2 * block + 1)];
      return fill(weights, (i) => nibble(at(block, i)) * scale + min);
    }
    const scale = f16(scales, block);
    switch (format) {
      case 'q4f16_1':
        return fill(weights, (i) => (nibble(at(block, i)) - 7) * scale);
      case 'q4_0':
        return fill(weights, (i) => (nibble(at(block, i)) - 8) * scale);
      case 'q8_0':
        return fill(weights, (i) => quants.getInt8(at(block, i)) * scale);
    }
  };
}

function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15);
}
