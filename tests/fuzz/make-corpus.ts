/**
 * Writes the good files that fuzzing starts from into `tests/fuzz/corpus/`: `npx tsx tests/fuzz/make-corpus.ts`. They
 * are kept in the repository, so that a seed means the same input as long as they do not change.
 */
import { writeFileSync } from 'node:fs';
import { GGML_TYPES, type GgmlType } from '../../src/formats/gguf/ggml-types.ts';
import type { GgufValue } from '../../src/formats/gguf/gguf.ts';
import { type TensorToWrite, writeGguf } from '../tools/gguf-writer.ts';
import { createRandom } from '../tools/random.ts';

type Entry = [key: string, value: GgufValue];

const text = (value: string): GgufValue => ({ type: 'string', value });
const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
const float32 = (value: number): GgufValue => ({ type: 'float32', value });
const strings = (value: string[]): GgufValue => ({ type: 'array', elementType: 'string', value });
const integers = (value: number[]): GgufValue => ({ type: 'array', elementType: 'int32', value });

interface ModelShape {
  architecture: string;
  hiddenSize: number;
  headCount: number;
  kvHeadCount: number;
  headDim: number;
  intermediateSize: number;
  layerCount: number;
}

const SMALL: ModelShape = {
  architecture: 'llama',
  hiddenSize: 32,
  headCount: 2,
  kvHeadCount: 1,
  headDim: 16,
  intermediateSize: 32,
  layerCount: 1,
};

function architectureEntries(shape: ModelShape, extra: Entry[] = []): Entry[] {
  const key = (name: string) => `${shape.architecture}.${name}`;
  return [
    ['general.architecture', text(shape.architecture)],
    ['general.name', text('Fuzz seed')],
    ['general.file_type', uint32(2)],
    [key('block_count'), uint32(shape.layerCount)],
    [key('context_length'), uint32(256)],
    [key('embedding_length'), uint32(shape.hiddenSize)],
    [key('feed_forward_length'), uint32(shape.intermediateSize)],
    [key('attention.head_count'), uint32(shape.headCount)],
    [key('attention.head_count_kv'), uint32(shape.kvHeadCount)],
    [key('attention.key_length'), uint32(shape.headDim)],
    [key('attention.layer_norm_rms_epsilon'), float32(1e-5)],
    [key('rope.freq_base'), float32(1e6)],
    ...extra,
  ];
}

interface SeedTokenizer {
  pre: string;
  controls: string[];
  template: string;
}

const MISTRAL_V7: SeedTokenizer = {
  pre: 'tekken',
  controls: ['<unk>', '<s>', '</s>', '[INST]', '[/INST]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]'],
  template:
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}{% elif m.role == 'system' %}{{ '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
};
const MISTRAL_V11: SeedTokenizer = {
  ...MISTRAL_V7,
  controls: [...MISTRAL_V7.controls, '[CALL_ID]', '[ARGS]'],
  template: `${MISTRAL_V7.template}{# [TOOL_CALLS] name [CALL_ID] id [ARGS] #}`,
};
const CHATML: SeedTokenizer = {
  pre: 'smollm',
  controls: ['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
  template:
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
};

function tokenizerEntries({ pre, controls, template }: SeedTokenizer): Entry[] {
  const tokens = [...controls, 'a', 'b', 'c', 'Ġ', 'ab', 'Ġa', 'Ġab', '7', '__proto__'];
  return [
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text(pre)],
    ['tokenizer.ggml.tokens', strings(tokens)],
    ['tokenizer.ggml.token_type', integers(tokens.map((_, id) => (id < controls.length ? 3 : 1)))],
    ['tokenizer.ggml.merges', strings(['a b', 'Ġ a', 'Ġ ab', 'Ġa b'])],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
    ['tokenizer.chat_template', text(template)],
  ];
}

function tensor(name: string, type: GgmlType, dimensions: number[]): TensorToWrite {
  const { blockElements, blockBytes } = GGML_TYPES[type];
  const elements = dimensions.reduce((product, length) => product * length, 1);
  const random = createRandom(name.length * 1000 + elements);
  const bytes = Uint8Array.from({ length: (elements / blockElements) * blockBytes }, () => random() * 256);
  return { name: `${name}.weight`, type, dimensions, bytes };
}

/** `types`: of the matrices, in turn. */
function modelTensors(
  shape: ModelShape,
  vocabularySize: number,
  types: GgmlType[],
  tied = false,
): TensorToWrite[] {
  const { hiddenSize, headCount, kvHeadCount, headDim, intermediateSize, layerCount } = shape;
  let next = 0;
  const matrix = (name: string, rows: number, columns: number) =>
    tensor(name, types[next++ % types.length] as GgmlType, [columns, rows]);
  const layers = Array.from({ length: layerCount }, (_, layer) => [
    tensor(`blk.${layer}.attn_norm`, 'F32', [hiddenSize]),
    matrix(`blk.${layer}.attn_q`, headCount * headDim, hiddenSize),
    matrix(`blk.${layer}.attn_k`, kvHeadCount * headDim, hiddenSize),
    matrix(`blk.${layer}.attn_v`, kvHeadCount * headDim, hiddenSize),
    matrix(`blk.${layer}.attn_output`, hiddenSize, headCount * headDim),
    tensor(`blk.${layer}.ffn_norm`, 'F16', [hiddenSize]),
    matrix(`blk.${layer}.ffn_gate`, intermediateSize, hiddenSize),
    matrix(`blk.${layer}.ffn_up`, intermediateSize, hiddenSize),
    matrix(`blk.${layer}.ffn_down`, hiddenSize, intermediateSize),
  ]);
  return [
    matrix('token_embd', vocabularySize, hiddenSize),
    ...layers.flat(),
    tensor('output_norm', 'F32', [hiddenSize]),
    ...(tied ? [] : [matrix('output', vocabularySize, hiddenSize)]),
  ];
}

function writeSeed(
  name: string,
  metadata: Entry[],
  tensors: TensorToWrite[],
  version = 3,
  alignmentBytes = 32,
): void {
  const path = new URL(`corpus/${name}.gguf`, import.meta.url);
  writeFileSync(path, writeGguf({ metadata, tensors, version, alignmentBytes }));
}

const vocabularySize = ({ controls }: SeedTokenizer) => controls.length + 9;

writeSeed(
  'llama-v7',
  [...architectureEntries(SMALL), ...tokenizerEntries(MISTRAL_V7)],
  modelTensors(SMALL, vocabularySize(MISTRAL_V7), ['Q4_0']),
);

const mistral3 = { ...SMALL, architecture: 'mistral3' };
writeSeed(
  'mistral3-v11-mixed',
  [
    ['general.alignment', uint32(64)],
    ...architectureEntries(mistral3, [
      ['mistral3.rope.scaling.type', text('none')],
      ['mistral3.rope.dimension_count', uint32(16)],
      ['mistral3.attention.value_length', uint32(16)],
      ['general.sampling.temp', float32(0.15)],
      ['general.sampling.top_p', { type: 'float64', value: 0.9 }],
    ]),
    ...tokenizerEntries(MISTRAL_V11),
    ['tokenizer.ggml.eot_token_id', uint32(4)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
  ],
  modelTensors(mistral3, vocabularySize(MISTRAL_V11), ['Q4_1', 'Q8_0', 'Q5_0', 'F16', 'IQ4_NL', 'BF16']),
  3,
  64,
);

writeSeed(
  'llama-chatml-tied-v2',
  [...architectureEntries({ ...SMALL, layerCount: 2 }), ...tokenizerEntries(CHATML)],
  modelTensors({ ...SMALL, layerCount: 2 }, vocabularySize(CHATML), ['Q4_1', 'F16'], true),
  2,
);

const controls = MISTRAL_V7.controls;
const pieces = ['▁', 'a', 'b', 'ab', '▁a', '▁ab', 'a b'];
const bytePieces = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
const sentencePieceTokens = [...controls, ...bytePieces, ...pieces];
writeSeed(
  'llama-sentencepiece',
  [
    ...architectureEntries(SMALL),
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.pre', text('default')],
    ['tokenizer.ggml.tokens', strings(sentencePieceTokens)],
    [
      'tokenizer.ggml.scores',
      { type: 'array', elementType: 'float32', value: sentencePieceTokens.map((_, id) => -id) },
    ],
    [
      'tokenizer.ggml.token_type',
      integers(
        sentencePieceTokens.map((_, id) => {
          if (id < controls.length) return 3;
          if (id < controls.length + 256) return 6;
          return id === sentencePieceTokens.length - 1 ? 4 : 1;
        }),
      ),
    ],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: false }],
    ['tokenizer.chat_template', text(MISTRAL_V7.template)],
  ],
  modelTensors(SMALL, sentencePieceTokens.length, ['Q4_0']),
);

// Rows of a K-quant have 256 columns at least: in ffn_down only.
const wide = { ...SMALL, intermediateSize: 256 };
writeSeed(
  'llama-k-quants',
  [...architectureEntries(wide), ...tokenizerEntries(MISTRAL_V7)],
  modelTensors(wide, vocabularySize(MISTRAL_V7), ['Q4_0']).map((written) =>
    written.name.includes('ffn_down') ? tensor('blk.0.ffn_down', 'Q6_K', [256, 32]) : written,
  ),
);

const array = (elementType: 'uint8' | 'int16' | 'float32' | 'float64', value: number[]): GgufValue => ({
  type: 'array',
  elementType,
  value,
});
writeSeed(
  'every-type',
  [
    ['u8', { type: 'uint8', value: 255 }],
    ['i8', { type: 'int8', value: -128 }],
    ['u16', { type: 'uint16', value: 65535 }],
    ['i16', { type: 'int16', value: -32768 }],
    ['u32', uint32(0xffffffff)],
    ['i32', { type: 'int32', value: -(2 ** 31) }],
    ['u64', { type: 'uint64', value: 2n ** 64n - 1n }],
    ['i64', { type: 'int64', value: -(2n ** 63n) }],
    ['f32', float32(Number.NaN)],
    ['f64', { type: 'float64', value: Number.NEGATIVE_INFINITY }],
    ['bool', { type: 'bool', value: false }],
    ['text', text('\ufeff👩🏽‍🚀\0')],
    ['u8s', array('uint8', [1, 2, 3])],
    ['i16s', array('int16', [-1])],
    ['f32s', array('float32', [0.5, -0.5])],
    ['f64s', array('float64', [])],
    ['bools', { type: 'array', elementType: 'bool', value: [true, false] }],
    ['u64s', { type: 'array', elementType: 'uint64', value: [1n, 2n ** 53n] }],
    ['i64s', { type: 'array', elementType: 'int64', value: [-1n] }],
    ['texts', strings(['', 'é', '\n'])],
  ],
  [
    tensor('one', 'F32', [1]),
    tensor('four', 'I8', [2, 1, 3, 1]),
    tensor('blocks', 'IQ4_XS', [256, 2]),
    tensor('wide', 'MXFP4', [64]),
  ],
);

const split = (part: number): Entry[] => [
  ['split.no', { type: 'uint16', value: part }],
  ['split.count', { type: 'uint16', value: 2 }],
  ['split.tensors.count', { type: 'int32', value: 12 }],
];
const splitTensors = modelTensors(SMALL, vocabularySize(MISTRAL_V7), ['Q8_0']);
writeSeed(
  'split-00001-of-00002',
  [...split(0), ...architectureEntries(SMALL), ...tokenizerEntries(MISTRAL_V7)],
  splitTensors.slice(0, 6),
);
writeSeed('split-00002-of-00002', split(1), splitTensors.slice(6));
