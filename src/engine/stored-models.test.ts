import { expect, test } from 'vitest';
import { MemoryWeightStore, type PendingModel } from '../storage/weight-store.ts';
import { listPendingModels, listStoredModels, readModelFacts } from './stored-models.ts';

const ours = {
  quantization: 'Q4_1',
  context_window_size: 8192,
  model_config: {
    num_hidden_layers: 40,
    num_key_value_heads: 8,
    head_dim: 128,
    max_position_embeddings: 131_072,
  },
  tramontane: {
    name: 'Mistral Small',
    quantization: 'Q4_K_M',
    parameter_count: 24e9,
    source: { name: 'm.gguf', licence: 'Apache-2.0' },
  },
};

test('a model of ours tells everything', () => {
  expect(readModelFacts(ours, { id: 'm', name: 'Another', parameterCount: 1 })).toEqual({
    name: 'Mistral Small',
    quantization: 'Q4_K_M',
    parameterCount: 24e9,
    contextLength: 8192,
    maxContextLength: 131_072,
    kvBytesPerToken: 160 * 1024,
    layerCount: 40,
    licence: 'Apache-2.0',
  });
});

test('a prebuilt WebLLM model is described by its card, and nothing is made up', () => {
  const config = { quantization: 'q4f16_1', context_window_size: 4096, model_config: { head_dim: 128 } };
  expect(readModelFacts(config, { id: 'm', name: 'Ministral', parameterCount: 3e9 })).toEqual({
    name: 'Ministral',
    quantization: 'q4f16_1',
    parameterCount: 3e9,
    contextLength: 4096,
    maxContextLength: null,
    kvBytesPerToken: null,
    layerCount: null,
    licence: null,
  });
  // Its cache has the type that its quantisation names: only of f16 is it known what a token takes.
  const model = { num_hidden_layers: 32, num_key_value_heads: 8, head_dim: 128 };
  const bytesOf = (quantization: string) => {
    const prompts = { tramontane: { version: 1, layout: 'mlc' } };
    return readModelFacts({ quantization, model_config: model, ...prompts }, { id: 'm' }).kvBytesPerToken;
  };
  expect(bytesOf('q4f16_1')).toBe(131_072);
  expect(bytesOf('q4f32_1')).toBeNull();
  expect(readModelFacts('no configuration at all', { id: 'm' })).toMatchObject({
    name: 'm',
    contextLength: null,
  });
});

test.each([
  ['from its configuration', JSON.stringify(ours), 'Mistral Small', 8192],
  ['by its id where that is damaged', '{', 'm', null],
])('a stored model without facts is described %s', async (_how, config, name, contextLength) => {
  const store = new MemoryWeightStore();
  await store.writeModel(
    { id: 'm', source: { kind: 'site', name: 'folder', url: null }, identity: null, facts: null, files: [] },
    new Map([['mlc-chat-config.json', new Blob([config])]]),
  );
  expect(await listStoredModels(store)).toMatchObject([
    { id: 'm', name, contextLength, byteLength: 0, source: { name: 'folder', url: null } },
  ]);
});

test('what is in the journal counts as done', async () => {
  const store = new MemoryWeightStore();
  const pending: PendingModel = {
    version: 1,
    id: 'm',
    name: 'M',
    source: { kind: 'import', name: 'm.gguf', url: 'https://models.invalid/m.gguf' },
    identity: 'x',
    shards: [],
    doneBytes: 50,
    totalBytes: 100,
    startedAt: 1,
    updatedAt: 2,
  };
  await store.writePending(pending);
  await store.openJournal('m', 'address', 'etag').write(60, new Uint8Array(20));
  expect(await listPendingModels(store)).toEqual([
    {
      id: 'm',
      name: 'M',
      source: { kind: 'import', name: 'm.gguf', url: 'https://models.invalid/m.gguf' },
      doneBytes: 70,
      totalBytes: 100,
      updatedAt: 2,
    },
  ]);
});
