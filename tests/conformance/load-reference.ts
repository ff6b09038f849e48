/**
 * A model folder, as the importer writes it, decoded for the reference model: by the kernels' CPU twins, which
 * src/formats/quant/quant.test.ts holds against the `gguf` package to the bit.
 */
import { decodeMatrix } from '../../src/modellib/weight-formats/decode-matrix.ts';
import type { LayerTensors, Matrix, Vector } from '../../src/models/model-description.ts';
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
type Records = ReadonlyMap<string, Uint8Array>;

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
  const records = new Map<string, Uint8Array>();
  for (const shard of tensorCache.records) {
    const bytes = await readFile(shard.dataPath);
    for (const { name, byteOffset, nbytes } of shard.records) {
      records.set(name, bytes.subarray(byteOffset, byteOffset + nbytes));
    }
  }
  const { architecture, tensors } = files.description;
  const decode = (matrix: Matrix) => decodeMatrix(matrix, (name) => record(records, name));
  const embedding = decode(tensors.embedding);
  const weights: ReferenceWeights = {
    embedding,
    layers: tensors.layers.map((layer) => loadLayer(layer, records, decode)),
    finalNorm: loadVector(tensors.finalNorm, records),
    head: architecture.tiedEmbeddings ? embedding : decode(tensors.head),
  };
  return { files, weights, model: createReferenceModel(architecture, weights, options) };
}

function loadLayer(layer: LayerTensors, records: Records, decode: (matrix: Matrix) => Float32Array) {
  return {
    attentionNorm: loadVector(layer.attentionNorm, records),
    query: decode(layer.query),
    key: decode(layer.key),
    value: decode(layer.value),
    output: decode(layer.output),
    feedForwardNorm: loadVector(layer.feedForwardNorm, records),
    gate: decode(layer.gate),
    up: decode(layer.up),
    down: decode(layer.down),
  };
}

function record(records: Records, name: string): Uint8Array {
  const bytes = records.get(name);
  if (bytes === undefined) throw new Error(`No record ${name}`);
  return bytes;
}

function loadVector(vector: Vector, records: Records): Float32Array {
  const { buffer, byteOffset, byteLength } = record(records, vector.record);
  const view = new DataView(buffer, byteOffset, byteLength);
  return Float32Array.from({ length: vector.length }, (_, i) => view.getFloat32(i * 4, true));
}
