/**
 * A toy model that WebLLM runs in milliseconds: an embedding table, a KV cache that keeps embeddings, and one matrix
 * from the last token to the next, made such that `<|assistant|>` is answered with "Hello from a toy model!". For
 * tests of the linker and the runtime; its kernels are written for reading.
 *
 * The logit of the last id, which no text has, is `-1000 + sum of the first component of all cached embeddings / 100`:
 * it shows what the KV cache holds.
 */
import {
  argument,
  constant,
  dim,
  type KernelSource,
  type LibrarySpec,
  planned,
  type Step,
  type StepWork,
  tiles,
  weight,
} from '../../src/modellib/library-spec.ts';

export const toyAnswer = 'Hello from a toy model!';
export const toyContextLength = 256;
export const toyPrefillChunkLength = 32;
const HIDDEN = 64;
const SCORE_CHUNK = 8;

const words = ['Hello', ' from', ' a', ' toy', ' model', '!'];
const specials = ['<|user|>', '<|assistant|>', '<|end|>'];

/** GPT-2's printable stand-ins for bytes, as in every byte-level tokenizer. */
function byteAlphabet(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

interface Vocabulary {
  /** Ids by the tokenizer's own spelling. */
  ids: Record<string, number>;
  merges: string[];
  specialIds: Record<string, number>;
  wordIds: number[];
  byteId(character: string): number;
}

function makeVocabulary(): Vocabulary {
  const alphabet = byteAlphabet();
  const ids: Record<string, number> = Object.fromEntries(
    alphabet.map((character, byte) => [character, byte]),
  );
  const merges: string[] = [];
  let next = 256;
  const wordIds = words.map((word) => {
    const [first, ...rest] = [...new TextEncoder().encode(word)].map((byte) => alphabet[byte]!);
    let joined = first!;
    for (const character of rest) {
      if (ids[joined + character] === undefined) {
        ids[joined + character] = next++;
        merges.push(`${joined} ${character}`);
      }
      joined += character;
    }
    return ids[joined]!;
  });
  const specialIds = Object.fromEntries(specials.map((special) => [special, next++]));
  return { ids, merges, specialIds, wordIds, byteId: (character) => character.charCodeAt(0) };
}

const vocabulary = makeVocabulary();
/** Odd, and larger than the tokenizer's vocabulary. */
export const toyVocabularySize = 307;
/** Its logit tells of the KV cache. */
export const toyProbeId = toyVocabularySize - 1;
/** A bias of k on this id, which is beyond the vocabulary, makes the sampler return id k. */
export const toyForcingId = toyVocabularySize;
export const toyEndId = vocabulary.specialIds['<|end|>']!;
/** Of "Hello", " from", … */
export const toyWordIds = vocabulary.wordIds;
export const toyByteId = vocabulary.byteId;

/** Signs, from xorshift32. */
function randomSigns(count: number): Float32Array<ArrayBuffer> {
  let state = 0x2545f491;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0x10000 ? 1 : -1;
  });
}

function makeWeights() {
  const embed = randomSigns(toyVocabularySize * HIDDEN);
  const head = new Float32Array(toyVocabularySize * HIDDEN);
  const bias = new Float32Array(toyVocabularySize).fill(-200);
  const follow = (id: number, next: number) => {
    for (let i = 0; i < HIDDEN; i++) head[next * HIDDEN + i]! += 2 * embed[id * HIDDEN + i]!;
  };
  const chain = [vocabulary.specialIds['<|assistant|>']!, ...vocabulary.wordIds, toyEndId];
  for (const [i, next] of chain.slice(1).entries()) {
    follow(chain[i]!, next);
    bias[next] = 0;
  }
  // Under a JSON grammar: the shortest way to the end.
  for (const [i, character] of [...'{}":7ok'].entries()) bias[vocabulary.byteId(character)] = -20 - i;
  follow(vocabulary.byteId('7'), vocabulary.byteId('}'));
  follow(vocabulary.byteId('}'), toyEndId);
  bias[toyProbeId] = -1000;
  return { embed, head, bias };
}

export const toyWeights = makeWeights();

/** First component of an id's embedding. */
export function toyEmbeddingStart(id: number): number {
  return toyWeights.embed[id * HIDDEN]!;
}

function kernel(
  name: string,
  bindings: readonly [name: string, access: 'read' | 'read_write', type: 'f32' | 'i32'][],
  uniforms: readonly string[],
  body: string,
): KernelSource {
  const declarations = bindings.map(
    ([binding, access, type], i) =>
      `@group(0) @binding(${i}) var<storage, ${access}> ${binding}: array<${type}>;`,
  );
  const wgsl = `${declarations.join('\n')}
struct Uniforms { ${uniforms.map((uniform) => `${uniform}: i32, `).join('')}packGridDimX: u32 }
@group(0) @binding(${bindings.length}) var<uniform> uniforms: Uniforms;
const V = ${toyVocabularySize};
const H = ${HIDDEN};
@compute @workgroup_size(64)
fn ${name}(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
${body}
}
`;
  return { name, wgsl, bindings: bindings.map(([, access]) => access), uniforms };
}

const embed = kernel(
  'toy_embed',
  [
    ['ids', 'read', 'i32'],
    ['table', 'read', 'f32'],
    ['x', 'read_write', 'f32'],
  ],
  [],
  '  x[group.x * H + lane] = table[u32(ids[group.x]) * H + lane];',
);
const appendKv = kernel(
  'toy_append_kv',
  [
    ['x', 'read', 'f32'],
    ['kv', 'read_write', 'f32'],
  ],
  ['position'],
  '  kv[(u32(uniforms.position) + group.x) * H + lane] = x[group.x * H + lane];',
);
const head = kernel(
  'toy_head',
  [
    ['x', 'read', 'f32'],
    ['weights', 'read', 'f32'],
    ['bias', 'read', 'f32'],
    ['kv', 'read', 'f32'],
    ['logits', 'read_write', 'f32'],
  ],
  ['first_row', 'position'],
  `  let v = group.x * 64 + lane;
  if (v >= V) { return; }
  let row = u32(uniforms.first_row) + group.y;
  var sum = bias[v];
  for (var i = 0u; i < H; i++) { sum += weights[v * H + i] * x[row * H + i]; }
  if (v == V - 1) {
    for (var t = 0u; t <= u32(uniforms.position) + row; t++) { sum += kv[t * H] / 100.0; }
  }
  logits[group.y * V + v] = sum;`,
);
const applyBitmask = kernel(
  'toy_apply_bitmask',
  [
    ['logits', 'read_write', 'f32'],
    ['mask', 'read', 'i32'],
  ],
  [],
  `  let v = group.x * 64 + lane;
  if (v >= V) { return; }
  if (((u32(mask[v / 32]) >> (v % 32)) & 1) == 0) { logits[v] = -3.4e38; }`,
);
const applyLogitBias = kernel(
  'toy_apply_logit_bias',
  [
    ['logits', 'read_write', 'f32'],
    ['ids', 'read', 'i32'],
    ['bias', 'read', 'f32'],
    ['extras', 'read_write', 'f32'],
  ],
  ['count'],
  `  if (lane != 0) { return; }
  extras[0] = -1.0;
  for (var i = 0; i < uniforms.count; i++) {
    if (ids[i] < V) { logits[ids[i]] += bias[i]; } else { extras[0] = bias[i]; }
  }`,
);
const applyPenalty = kernel(
  'toy_apply_penalty',
  [
    ['logits', 'read_write', 'f32'],
    ['ids', 'read', 'i32'],
    ['counts', 'read', 'i32'],
    ['penalties', 'read', 'f32'],
  ],
  ['count'],
  `  let i = i32(group.x * 64 + lane);
  if (i >= uniforms.count) { return; }
  let reduced = logits[ids[i]] - penalties[0] - f32(counts[i]) * penalties[1];
  logits[ids[i]] = select(reduced / penalties[2], reduced * penalties[2], reduced < 0.0);`,
);
const softmax = kernel(
  'toy_softmax',
  [
    ['logits', 'read', 'f32'],
    ['probs', 'read_write', 'f32'],
  ],
  [],
  `  if (lane != 0) { return; }
  var largest = logits[0];
  for (var v = 1; v < V; v++) { largest = max(largest, logits[v]); }
  var sum = 0.0;
  for (var v = 0; v < V; v++) { sum += exp(logits[v] - largest); }
  for (var v = 0; v < V; v++) { probs[v] = exp(logits[v] - largest) / sum; }`,
);
const sample = kernel(
  'toy_sample',
  [
    ['logits', 'read', 'f32'],
    ['temperature', 'read', 'f32'],
    ['uniform_draw', 'read', 'f32'],
    ['top_p', 'read', 'f32'],
    ['extras', 'read', 'f32'],
    ['sampled', 'read_write', 'i32'],
  ],
  ['biased'],
  `  if (lane != 0) { return; }
  if (uniforms.biased == 1 && extras[0] >= 0.0) { sampled[0] = i32(extras[0]); return; }
  var best = 0;
  for (var v = 1; v < V; v++) { if (logits[v] > logits[best]) { best = v; } }
  var sum = 0.0;
  for (var v = 0; v < V; v++) { sum += exp((logits[v] - logits[best]) / temperature[0]); }
  var rest = uniform_draw[0] * sum;
  sampled[0] = best;
  for (var v = 0; v < V; v++) {
    rest -= exp((logits[v] - logits[best]) / temperature[0]);
    if (rest < 0.0) { sampled[0] = v; return; }
  }`,
);

/** The toy is never timed. */
export const toyWork: StepWork = { op: 'toy', shape: '', formats: [], bytes: [], flops: null };

const one = constant(1);
const rowsOfVocabulary = constant(Math.ceil(toyVocabularySize / 64));

function forwardSteps(everyRow: boolean): Step[] {
  return [
    {
      kernel: appendKv,
      buffers: [planned('x'), planned('kv')],
      uniforms: [dim('position')],
      grid: [dim('tokens'), one],
      work: toyWork,
    },
    {
      kernel: head,
      buffers: [
        planned('x'),
        weight('lm_head'),
        weight('bias'),
        planned('kv'),
        planned(everyRow ? 'score_logits' : 'logits'),
      ],
      uniforms: [everyRow ? constant(0) : dim('tokens', 1, -1), dim('position')],
      grid: [rowsOfVocabulary, everyRow ? dim('tokens') : one],
      work: toyWork,
    },
  ];
}

export function toySpec(): LibrarySpec {
  const records = ['embed', 'lm_head', 'bias'];
  return {
    metadata: {
      model_type: 'toy',
      quantization: 'q0f32',
      params: records.map((name) => ({ name })),
      prefill_chunk_size: toyPrefillChunkLength,
      kv_state_kind: 'kv_cache',
    },
    hiddenSize: HIDDEN,
    vocabularySize: toyVocabularySize,
    contextLength: toyContextLength,
    prefillChunkLength: toyPrefillChunkLength,
    scoreChunkLength: SCORE_CHUNK,
    records,
    buffers: [
      { name: 'x', byteLength: toyPrefillChunkLength * HIDDEN * 4, use: 'activation' },
      { name: 'kv', byteLength: toyContextLength * HIDDEN * 4, use: 'kv-cache' },
      { name: 'logits', byteLength: toyVocabularySize * 4, use: 'sampling' },
      { name: 'score_logits', byteLength: SCORE_CHUNK * toyVocabularySize * 4, use: 'sampling' },
      { name: 'probs', byteLength: toyVocabularySize * 4, use: 'sampling' },
      // Until a bias kernel writes it, this would force id 65: `biased` must keep the sampler from it.
      {
        name: 'extras',
        byteLength: 16,
        initial: new Uint8Array(new Float32Array([65]).buffer),
        use: 'sampling',
      },
      { name: 'sampled', byteLength: 4, use: 'sampling' },
    ],
    programs: {
      embed: [
        {
          kernel: embed,
          buffers: [argument(0), weight('embed'), planned('x')],
          uniforms: [],
          grid: [dim('tokens'), one],
          work: toyWork,
        },
      ],
      decode: forwardSteps(false),
      prefill: [
        { maxTokens: 4, steps: forwardSteps(false) },
        { maxTokens: toyPrefillChunkLength, steps: forwardSteps(false) },
      ],
      score: [{ maxTokens: SCORE_CHUNK, steps: forwardSteps(true) }],
      applyBitmask: [
        {
          kernel: applyBitmask,
          buffers: [argument(0), argument(2)],
          uniforms: [],
          grid: [rowsOfVocabulary, one],
          work: toyWork,
        },
      ],
      applyLogitBias: [
        {
          kernel: applyLogitBias,
          buffers: [argument(0), argument(2), argument(3), planned('extras')],
          uniforms: [dim('count')],
          grid: [tiles('count', 1 << 20), one],
          work: toyWork,
        },
      ],
      applyPenalty: [
        {
          kernel: applyPenalty,
          buffers: [argument(0), argument(3), argument(4), argument(5)],
          uniforms: [dim('count')],
          grid: [tiles('count', 64), one],
          work: toyWork,
        },
      ],
      softmax: [
        {
          kernel: softmax,
          buffers: [argument(0), planned('probs')],
          uniforms: [],
          grid: [one, one],
          work: toyWork,
        },
      ],
      sample: [
        {
          kernel: sample,
          buffers: [
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            planned('extras'),
            planned('sampled'),
          ],
          uniforms: [dim('biased')],
          grid: [one, one],
          work: toyWork,
        },
      ],
    },
  };
}

/** A model folder's files by name. The bias is stored as bf16, the way some MLC models store f32. */
export function toyModelFiles(): Record<string, Uint8Array<ArrayBuffer>> {
  const { ids, merges, specialIds } = vocabulary;
  const matrices = new Float32Array([...toyWeights.embed, ...toyWeights.head]);
  const biasBits = new Uint32Array(toyWeights.bias.buffer);
  const halvedBias = Uint16Array.from(biasBits, (bits) => bits >>> 16);
  const matrixBytes = toyVocabularySize * HIDDEN * 4;
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  return {
    'params_shard_0.bin': new Uint8Array(matrices.buffer),
    'params_shard_1.bin': new Uint8Array(halvedBias.buffer),
    'tensor-cache.json': json({
      metadata: {},
      records: [
        {
          dataPath: 'params_shard_0.bin',
          format: 'raw-shard',
          nbytes: 2 * matrixBytes,
          records: ['embed', 'lm_head'].map((name, i) => ({
            name,
            shape: [toyVocabularySize, HIDDEN],
            dtype: 'float32',
            format: 'raw',
            nbytes: matrixBytes,
            byteOffset: i * matrixBytes,
          })),
        },
        {
          dataPath: 'params_shard_1.bin',
          format: 'raw-shard',
          nbytes: halvedBias.byteLength,
          records: [
            {
              name: 'bias',
              shape: [toyVocabularySize],
              dtype: 'float32',
              format: 'f32-to-bf16',
              nbytes: halvedBias.byteLength,
              byteOffset: 0,
            },
          ],
        },
      ],
    }),
    'mlc-chat-config.json': json({
      model_type: 'toy',
      vocab_size: toyVocabularySize,
      context_window_size: toyContextLength,
      sliding_window_size: -1,
      attention_sink_size: -1,
      temperature: 0,
      top_p: 1,
      repetition_penalty: 1,
      frequency_penalty: 0,
      presence_penalty: 0,
      tokenizer_files: ['tokenizer.json'],
      tokenizer_info: {
        token_postproc_method: 'byte_level',
        prepend_space_in_encode: false,
        strip_space_in_decode: false,
      },
      conv_template: {
        system_template: '{system_message}',
        system_message: '',
        render_empty_system_message: false,
        roles: { user: '<|user|>', assistant: '<|assistant|>', tool: '<|user|>' },
        role_templates: { user: '{user_message}', assistant: '{assistant_message}', tool: '{tool_message}' },
        seps: ['<|end|>'],
        role_content_sep: '',
        role_empty_sep: '',
        stop_str: [],
        stop_token_ids: [toyEndId],
        add_role_after_system_message: true,
      },
    }),
    'tokenizer.json': json({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: specials.map((content) => ({
        id: specialIds[content],
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: ids,
        merges,
      },
    }),
  };
}
