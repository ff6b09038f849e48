/**
 * tiny-mistral: a seeded model of Mistral's architecture, small enough that a test answers in seconds on a software
 * GPU. Hidden size differs from heads times head width, queries share key/value heads, the head is untied, the
 * vocabulary has an odd size, and every weight format occurs.
 *
 * The weights are random but arranged so that it behaves like a language model from afar: it writes mostly whole words,
 * what it writes depends on what it reads, and it ends its answers now and then. Channel 0 of the residual stream is
 * kept constant for that; the head reads from it what to prefer whatever the text.
 */
import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { importToFolder } from '../../scripts/lib/import-folder.ts';
import { withLock } from '../../scripts/lib/lock.ts';
import { hashInputs, ROOT, readStamp, writeStamp } from '../../scripts/lib/up-to-date.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import type { GgufValue } from '../../src/formats/gguf/gguf.ts';
import { type QuantisableType, quantise, type TensorToWrite, writeGguf } from './gguf-writer.ts';
import { createRandom } from './random.ts';
import { createTinyVocabulary, type TinyVocabulary } from './tiny-mistral-vocabulary.ts';

export interface TinyMistralShape {
  hiddenSize: number;
  layerCount: number;
  headCount: number;
  kvHeadCount: number;
  headDim: number;
  intermediateSize: number;
  contextLength: number;
  ropeTheta: number;
}

export const TINY_MISTRAL_SHAPE: TinyMistralShape = {
  hiddenSize: 128,
  layerCount: 3,
  headCount: 6,
  kvHeadCount: 2,
  headDim: 32,
  intermediateSize: 256,
  contextLength: 2048,
  ropeTheta: 1e6,
};

/**
 * Formats by GGUF tensor name. `mixed`: the embedding, the head and each layer differ, and layers 1 and 2 mix formats.
 * `plain`: the same weights in one format, so that a slow device has few kernels to compile.
 */
export type TinyMistralVariant = 'mixed' | 'plain';
const PLAIN: readonly (readonly [name: RegExp, type: QuantisableType])[] = [
  [/^(token_embd|output)\./, 'Q8_0'],
  [/^blk\./, 'Q4_0'],
];
const MIXED: readonly (readonly [name: RegExp, type: QuantisableType])[] = [
  [/^token_embd/, 'F16'],
  [/^output\./, 'Q8_0'],
  [/^blk\.0\./, 'Q4_0'],
  [/^blk\.1\.(attn_v|ffn_down)/, 'Q8_0'],
  [/^blk\.1\./, 'Q4_1'],
  [/^blk\.2\.attn_output/, 'F32'],
  [/^blk\.2\.ffn_down/, 'Q4_1'],
  [/^blk\.2\./, 'F16'],
];

const SEED = 20_250_620;

/** In Mistral's dialect v11, as far as chat goes. */
export const MISTRAL_V11_JINJA = `{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {{- '[SYSTEM_PROMPT]' + messages[0]['content'] + '[/SYSTEM_PROMPT]' }}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}
        {{- '[INST]' + message['content'] + '[/INST]' }}
    {%- elif message['tool_calls'] is defined %}
        {%- for call in message['tool_calls'] %}
            {{- '[TOOL_CALLS]' + call.function.name + '[CALL_ID]' + call.id + '[ARGS]' + call.function.arguments }}
        {%- endfor %}
        {{- eos_token }}
    {%- elif message['role'] == 'tool' %}
        {{- '[TOOL_RESULTS]' + message.tool_call_id + '[TOOL_CONTENT]' + message['content'] + '[/TOOL_RESULTS]' }}
    {%- else %}
        {{- message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}
`;

/** About normal, with unit variance, from additions alone: the same bits on every machine. */
function createNormal(seed: number): () => number {
  const random = createRandom(seed);
  return () => (random() + random() + random() + random() - 2) * Math.sqrt(3);
}

/** Value of channel 0 in the residual stream; the other channels of an embedding have unit variance. */
const CONSTANT = 4;

/** How strongly the head prefers kinds of tokens: spread of their logits, and what channel 0 adds. */
const PREFERENCE = {
  word: { spread: 2.4, bias: 0 },
  punctuation: { spread: 1.2, bias: 0 },
  end: { spread: 0.6, bias: 5 },
  other: { spread: 0.4, bias: -4 },
} as const;

function preferenceOf(id: number, vocabulary: TinyVocabulary, words: ReadonlySet<number>) {
  if (words.has(id)) return PREFERENCE.word;
  if (vocabulary.tokens[id] === '</s>') return PREFERENCE.end;
  if (['.', ',', '?', '!'].includes(vocabulary.tokens[id] as string)) return PREFERENCE.punctuation;
  return PREFERENCE.other;
}

interface Weights {
  name: string;
  rows: number;
  columns: number;
  weight(row: number, column: number): number;
}

/** Weights by GGUF name, Q and K rows still in Hugging Face's order. */
function createWeights(shape: TinyMistralShape, vocabulary: TinyVocabulary): Weights[] {
  const { hiddenSize, headCount, kvHeadCount, headDim, intermediateSize, layerCount } = shape;
  const normal = createNormal(SEED);
  const words = new Set(vocabulary.wordIds);
  const vocabularySize = vocabulary.tokens.length;
  // Root mean square of a typical last hidden state (measured: 2.9), to which each layer adds variance.
  const lastRms = Math.sqrt(1 + layerCount * 2.4 + CONSTANT ** 2 / hiddenSize);
  const constantAfterNorm = CONSTANT / lastRms;
  /** Rows that write into the residual stream leave channel 0 alone. */
  const branch = (scale: number) => (row: number) => (row === 0 ? 0 : scale * normal());
  const matrix = (name: string, rows: number, columns: number, weight: Weights['weight']): Weights => ({
    name: `${name}.weight`,
    rows,
    columns,
    weight,
  });
  const fill = (scale: number) => () => scale * normal();
  const width = Math.sqrt(hiddenSize);

  const weights = [
    matrix('token_embd', vocabularySize, hiddenSize, (_, column) => (column === 0 ? CONSTANT : normal())),
  ];
  for (let layer = 0; layer < layerCount; layer++) {
    const name = (tensor: string) => `blk.${layer}.${tensor}`;
    weights.push(
      // Scores with a spread of about 2: attention that chooses.
      matrix(name('attn_q'), headCount * headDim, hiddenSize, fill(1.4 / width)),
      matrix(name('attn_k'), kvHeadCount * headDim, hiddenSize, fill(1.4 / width)),
      matrix(name('attn_v'), kvHeadCount * headDim, hiddenSize, fill(1 / width)),
      matrix(
        name('attn_output'),
        hiddenSize,
        headCount * headDim,
        branch(1.6 / Math.sqrt(headCount * headDim)),
      ),
      matrix(name('ffn_gate'), intermediateSize, hiddenSize, fill(1.2 / width)),
      matrix(name('ffn_up'), intermediateSize, hiddenSize, fill(1.2 / width)),
      matrix(name('ffn_down'), hiddenSize, intermediateSize, branch(1.4 / Math.sqrt(intermediateSize))),
    );
  }
  weights.push(
    matrix('output', vocabularySize, hiddenSize, (row, column) => {
      const { spread, bias } = preferenceOf(row, vocabulary, words);
      return column === 0 ? bias / constantAfterNorm : (spread / width) * normal();
    }),
  );
  return weights;
}

export interface TinyMatrix {
  /** As in GGUF. */
  name: string;
  rows: number;
  columns: number;
  /** Rows in Hugging Face's order. */
  values: Float32Array;
}

export function createMatrices(shape: TinyMistralShape, vocabulary: TinyVocabulary): TinyMatrix[] {
  return createWeights(shape, vocabulary).map(({ name, rows, columns, weight }) => {
    const values = new Float32Array(rows * columns);
    for (let index = 0; index < values.length; index++) {
      values[index] = weight(Math.floor(index / columns), index % columns);
    }
    return { name, rows, columns, values };
  });
}

/** Row of GGUF's order for a row of Hugging Face's, by the definition of llama.cpp's conversion. */
function interleavedRow(row: number, headDim: number): number {
  const rowInHead = row % headDim;
  const half = headDim / 2;
  return row - rowInHead + (rowInHead % half) * 2 + Math.floor(rowInHead / half);
}

function toTensor(matrix: TinyMatrix, headDim: number, variant: TinyMistralVariant): TensorToWrite {
  const { name, rows, columns } = matrix;
  const isRotated = /attn_[qk]\./.test(name);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const target = (isRotated ? interleavedRow(row, headDim) : row) * columns;
    values.set(matrix.values.subarray(row * columns, (row + 1) * columns), target);
  }
  const formats = variant === 'mixed' ? MIXED : PLAIN;
  const type = formats.find(([pattern]) => pattern.test(name))?.[1];
  if (type === undefined) throw new Error(`No format for ${name}`);
  return { name, type, dimensions: [columns, rows], bytes: quantise(type, values) };
}

/** By GGUF name. */
export function createNormValues(shape: TinyMistralShape): { name: string; values: Float32Array }[] {
  const normal = createNormal(SEED + 1);
  const names = Array.from({ length: shape.layerCount }, (_, layer) => [
    `blk.${layer}.attn_norm`,
    `blk.${layer}.ffn_norm`,
  ]);
  return [...names.flat(), 'output_norm'].map((name) => {
    const values = Float32Array.from({ length: shape.hiddenSize }, () => 1 + 0.1 * normal());
    if (name === 'output_norm') values[0] = 1;
    return { name: `${name}.weight`, values };
  });
}

function createNorms(shape: TinyMistralShape): TensorToWrite[] {
  return createNormValues(shape).map(({ name, values }, index) => {
    // One in F16, which the importer widens.
    const type = index === 1 ? 'F16' : 'F32';
    return { name, type, dimensions: [shape.hiddenSize], bytes: quantise(type, values) };
  });
}

const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
const float32 = (value: number): GgufValue => ({ type: 'float32', value });
const text = (value: string): GgufValue => ({ type: 'string', value });

export function createMetadata(shape: TinyMistralShape, vocabulary: TinyVocabulary): [string, GgufValue][] {
  return [
    ['general.architecture', text('llama')],
    ['general.name', text('Tiny Mistral')],
    ['general.license', text('apache-2.0')],
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
    ['llama.vocab_size', uint32(vocabulary.tokens.length)],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('tekken')],
    ['tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value: vocabulary.tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: vocabulary.types }],
    ['tokenizer.ggml.merges', { type: 'array', elementType: 'string', value: vocabulary.merges }],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
    ['tokenizer.ggml.unknown_token_id', uint32(0)],
    ['tokenizer.ggml.padding_token_id', uint32(11)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.chat_template', text(MISTRAL_V11_JINJA)],
  ];
}

/** The GGUF file; the same bytes each time. */
export function createTinyMistralGguf(
  shape: TinyMistralShape = TINY_MISTRAL_SHAPE,
  variant: TinyMistralVariant = 'mixed',
): Uint8Array<ArrayBuffer> {
  const vocabulary = createTinyVocabulary();
  const tensors = createMatrices(shape, vocabulary).map((matrix) => toTensor(matrix, shape.headDim, variant));
  return writeGguf({
    metadata: createMetadata(shape, vocabulary),
    tensors: [...tensors, ...createNorms(shape)],
  });
}

/** Small enough that the embedding and the head are cut into parts, and the model into several shards. */
export const TINY_MISTRAL_LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 256 << 10 };

const GENERATOR_SOURCES = [
  'tests/tools/gguf-writer.ts',
  'tests/tools/random.ts',
  'tests/tools/tiny-mistral.ts',
  'tests/tools/tiny-mistral-vocabulary.ts',
];

const FOLDERS: Record<TinyMistralVariant, string> = {
  mixed: join(ROOT, '.cache/tiny-mistral'),
  plain: join(ROOT, '.cache/tiny-mistral-plain'),
};

/**
 * Makes the model where it is not there yet, or out of date. Any number of processes may ask at once.
 * @returns paths of the GGUF file and of the imported model's folder
 */
export async function ensureTinyMistral(
  variant: TinyMistralVariant = 'mixed',
): Promise<{ gguf: string; folder: string }> {
  const cache = FOLDERS[variant];
  const paths = { gguf: join(cache, 'tiny-mistral.gguf'), folder: join(cache, 'model') };
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, 'lock'), async () => {
    const inputHash = await hashInputs([], GENERATOR_SOURCES);
    const stamp = join(cache, 'stamp.json');
    if ((await readStamp(stamp, inputHash, cache)) !== null) return;
    const bytes = createTinyMistralGguf(TINY_MISTRAL_SHAPE, variant);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await writeFile(`${paths.gguf}.partial`, bytes);
    await rename(`${paths.gguf}.partial`, paths.gguf);
    const manifest = await importToFolder(memorySource(bytes), paths.folder, {
      ...TINY_MISTRAL_LIMITS,
      origin: { sourceName: 'tiny-mistral.gguf', sha256 },
    });
    const files = ['tiny-mistral.gguf', ...manifest.files.map((name) => `model/${name}`)];
    await writeStamp(stamp, inputHash, cache, files, true);
  });
  return paths;
}
