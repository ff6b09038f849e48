/**
 * One layer of Mistral Small at its true shapes: a prefill of 17 tokens, then a decoded one, against float64. Weights
 * are random 4-bit blocks, 312 MB of them; the vocabulary is cut to 64 tokens, since embedding and head are tested on
 * their own.
 */
import { expect, test } from 'vitest';
import { numberToFloat16 } from '../../src/base/float16.ts';
import { decodeAttentionReference } from '../../src/modellib/kernels/attention-decode/attention-decode.reference.ts';
import { rmsNormReference } from '../../src/modellib/kernels/rms-norm/rms-norm.reference.ts';
import { ropeKvReference } from '../../src/modellib/kernels/rope-kv/rope-kv.reference.ts';
import { lower } from '../../src/modellib/lower.ts';
import { weightFormats } from '../../src/modellib/weight-formats/weight-formats.ts';
import { type Matrix, partByteLength } from '../../src/models/model-description.ts';
import { expectClose } from '../gpu/close-to.ts';
import { getTestDevice } from '../gpu/gpu-device.ts';
import { type BufferContents, runSteps } from '../gpu/run-steps.ts';
import { describeModel, MIB, MISTRAL_SMALL } from '../tools/describe-model.ts';
import { createRandom } from '../tools/random.ts';

const architecture = { ...MISTRAL_SMALL, layerCount: 1, vocabularySize: 64 };
const model = describeModel(architecture, 'q4_0');
const PREFILL_TOKENS = 17;
const TOKENS = PREFILL_TOKENS + 1;

function randomRecords(random: () => number): Map<string, Uint8Array<ArrayBuffer>> {
  const records = new Map<string, Uint8Array<ArrayBuffer>>();
  const layer = model.tensors.layers[0]!;
  const { query, key, value, output, gate, up, down } = layer;
  for (const matrix of [
    model.tensors.embedding,
    model.tensors.head,
    query,
    key,
    value,
    output,
    gate,
    up,
    down,
  ]) {
    for (const part of matrix.parts) {
      const [quantBytes, scaleBytes] = partByteLength(matrix.format, part.rows, matrix.columns);
      const quants = new Uint32Array(quantBytes / 4);
      let state = Math.floor(random() * 2 ** 32) | 1;
      for (let i = 0; i < quants.length; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        quants[i] = state;
      }
      records.set(part.quants, new Uint8Array(quants.buffer));
      // Nibbles spread by 4.6 about -0.5; the scale makes rows of about unit norm.
      const bits = Uint16Array.from({ length: scaleBytes / 2 }, () =>
        numberToFloat16((0.5 + random()) / 4.6 / Math.sqrt(matrix.columns)),
      );
      if (part.scales !== null) records.set(part.scales, new Uint8Array(bits.buffer));
    }
  }
  for (const { record } of [layer.attentionNorm, layer.feedForwardNorm, model.tensors.finalNorm]) {
    const gains = Float32Array.from({ length: architecture.hiddenSize }, () => 0.5 + random());
    records.set(record, new Uint8Array(gains.buffer));
  }
  return records;
}

/** y[t] = W x[t] for every token, decoding each row once. */
function multiply(
  matrix: Matrix,
  records: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  x: Float64Array,
): Float64Array {
  const { rows, columns, parts, format } = matrix;
  const tokens = x.length / columns;
  const y = new Float64Array(tokens * rows);
  const weights = new Float32Array(columns);
  const { decode } = weightFormats[format];
  const view = (name: string) => new DataView(records.get(name)!.buffer);
  for (const part of parts) {
    const record = { quants: view(part.quants), scales: part.scales === null ? null : view(part.scales) };
    for (let row = 0; row < part.rows; row++) {
      for (let k = 0; k < columns; k++) weights[k] = decode(record, (row * columns + k) >> 5, k & 31);
      for (let t = 0; t < tokens; t++) {
        let sum = 0;
        for (let k = 0; k < columns; k++) sum += weights[k]! * x[t * columns + k]!;
        y[t * rows + part.rowStart + row] = sum;
      }
    }
  }
  return y;
}

function referenceLayer(
  x: Float64Array,
  records: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
): Float64Array {
  const layer = model.tensors.layers[0]!;
  const { hiddenSize, headCount, kvHeadCount, headDim, rmsNormEpsilon } = architecture;
  const gain = (record: string) => new Float32Array(records.get(record)!.buffer);
  const normed = rmsNormReference(x, gain(layer.attentionNorm.record), rmsNormEpsilon);
  const [q, k, v] = [layer.query, layer.key, layer.value].map((matrix) => multiply(matrix, records, normed));
  const queryWidth = headCount * headDim;
  const kvWidth = kvHeadCount * headDim;
  const qkv = new Float64Array(TOKENS * (queryWidth + 2 * kvWidth));
  for (let t = 0; t < TOKENS; t++) {
    const row = t * (queryWidth + 2 * kvWidth);
    qkv.set(q!.subarray(t * queryWidth, (t + 1) * queryWidth), row);
    qkv.set(k!.subarray(t * kvWidth, (t + 1) * kvWidth), row + queryWidth);
    qkv.set(v!.subarray(t * kvWidth, (t + 1) * kvWidth), row + queryWidth + kvWidth);
  }
  const { queries, keys, values } = ropeKvReference(qkv, 0, TOKENS, architecture);
  const attention = new Float64Array(TOKENS * queryWidth);
  for (let t = 0; t < TOKENS; t++) {
    const query = queries.subarray(t * queryWidth, (t + 1) * queryWidth);
    attention.set(decodeAttentionReference(query, keys, values, t + 1, architecture), t * queryWidth);
  }
  const afterAttention = multiply(layer.output, records, attention).map((value, i) => value + x[i]!);
  const normed2 = rmsNormReference(afterAttention, gain(layer.feedForwardNorm.record), rmsNormEpsilon);
  const gate = multiply(layer.gate, records, normed2);
  const up = multiply(layer.up, records, normed2);
  const hidden = gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
  const result = multiply(layer.down, records, hidden).map((value, i) => value + afterAttention[i]!);
  expect(result.length).toBe(TOKENS * hiddenSize);
  return result;
}

const isNode = typeof process !== 'undefined';

// Three minutes: one of the long suites.
test.skipIf(!isNode || process.env.TRAMONTANE_FULL === undefined)(
  'a full-size layer',
  { timeout: 300_000 },
  async () => {
    const { device, caps } = await getTestDevice();
    const { spec } = lower(
      model,
      { ...caps, maxStorageBindingBytes: 128 * MIB },
      {
        contextLength: 64,
        prefillChunkLength: 32,
      },
    );
    const records = randomRecords(createRandom(24));
    const ids = Int32Array.from({ length: TOKENS }, (_, i) => (i * 29 + 3) % architecture.vocabularySize);
    const contents: Record<string, BufferContents> = {};
    for (const [name, bytes] of records) contents[`weight:${name}`] = bytes;
    for (const { name, byteLength, initial } of spec.buffers) {
      const bytes = new Uint8Array(byteLength);
      if (initial !== undefined) bytes.set(initial);
      contents[`planned:${name}`] = bytes;
    }
    const { embed, prefill, decode } = spec.programs;
    const variant = prefill.find((candidate) => candidate.maxTokens >= PREFILL_TOKENS)!;
    const caches = ['planned:key_cache_0', 'planned:value_cache_0'];
    const first = await runSteps(device, [...embed, ...variant.steps], {
      buffers: { ...contents, 'argument:0': ids.subarray(0, PREFILL_TOKENS) },
      variables: { tokens: PREFILL_TOKENS, position: 0, length: PREFILL_TOKENS },
      read: ['planned:x', ...caches],
    });
    for (const name of caches) contents[name] = new Uint8Array(first[name]!);
    const second = await runSteps(device, [...embed, ...decode], {
      buffers: { ...contents, 'argument:0': ids.subarray(PREFILL_TOKENS) },
      variables: { tokens: 1, position: PREFILL_TOKENS, length: TOKENS },
      read: ['planned:x'],
    });

    const embedded = new Float64Array(TOKENS * architecture.hiddenSize);
    const table = weightFormats[model.tensors.embedding.format];
    const part = model.tensors.embedding.parts[0]!;
    const record = {
      quants: new DataView(records.get(part.quants)!.buffer),
      scales: new DataView(records.get(part.scales!)!.buffer),
    };
    for (let t = 0; t < TOKENS; t++) {
      for (let k = 0; k < architecture.hiddenSize; k++) {
        const at = ids[t]! * architecture.hiddenSize + k;
        embedded[t * architecture.hiddenSize + k] = table.decode(record, at >> 5, k & 31);
      }
    }
    const expected = referenceLayer(embedded, records);
    const split = PREFILL_TOKENS * architecture.hiddenSize;
    const tolerance = caps.shaderF16 ? 2e-2 : 1e-3;
    expectClose(
      new Float32Array(first['planned:x']!).subarray(0, split),
      expected.subarray(0, split),
      tolerance,
      'prefill of 17 tokens',
    );
    expectClose(
      new Float32Array(second['planned:x']!).subarray(0, architecture.hiddenSize),
      expected.subarray(split),
      tolerance,
      'decoded token',
    );
  },
);
