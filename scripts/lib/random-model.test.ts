import { expect, test } from 'vitest';
import { float16ToNumber } from '../../src/base/float16.ts';
import { decodeMatrix } from '../../src/modellib/weight-formats/decode-matrix.ts';
import { CONFIG_FILE, parseModelFiles, TENSOR_CACHE_FILE } from '../../src/models/model-files.ts';
import { createRandomModel } from './random-model.ts';

async function read(argument: string) {
  const { id, store } = createRandomModel(argument);
  const json = async (name: string): Promise<unknown> =>
    JSON.parse((await (await store.readFile(id, name))?.text()) ?? '');
  return { id, store, files: parseModelFiles(await json(CONFIG_FILE), await json(TENSOR_CACHE_FILE)) };
}

test('Mistral Small at its true shapes: 13.3 GB that are nowhere', { timeout: 30_000 }, async () => {
  const { id, store, files } = await read('random:mistral-small-3.2-24b');
  expect(files.description.architecture).toMatchObject({
    hiddenSize: 5120,
    layerCount: 40,
    headCount: 32,
    kvHeadCount: 8,
    headDim: 128,
    intermediateSize: 32_768,
    vocabularySize: 131_072,
    tiedEmbeddings: false,
  });
  expect(files.origin.parameterCount).toBe(23_572_403_200);
  const byteLength = files.shards.reduce((sum, shard) => sum + shard.byteLength, 0);
  expect(byteLength / 1e9).toBeCloseTo(13.26, 1);
  expect(Math.max(...files.shards.map((shard) => shard.byteLength))).toBeLessThanOrEqual(128 << 20);
  const shard = files.shards[7]!;
  const blob = (await store.readFile(id, shard.name))!;
  expect(blob.size).toBe(shard.byteLength);
  const before = process.memoryUsage().arrayBuffers;
  const first = new Uint8Array(await blob.arrayBuffer());
  expect(first.byteLength).toBe(shard.byteLength);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * shard.byteLength);
  expect(Buffer.compare(first, new Uint8Array(await blob.arrayBuffer()))).toBe(0);
});

async function readRecords({
  id,
  store,
}: Awaited<ReturnType<typeof read>>): Promise<Map<string, Uint8Array>> {
  const records = new Map<string, Uint8Array>();
  const cache = JSON.parse(await (await store.readFile(id, TENSOR_CACHE_FILE))!.text()) as {
    records: { dataPath: string; records: { name: string; byteOffset: number; nbytes: number }[] }[];
  };
  for (const shard of cache.records) {
    const bytes = new Uint8Array(await (await store.readFile(id, shard.dataPath))!.arrayBuffer());
    for (const { name, byteOffset, nbytes } of shard.records) {
      records.set(name, bytes.subarray(byteOffset, byteOffset + nbytes));
    }
  }
  return records;
}

test('weights are random, of the size that keeps activations, and differ from tensor to tensor', async () => {
  const model = await read('random:tiny');
  const { layers } = model.files.description.tensors;
  const records = await readRecords(model);
  const [gate, up] = [layers[0]!.gate, layers[0]!.up].map(({ parts }) => records.get(parts[0]!.quants)!);
  expect(gate).not.toEqual(up);
  const scales = records.get(layers[0]!.gate.parts[0]!.scales!)!;
  const scale = float16ToNumber(scales[0]! | (scales[1]! << 8));
  let squares = 0;
  for (const byte of gate!) squares += ((byte & 15) - 8) ** 2 + ((byte >> 4) - 8) ** 2;
  const rms = scale * Math.sqrt(squares / (2 * gate!.length));
  expect(rms * Math.sqrt(layers[0]!.gate.columns)).toBeCloseTo(1, 1);
  expect(new Float32Array(records.get(layers[0]!.attentionNorm.record)!.slice().buffer)).toEqual(
    new Float32Array(128).fill(1),
  );
});

test('of every format, rows have unit length in the mean, and weights hardly a mean', async () => {
  const model = await read('random:tiny:q4_k_m');
  const { layers } = model.files.description.tensors;
  const records = await readRecords(model);
  const matrices = [layers[0]!.down, layers[1]!.down, layers[0]!.gate];
  expect(matrices.map(({ format }) => format)).toEqual(['q4_k', 'q6_k', 'q8_0']);
  for (const matrix of matrices) {
    const weights = decodeMatrix(matrix, (name) => records.get(name)!);
    const square = weights.reduce((sum, weight) => sum + weight * weight, 0) / weights.length;
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length;
    expect(Math.sqrt(square * matrix.columns), matrix.format).toBeCloseTo(1, 1);
    expect(Math.abs(mean) / Math.sqrt(square), matrix.format).toBeLessThan(0.05);
  }
});

test('Mistral Small in Q4_K_M: the formats that llama.cpp gives it', { timeout: 30_000 }, async () => {
  const { files } = await read('random:mistral-small-3.2-24b:q4_k_m');
  const { layers, head, embedding } = files.description.tensors;
  expect([embedding.format, head.format]).toEqual(['q4_k', 'q6_k']);
  const precise = layers.flatMap(({ down }, i) => (down.format === 'q6_k' ? [i] : []));
  expect(precise).toEqual([0, 1, 2, 3, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 35, 36, 37, 38, 39]);
  expect(layers.map(({ value }) => value.format)).toEqual(layers.map(({ down }) => down.format));
  expect(new Set(layers.flatMap(({ query, gate }) => [query.format, gate.format]))).toEqual(
    new Set(['q4_k']),
  );
  const byteLength = files.shards.reduce((sum, shard) => sum + shard.byteLength, 0);
  expect(byteLength / 1e9).toBeCloseTo(14.36, 1);
});

test('names that are not in the tables are refused by name', () => {
  expect(() => createRandomModel('random:gpt-5')).toThrow(
    'There is no shape "gpt-5". There are: mistral-small',
  );
  expect(() => createRandomModel('random:tiny:q1_k')).toThrow('There is no quantisation "q1_k"');
});
