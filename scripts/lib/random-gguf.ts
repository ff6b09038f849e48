/**
 * A GGUF that exists only as a way to compute any range of it: true shapes, random weights, the same bytes each time.
 * Weights are uniform, scaled so that activations keep their size from layer to layer; norms are 1.
 */
import { numberToFloat16 } from '../../src/base/float16.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import { type GgmlType, ggmlByteLength } from '../../src/formats/gguf/ggml-types.ts';
import type { Gguf, GgufMetadata, GgufTensor, GgufValue } from '../../src/formats/gguf/gguf.ts';
import { BYTE_ALPHABET } from '../../src/formats/tokenizer/byte-alphabet.ts';

export interface RandomShape {
  name: string;
  hiddenSize: number;
  layerCount: number;
  headCount: number;
  kvHeadCount: number;
  headDim: number;
  intermediateSize: number;
  vocabularySize: number;
  ropeTheta: number;
  contextLength: number;
}

export const SHAPES: Readonly<Record<string, RandomShape>> = {
  'mistral-small-3.2-24b': {
    name: 'Mistral Small 3.2 24B, random weights',
    hiddenSize: 5120,
    layerCount: 40,
    headCount: 32,
    kvHeadCount: 8,
    headDim: 128,
    intermediateSize: 32_768,
    vocabularySize: 131_072,
    ropeTheta: 1e9,
    contextLength: 131_072,
  },
  tiny: {
    name: 'Tiny, random weights',
    hiddenSize: 128,
    layerCount: 2,
    headCount: 6,
    kvHeadCount: 2,
    headDim: 32,
    intermediateSize: 256,
    vocabularySize: 512,
    ropeTheta: 1e6,
    contextLength: 2048,
  },
};

/** Layer `number` of `count`; null for tensors outside of the layers. */
type Place = { number: number; count: number } | null;

/** What a quantisation stores which tensor as. */
export const MIXES: Readonly<Record<string, (tensor: string, columns: number, layer: Place) => GgmlType>> = {
  q4_0: () => 'Q4_0',
  q8_0: () => 'Q8_0',
  /** As llama.cpp chooses, but for rows that are no multiple of a K-quant's group. */
  q4_k_m: (tensor, columns, layer) => {
    if (columns % 256 !== 0) return 'Q8_0';
    const isSensitive = tensor.endsWith('attn_v') || tensor.endsWith('ffn_down');
    return tensor === 'output' || (isSensitive && isPreciseLayer(layer)) ? 'Q6_K' : 'Q4_K';
  },
};

/** The first and the last eighth of the layers, and every third between. */
function isPreciseLayer(layer: Place): boolean {
  if (layer === null) return false;
  const { number, count } = layer;
  const eighth = Math.floor(count / 8);
  return number < eighth || number >= Math.floor((7 * count) / 8) || (number - eighth) % 3 === 2;
}

/** The header: tensors lie one after the other, from offset 0 on. */
export function describeGguf(shape: RandomShape, mix: (typeof MIXES)[string]): Gguf {
  const tensors: GgufTensor[] = [];
  let offsetBytes = 0;
  const add = (name: string, type: GgmlType, dimensions: number[]): void => {
    const elements = dimensions.reduce((product, length) => product * length, 1);
    const byteLength = ggmlByteLength(type, elements);
    tensors.push({ name, type, dimensions, offsetBytes, byteLength });
    offsetBytes += byteLength;
  };
  const matrix = (name: string, rows: number, columns: number, layer: Place = null) =>
    add(`${name}.weight`, mix(name, columns, layer), [columns, rows]);
  const norm = (name: string) => add(`${name}.weight`, 'F32', [shape.hiddenSize]);
  const { hiddenSize, intermediateSize, headDim } = shape;
  matrix('token_embd', shape.vocabularySize, hiddenSize);
  for (let layer = 0; layer < shape.layerCount; layer++) {
    const at = (name: string) => `blk.${layer}.${name}`;
    const place = { number: layer, count: shape.layerCount };
    const layerMatrix = (name: string, rows: number, columns: number) =>
      matrix(at(name), rows, columns, place);
    norm(at('attn_norm'));
    layerMatrix('attn_q', shape.headCount * headDim, hiddenSize);
    layerMatrix('attn_k', shape.kvHeadCount * headDim, hiddenSize);
    layerMatrix('attn_v', shape.kvHeadCount * headDim, hiddenSize);
    layerMatrix('attn_output', hiddenSize, shape.headCount * headDim);
    norm(at('ffn_norm'));
    layerMatrix('ffn_gate', intermediateSize, hiddenSize);
    layerMatrix('ffn_up', intermediateSize, hiddenSize);
    layerMatrix('ffn_down', hiddenSize, intermediateSize);
  }
  norm('output_norm');
  matrix('output', shape.vocabularySize, hiddenSize);
  return {
    version: 3,
    metadata: describeMetadata(shape),
    tensors,
    dataOffsetBytes: 0,
    alignmentBytes: 32,
    offsets: new Map(),
  };
}

/** Ids as in Mistral Small 3.x, as far as its chat template needs them. */
const CONTROL_TOKENS = ['<unk>', '<s>', '</s>', '[INST]', '[/INST]'];
const SYSTEM_PROMPT_TOKENS: Readonly<Record<number, string>> = {
  17: '[SYSTEM_PROMPT]',
  18: '[/SYSTEM_PROMPT]',
};
const CONTROL_COUNT = 40;

function describeMetadata(shape: RandomShape): GgufMetadata {
  const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
  const float32 = (value: number): GgufValue => ({ type: 'float32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const tokens = Array.from({ length: shape.vocabularySize }, (_, id) =>
    id < CONTROL_COUNT
      ? (CONTROL_TOKENS[id] ?? SYSTEM_PROMPT_TOKENS[id] ?? `<SPECIAL_${id}>`)
      : (BYTE_ALPHABET[id - CONTROL_COUNT] ?? `word${id}`),
  );
  return new Map<string, GgufValue>([
    ['general.architecture', text('llama')],
    ['general.name', text(shape.name)],
    ['llama.block_count', uint32(shape.layerCount)],
    ['llama.context_length', uint32(shape.contextLength)],
    ['llama.embedding_length', uint32(shape.hiddenSize)],
    ['llama.feed_forward_length', uint32(shape.intermediateSize)],
    ['llama.attention.head_count', uint32(shape.headCount)],
    ['llama.attention.head_count_kv', uint32(shape.kvHeadCount)],
    ['llama.attention.key_length', uint32(shape.headDim)],
    ['llama.attention.value_length', uint32(shape.headDim)],
    ['llama.attention.layer_norm_rms_epsilon', float32(1e-5)],
    ['llama.rope.dimension_count', uint32(shape.headDim)],
    ['llama.rope.freq_base', float32(shape.ropeTheta)],
    ['llama.vocab_size', uint32(shape.vocabularySize)],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('tekken')],
    ['tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value: tokens }],
    [
      'tokenizer.ggml.token_type',
      { type: 'array', elementType: 'int32', value: tokens.map((_, id) => (id < CONTROL_COUNT ? 3 : 1)) },
    ],
    ['tokenizer.ggml.merges', { type: 'array', elementType: 'string', value: [] }],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
  ]);
}

/** A type's groups: where their f16 scales are, and the root mean square of what random bits are a multiple of. */
interface RandomGroup {
  bytes: number;
  scaleAt: number;
  rms: number;
  /** Where the f16 of the minimum is, and how many times the scale it is, so that the mean is 0. */
  minimum?: { at: number; factor: number };
  /** Sub-scales are kept below 8 by a mask of their bytes: the group's scale is then no subnormal f16. */
  subScales?: { from: number; to: number; mask(at: number): number };
}

/** Mean squares of whole numbers from 0 to 7 and to 15, and the square of the mean of the former. */
const [SQUARES_7, SQUARES_15, MEAN_7_SQUARED] = [17.5, 77.5, 12.25];

const GROUPS: Partial<Record<GgmlType, RandomGroup>> = {
  // Nibbles less 8.
  Q4_0: { bytes: 18, scaleAt: 0, rms: Math.sqrt(21.5) },
  // Signed bytes.
  Q8_0: { bytes: 34, scaleAt: 0, rms: Math.sqrt((256 ** 2 + 2) / 12) },
  // Nibbles times sub-scales, less 7.5 times minima: src/formats/quant has the layouts.
  Q4_K: {
    bytes: 144,
    scaleAt: 0,
    rms: Math.sqrt(SQUARES_7 * SQUARES_15 + 7.5 ** 2 * SQUARES_7 - 2 * 7.5 ** 2 * MEAN_7_SQUARED),
    minimum: { at: 2, factor: 7.5 },
    subScales: { from: 4, to: 16, mask: (at) => (at < 12 ? 0x07 : 0x77) },
  },
  // Six bits less 32, times sub-scales.
  Q6_K: {
    bytes: 210,
    scaleAt: 208,
    rms: Math.sqrt(341.5 * SQUARES_7),
    subScales: { from: 192, to: 208, mask: () => 0x07 },
  },
};

/** Any range of the weights, as long as it begins and ends with a row. */
export function createSource({ tensors }: Gguf): ByteSource {
  const last = tensors.at(-1)!;
  const byteLength = last.offsetBytes + last.byteLength;
  return {
    byteLength,
    async read(offset, length) {
      const tensor = tensors.find((candidate) => offset < candidate.offsetBytes + candidate.byteLength)!;
      const bytes = new Uint8Array(length);
      if (tensor.dimensions.length === 1) new Float32Array(bytes.buffer).fill(1);
      else fillGroups(bytes, tensor, offset);
      return bytes;
    },
  };
}

function fillGroups(
  bytes: Uint8Array<ArrayBuffer>,
  { name, type, dimensions }: GgufTensor,
  seed: number,
): void {
  const group = GROUPS[type];
  if (group === undefined) throw new Error(`Internal error: no random weights of type ${type}`);
  const whole = bytes.byteLength & ~3;
  fillRandom(new Uint32Array(bytes.buffer, 0, whole / 4), seed);
  for (let i = whole; i < bytes.byteLength; i++) bytes[i] = seed + i;
  // Rows of unit length in the mean keep what they are multiplied with; the embedding's weights are of unit size.
  const columns = name.startsWith('token_embd') ? 1 : dimensions[0]!;
  const scale = 1 / (group.rms * Math.sqrt(columns));
  const view = new DataView(bytes.buffer);
  const { minimum, subScales } = group;
  for (let start = 0; start < bytes.byteLength; start += group.bytes) {
    view.setUint16(start + group.scaleAt, numberToFloat16(scale), true);
    if (minimum !== undefined) {
      view.setUint16(start + minimum.at, numberToFloat16(minimum.factor * scale), true);
    }
    if (subScales === undefined) continue;
    for (let at = subScales.from; at < subScales.to; at++) bytes[start + at]! &= subScales.mask(at);
  }
}

/** xorshift32 (Marsaglia 2003). */
function fillRandom(words: Uint32Array, seed: number): void {
  let state = (Math.imul(seed ^ (seed / 2 ** 32), 0x9e3779b1) ^ 0x85ebca6b) | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
}
