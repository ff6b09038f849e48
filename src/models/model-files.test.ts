import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ensureTinyMistral, TINY_MISTRAL_SHAPE } from '../../tests/tools/tiny-mistral.ts';
import { CONFIG_FILE, parseModelFiles, TENSOR_CACHE_FILE } from './model-files.ts';

// biome-ignore lint/suspicious/noExplicitAny: JSON to be spoiled at any place
type Json = any;

let config: Json;
let cache: Json;

beforeAll(async () => {
  const { folder } = await ensureTinyMistral();
  config = JSON.parse(readFileSync(join(folder, CONFIG_FILE), 'utf8'));
  cache = JSON.parse(readFileSync(join(folder, TENSOR_CACHE_FILE), 'utf8'));
});

test('the files of an imported model describe it whole', () => {
  const { description, shards, chat, origin } = parseModelFiles(config, cache);
  const { architecture, tensors } = description;
  expect(architecture).toMatchObject({
    hiddenSize: TINY_MISTRAL_SHAPE.hiddenSize,
    layerCount: 3,
    headCount: 6,
    kvHeadCount: 2,
    headDim: 32,
    tiedEmbeddings: false,
    maxContextLength: 2048,
    ropeTheta: 1e6,
  });
  expect(architecture.vocabularySize % 2).toBe(1);
  expect(tensors.layers).toHaveLength(3);
  expect(tensors.layers[0]?.query).toMatchObject({ format: 'q4_0', rows: 192, columns: 128 });
  expect(tensors.head.parts.length).toBeGreaterThan(1);
  expect(tensors.head).not.toBe(tensors.embedding);
  const formats = tensors.layers.flatMap((layer) => [layer.query, layer.value, layer.output, layer.down]);
  expect(new Set([...formats, tensors.head, tensors.embedding].map(({ format }) => format))).toEqual(
    new Set(['q4_0', 'q4_1', 'q8_0', 'f16', 'f32']),
  );
  expect(shards.length).toBeGreaterThan(2);
  expect(description.controlTokenIds).toHaveLength(40);
  expect(description.stopTokenIds).toEqual([2]);
  expect(chat).toMatchObject({
    template: { id: 'mistral-v11', defaultSystemPrompt: null },
    contextLength: 2048,
    temperature: 0.15,
  });
  expect(chat.controlTokens[3]).toEqual({ id: 3, surface: '[INST]', privateForm: '\u00013\u0002' });
  expect(origin).toMatchObject({ name: 'Tiny Mistral', sourceName: 'tiny-mistral.gguf' });
});

test('a hash that was computed and one that was only listed are told apart; both may be absent', () => {
  const read = (source: object) => {
    const changed = structuredClone(config);
    changed.tramontane.source = { name: 'm.gguf', ...source };
    const { sha256, listedSha256 } = parseModelFiles(changed, cache).origin;
    return { sha256, listedSha256 };
  };
  expect(read({})).toEqual({ sha256: null, listedSha256: null });
  expect(read({ sha256: 'a' })).toEqual({ sha256: 'a', listedSha256: null });
  expect(read({ sha256_listed: 'b' })).toEqual({ sha256: null, listedSha256: 'b' });
});

test('a tied head is the embedding', () => {
  const tied = structuredClone(config);
  tied.model_config.tie_word_embeddings = true;
  const { tensors } = parseModelFiles(tied, cache).description;
  expect(tensors.head).toBe(tensors.embedding);
});

test('a model of another family is refused by name', () => {
  const other = { ...structuredClone(config), model_type: 'mamba' };
  expect(() => parseModelFiles(other, cache)).toThrow(
    expect.objectContaining({
      code: 'architecture-unsupported',
      message: expect.stringContaining('"mamba"'),
    }),
  );
});

const QUERY = 'model.layers.0.self_attn.q_proj';
const ours = (files: { cache: Json }) => files.cache.metadata.tramontane;

/** What is spoiled, and the field that the error names. */
const CASES: Record<string, [spoil: (files: { config: Json; cache: Json }) => void, field: string]> = {
  'no model_config': [({ config }) => delete config.model_config, 'model_config'],
  'a text for a number': [
    ({ config }) => (config.model_config.hidden_size = '128'),
    'model_config.hidden_size',
  ],
  'a fraction of a layer': [
    ({ config }) => (config.model_config.num_hidden_layers = 2.5),
    'model_config.num_hidden_layers',
  ],
  'more layers than tensors': [
    ({ config }) => (config.model_config.num_hidden_layers = 4),
    'vectors.model.layers.3.input_layernorm',
  ],
  'another hidden size': [
    ({ config }) => (config.model_config.hidden_size = 160),
    'matrices.model.embed_tokens',
  ],
  'columns that are no whole block': [
    ({ config }) => (config.model_config.hidden_size = 130),
    'model_config.hidden_size',
  ],
  'heads that cannot be shared': [
    ({ config }) => (config.model_config.num_key_value_heads = 4),
    'model_config.num_key_value_heads',
  ],
  'an odd head width': [({ config }) => (config.model_config.head_dim = 31), 'model_config.head_dim'],
  'two vocabulary sizes': [({ config }) => (config.vocab_size = 5), 'vocab_size'],
  'a context beyond the model’s': [
    ({ config }) => (config.context_window_size = 4096),
    'context_window_size',
  ],
  'a config of WebLLM’s own': [({ config }) => delete config.tramontane, 'tramontane'],
  'another version': [({ config }) => (config.tramontane.version = 2), 'tramontane.version'],
  'another template': [({ config }) => (config.tramontane.template = 'alpaca'), 'tramontane.template'],
  'a control token beyond the vocabulary': [
    ({ config }) => (config.tramontane.control_tokens[1].id = 100_000),
    'tramontane.control_tokens[1].id',
  ],
  'a stop token below 0': [
    ({ config }) => (config.tramontane.stop_token_ids = [2, -1]),
    'tramontane.stop_token_ids[1]',
  ],
  'a list for an object': [({ config }) => (config.tramontane.source = []), 'tramontane.source'],
  'an inherited name': [({ config }) => (config.tramontane.template = 'constructor'), 'tramontane.template'],
  'a cache without our metadata': [({ cache }) => (cache.metadata = {}), 'metadata.tramontane'],
  'a cache of another version': [(files) => (ours(files).version = 7), 'metadata.tramontane.version'],
  'no shards': [({ cache }) => delete cache.records, 'records'],
  'a shard in another folder': [
    ({ cache }) => (cache.records[0].dataPath = '../secret.bin'),
    'records[0].dataPath',
  ],
  'one shard twice': [
    ({ cache }) => (cache.records[1].dataPath = cache.records[0].dataPath),
    'records[1].dataPath',
  ],
  'a hash that is none': [({ cache }) => (cache.records[2].sha256 = 'abc'), 'records[2].sha256'],
  'a record beyond its shard': [
    ({ cache }) => (cache.records[0].nbytes = 1000),
    'records[0].records[0].byteOffset',
  ],
  'a record of another length': [
    ({ cache }) => (cache.records[0].records[0].nbytes -= 4),
    'records[0].records[0].nbytes',
  ],
  'a record of an unknown type': [
    ({ cache }) => (cache.records[0].records[0].dtype = 'bfloat16'),
    'records[0].records[0].dtype',
  ],
  'a record twice': [
    ({ cache }) => (cache.records[0].records[1].name = cache.records[0].records[0].name),
    'records[0].records[1].name',
  ],
  'an unknown weight format': [
    (files) => (ours(files).matrices[QUERY].format = 'q2_k'),
    `metadata.tramontane.matrices.${QUERY}.format`,
  ],
  'another weight format': [
    (files) => (ours(files).matrices[QUERY].format = 'q8_0'),
    `metadata.tramontane.matrices.${QUERY}.parts[0].quants`,
  ],
  'a part that is missing': [
    (files) => ours(files).matrices['model.embed_tokens'].parts.pop(),
    'metadata.tramontane.matrices.model.embed_tokens.rows',
  ],
  'parts with a gap': [
    (files) => (ours(files).matrices['model.embed_tokens'].parts[1].rowStart += 1),
    'metadata.tramontane.matrices.model.embed_tokens.parts[1].rowStart',
  ],
  'a record that is missing': [
    (files) => (ours(files).matrices[QUERY].parts[0].scales = 'nowhere'),
    `metadata.tramontane.matrices.${QUERY}.parts[0].scales`,
  ],
  'a norm that is missing': [(files) => delete ours(files).vectors['model.norm'], 'vectors.model.norm'],
  'a norm of another length': [
    (files) => (ours(files).vectors['model.norm'].length = 64),
    'metadata.tramontane.vectors.model.norm.record',
  ],
};

describe('spoiled files are refused by field', () => {
  test.each(Object.entries(CASES))('%s', (_, [spoil, field]) => {
    const files = structuredClone({ config, cache });
    spoil(files);
    expect(() => parseModelFiles(files.config, files.cache)).toThrow(
      expect.objectContaining({
        code: 'config-invalid',
        nextStep: expect.any(String),
        data: expect.objectContaining({ field }),
      }),
    );
  });

  test.each([[null], [undefined], ['text'], [[]], [7]])('%j for a file', (value) => {
    const refusal = (file: string) =>
      expect.objectContaining({ code: 'config-invalid', data: expect.objectContaining({ file }) });
    expect(() => parseModelFiles(value, cache)).toThrow(refusal(CONFIG_FILE));
    expect(() => parseModelFiles(config, value)).toThrow(refusal(TENSOR_CACHE_FILE));
  });
});
