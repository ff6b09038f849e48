/**
 * tiny-mistral as a folder in MLC's layout, quantised with q4f16_1 by the formula of mlc_llm's group quantisation: what
 * `mlc_llm convert_weight` and `gen_config` would write, tensor by tensor.
 */
import { float16ToNumber, numberToFloat16 } from '../../src/base/float16.ts';
import { md5Hex } from '../../src/base/md5.ts';
import { buildTokenizerJson } from '../../src/formats/tokenizer/build-tokenizer.ts';
import {
  createMatrices,
  createMetadata,
  createNormValues,
  MISTRAL_V11_JINJA,
  TINY_MISTRAL_SHAPE,
  type TinyMistralShape,
} from './tiny-mistral.ts';
import { createTinyVocabulary } from './tiny-mistral-vocabulary.ts';

export interface MlcFolder {
  /** Contents by name. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
  /** The weights that the tensors stand for, by canonical name: rows of Q, K, V and gate, up by themselves. */
  weights: Map<string, Float32Array>;
}

interface Tensor {
  name: string;
  shape: number[];
  dtype: 'uint32' | 'float16';
  bytes: Uint8Array;
}

const GROUP = 32;
const MAX_INT = 7;

/** Quants and scales of a matrix, and what they stand for. */
function quantise(values: Float32Array): { quants: Uint8Array; scales: Uint8Array; weights: Float32Array } {
  const quants = new Uint8Array(values.length / 2);
  const scales = new Uint16Array(values.length / GROUP);
  const weights = new Float32Array(values.length);
  const half = (value: number) => float16ToNumber(numberToFloat16(value));
  for (let group = 0; group < scales.length; group++) {
    const start = group * GROUP;
    // The weights are f16 before they are quantised, and so is the division.
    const own = Array.from(values.subarray(start, start + GROUP), half);
    const scale = half(Math.max(...own.map(Math.abs)) / MAX_INT);
    scales[group] = numberToFloat16(scale);
    for (const [index, value] of own.entries()) {
      const exact = scale === 0 ? MAX_INT : value / scale + MAX_INT;
      const quant = Math.min(2 * MAX_INT, Math.max(0, Math.round(exact)));
      quants[(start + index) >> 1]! |= quant << (index % 2 === 0 ? 0 : 4);
      weights[start + index] = (quant - MAX_INT) * scale;
    }
  }
  return { quants, scales: new Uint8Array(scales.buffer), weights };
}

/** Our names of GGUF's tensors. */
function canonical(ggufName: string): string {
  const [, layer, tensor] = /^(?:blk\.(\d+)\.)?(\w+)\.weight$/.exec(ggufName)!;
  const names: Record<string, string> = {
    token_embd: 'model.embed_tokens',
    output: 'lm_head',
    output_norm: 'model.norm',
    attn_norm: 'input_layernorm',
    ffn_norm: 'post_attention_layernorm',
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.o_proj',
    ffn_gate: 'mlp.gate_proj',
    ffn_up: 'mlp.up_proj',
    ffn_down: 'mlp.down_proj',
  };
  return layer === undefined ? names[tensor!]! : `model.layers.${layer}.${names[tensor!]}`;
}

const FUSED: Readonly<Record<string, readonly string[]>> = {
  'self_attn.qkv_proj': ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  'mlp.gate_up_proj': ['mlp.gate_proj', 'mlp.up_proj'],
};

export interface MlcFolderOptions {
  shape?: TinyMistralShape;
  /** Older folders call it `ndarray-cache.json`. */
  cacheFile?: string;
}

// biome-ignore lint/suspicious/noExplicitAny: tests spoil it in every way
export type MlcConfig = Record<string, any>;
// biome-ignore lint/suspicious/noExplicitAny: as above
export type MlcCache = { metadata: object; records: any[] };

const SHARD_BYTES = 200_000;

export function createMlcFolder({
  shape = TINY_MISTRAL_SHAPE,
  cacheFile = 'tensor-cache.json',
}: MlcFolderOptions = {}): MlcFolder {
  const vocabulary = createTinyVocabulary();
  const matrices = new Map(
    createMatrices(shape, vocabulary).map((matrix) => [canonical(matrix.name), matrix]),
  );
  const weights = new Map<string, Float32Array>();
  const tensors: Tensor[] = [];
  const add = (name: string, parts: readonly string[]) => {
    const own = parts.map((part) => matrices.get(part)!);
    const { columns } = own[0]!;
    const rows = own.reduce((sum, part) => sum + part.rows, 0);
    const values = new Float32Array(rows * columns);
    let start = 0;
    for (const part of own) {
      values.set(part.values, start * columns);
      start += part.rows;
    }
    const quantised = quantise(values);
    start = 0;
    for (const [index, part] of own.entries()) {
      weights.set(parts[index]!, quantised.weights.slice(start * columns, (start + part.rows) * columns));
      start += part.rows;
    }
    tensors.push(
      { name: `${name}.q_weight`, shape: [rows, columns / 8], dtype: 'uint32', bytes: quantised.quants },
      { name: `${name}.q_scale`, shape: [rows, columns / GROUP], dtype: 'float16', bytes: quantised.scales },
    );
  };
  const norms = new Map(createNormValues(shape).map(({ name, values }) => [canonical(name), values]));
  const addNorm = (name: string) => {
    const halves = Uint16Array.from(norms.get(name)!, numberToFloat16);
    weights.set(name, Float32Array.from(halves, float16ToNumber));
    tensors.push({
      name: `${name}.weight`,
      shape: [halves.length],
      dtype: 'float16',
      bytes: new Uint8Array(halves.buffer),
    });
  };
  add('lm_head', ['lm_head']);
  add('model.embed_tokens', ['model.embed_tokens']);
  for (let layer = 0; layer < shape.layerCount; layer++) {
    const prefix = `model.layers.${layer}.`;
    for (const name of ['self_attn.qkv_proj', 'self_attn.o_proj', 'mlp.gate_up_proj', 'mlp.down_proj']) {
      add(
        prefix + name,
        (FUSED[name] ?? [name]).map((part) => prefix + part),
      );
    }
    addNorm(`${prefix}input_layernorm`);
    addNorm(`${prefix}post_attention_layernorm`);
  }
  addNorm('model.norm');

  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const cache = writeShards(tensors, files);
  const config = createConfig(shape, vocabulary.tokens.length);
  const json = (name: string, value: unknown) =>
    files.set(name, new TextEncoder().encode(JSON.stringify(value)) as Uint8Array<ArrayBuffer>);
  json('mlc-chat-config.json', config);
  json(cacheFile, cache);
  json('tokenizer.json', createTokenizer(shape));
  json('tokenizer_config.json', { chat_template: MISTRAL_V11_JINJA, bos_token: '<s>', eos_token: '</s>' });
  return { files, weights };
}

function writeShards(tensors: readonly Tensor[], files: Map<string, Uint8Array<ArrayBuffer>>): MlcCache {
  const shards: Tensor[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    if (size > 0 && size + tensor.bytes.byteLength > SHARD_BYTES) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += tensor.bytes.byteLength;
  }
  const records = shards.map((own, index) => {
    const dataPath = `params_shard_${index}.bin`;
    let byteOffset = 0;
    const entries = own.map(({ name, shape, dtype, bytes }) => {
      const entry = { name, shape, dtype, format: 'f32-to-bf16', nbytes: bytes.byteLength, byteOffset };
      byteOffset += bytes.byteLength;
      return entry;
    });
    const bytes = new Uint8Array(byteOffset);
    for (const [at, tensor] of own.entries()) bytes.set(tensor.bytes, entries[at]!.byteOffset);
    files.set(dataPath, bytes);
    return { dataPath, format: 'raw-shard', nbytes: byteOffset, records: entries, md5sum: md5Hex(bytes) };
  });
  return { metadata: { ParamSize: tensors.length }, records };
}

function createConfig(shape: TinyMistralShape, vocabularySize: number): MlcConfig {
  return {
    version: '0.1.0',
    model_type: 'mistral',
    quantization: 'q4f16_1',
    model_config: {
      hidden_size: shape.hiddenSize,
      intermediate_size: shape.intermediateSize,
      num_attention_heads: shape.headCount,
      num_hidden_layers: shape.layerCount,
      rms_norm_eps: 1e-5,
      vocab_size: vocabularySize,
      position_embedding_base: shape.ropeTheta,
      num_key_value_heads: shape.kvHeadCount,
      head_dim: shape.headDim,
      context_window_size: shape.contextLength,
      sliding_window_size: -1,
      prefill_chunk_size: shape.contextLength,
      attention_sink_size: 4,
      tensor_parallel_shards: 1,
      max_batch_size: 80,
    },
    vocab_size: vocabularySize,
    context_window_size: shape.contextLength,
    sliding_window_size: -1,
    temperature: 1,
    top_p: 1,
    tokenizer_files: ['tokenizer.json', 'tokenizer_config.json'],
    conv_template: { name: 'mistral_default', stop_token_ids: [2] },
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

/** As its makers would publish it: control tokens by their surfaces. */
function createTokenizer(shape: TinyMistralShape): object {
  const built = buildTokenizerJson(new Map(createMetadata(shape, createTinyVocabulary())));
  const tokenizer = JSON.parse(built.tokenizerJson);
  const surfaces = new Map(built.controlTokens.map(({ id, surface }) => [id, surface]));
  for (const token of tokenizer.added_tokens) token.content = surfaces.get(token.id) ?? token.content;
  tokenizer.model.vocab = Object.fromEntries(
    Object.entries<number>(tokenizer.model.vocab).map(([token, id]) => [surfaces.get(id) ?? token, id]),
  );
  return tokenizer;
}
