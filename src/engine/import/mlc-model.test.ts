/** Folders in MLC's layout: by address, and as their files are chosen. */
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { loadReferenceModel } from '../../../tests/conformance/load-reference.ts';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import {
  createMlcFolder,
  type MlcCache,
  type MlcConfig,
  type MlcFolder,
} from '../../../tests/tools/mlc-folder.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { MISTRAL_V11_JINJA } from '../../../tests/tools/tiny-mistral.ts';
import { MemoryWeightStore, storedName } from '../../storage/weight-store.ts';
import type { ImportSource } from '../api.ts';
import { withStoredLibrary } from '../fetch-model.ts';
import { StoreModelManager } from '../model-manager.ts';
import { LIBRARY_FILE } from '../prebuilt-library.ts';

const LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 256 << 10 };
const ID = 'tiny-mistral-q4f16_1';

let folder: MlcFolder;
/** With the list of tensors under its older name. */
let older: MlcFolder;
let server: HostileServer;

beforeAll(async () => {
  folder = createMlcFolder();
  older = createMlcFolder({ cacheFile: 'ndarray-cache.json' });
  const at = (path: string, { files }: MlcFolder) =>
    [...files].map(([name, bytes]): [string, Uint8Array] => [`${path}${name}`, bytes]);
  server = await startHostileServer(
    new Map([...at('/tiny-mistral/', folder), ...at('/hub/o/tiny-mistral/resolve/main/', older)]),
  );
});
afterAll(() => server.close());

function create(): { manager: StoreModelManager; store: MemoryWeightStore } {
  const store = new MemoryWeightStore();
  const download = { clock: createTestClock(), hub: `${server.url}hub/` };
  return { manager: new StoreModelManager({ store, limits: LIMITS, download }), store };
}

/** As a folder picker hands files over. */
function chosen({ files }: MlcFolder, path = 'tiny-mistral'): ImportSource {
  return {
    kind: 'files',
    files: Array.from(files, ([name, bytes]) => {
      const file = new File([bytes], name, { lastModified: 1_700_000_000_000 });
      Object.defineProperty(file, 'webkitRelativePath', { value: path === '' ? '' : `${path}/${name}` });
      return file;
    }),
  };
}

/** Every weight in the store is what the folder's tensors stand for. */
async function expectStored(store: MemoryWeightStore, id = ID): Promise<void> {
  const model = (await store.readModel(id))!;
  const hashes = new Map(model.files.map(({ name, sha256 }) => [name, sha256]));
  const { weights } = await loadReferenceModel(async (name) => {
    const hash = hashes.get(name);
    const blob = await store.readFile(id, hash === undefined ? name : storedName(name, hash));
    return new Uint8Array(await blob!.arrayBuffer());
  });
  const same = (name: string, found: Float32Array) =>
    expect(
      Buffer.compare(Buffer.from(found.buffer), Buffer.from(folder.weights.get(name)!.buffer)),
      name,
    ).toBe(0);
  same('model.embed_tokens', weights.embedding);
  same('lm_head', weights.head);
  same('model.norm', weights.finalNorm);
  for (const [index, layer] of weights.layers.entries()) {
    const prefix = `model.layers.${index}.`;
    same(`${prefix}input_layernorm`, layer.attentionNorm);
    same(`${prefix}self_attn.q_proj`, layer.query);
    same(`${prefix}self_attn.k_proj`, layer.key);
    same(`${prefix}self_attn.v_proj`, layer.value);
    same(`${prefix}self_attn.o_proj`, layer.output);
    same(`${prefix}post_attention_layernorm`, layer.feedForwardNorm);
    same(`${prefix}mlp.gate_proj`, layer.gate);
    same(`${prefix}mlp.up_proj`, layer.up);
    same(`${prefix}mlp.down_proj`, layer.down);
  }
}

test('chosen as files: previewed and stored, each weight as the folder has it', async () => {
  const { manager, store } = create();
  expect(await manager.inspectSource(chosen(folder))).toMatchObject({
    id: ID,
    layout: 'mlc',
    quantization: 'q4f16_1',
    maxContextLength: 2048,
    layerCount: 3,
    template: 'mistral-v11',
    temperature: 0.15,
    source: { name: 'tiny-mistral', url: null },
    formats: [{ type: 'q4f16_1' }, { type: 'f16' }],
  });
  await manager.importModel(chosen(folder));
  await expectStored(store);
});

test('dropped as a folder, whose files do not tell where they lie: called as the folder is', async () => {
  const { manager, store } = create();
  const { files } = chosen(folder, '') as ImportSource & { kind: 'files' };
  const other = new File(['{}'], 'tokenizer.json');
  const source: ImportSource = {
    kind: 'files',
    files: [...files, other],
    paths: [...files.map(({ name }) => `models/my-mistral/${name}`), 'models/my-mistral/old/tokenizer.json'],
  };
  expect(await manager.importModel(source)).toMatchObject({
    id: 'my-mistral-q4f16_1',
    source: { name: 'my-mistral' },
  });
  await expectStored(store, 'my-mistral-q4f16_1');
});

test('by address, and of a hub under the older names', async () => {
  for (const address of [`${server.url}tiny-mistral/`, 'hf:o/tiny-mistral']) {
    const { manager, store } = create();
    const info = await manager.importModel({ kind: 'address', address });
    expect(info.source.url).toContain('tiny-mistral/');
    await expectStored(store);
  }
});

test('from a host that answers 403 for what it does not have', async () => {
  const bucket = await startHostileServer(
    new Map([...older.files].map(([name, bytes]): [string, Uint8Array] => [`/tiny-mistral/${name}`, bytes])),
  );
  const refuse = (...names: string[]) =>
    bucket.setFaults(
      names.map((name) => ({ kind: 'status', path: `/tiny-mistral/${name}`, status: 403, times: 99 })),
    );
  try {
    const source: ImportSource = { kind: 'address', address: `${bucket.url}tiny-mistral/` };
    refuse('tensor-cache.json');
    expect(await create().manager.inspectSource(source)).toMatchObject({ id: ID });
    refuse('tensor-cache.json', 'ndarray-cache.json');
    await expect(create().manager.inspectSource(source)).rejects.toMatchObject({
      code: 'download-failed',
      data: { status: 403 },
      nextStep: expect.stringContaining('check the address'),
    });
  } finally {
    await bucket.close();
  }
});

test('with a library of its own: weights as they are, the library beside them, and known as such', async () => {
  const { manager, store } = create();
  const source: ImportSource = {
    kind: 'address',
    address: `${server.url}tiny-mistral/`,
    libraryUrl: `${server.url}tiny-mistral/tokenizer_config.json`,
  };
  const preview = await manager.inspectSource(source);
  expect(preview).toMatchObject({ id: ID, layout: 'mlc', template: 'mistral-v11', replaces: null });
  expect(await manager.importModel(source)).toMatchObject({ id: ID, byteLength: preview.storedBytes });
  expect(await store.listFiles(ID)).toContain(LIBRARY_FILE);
  expect(await withStoredLibrary(store, { id: ID })).toEqual({ id: ID, modelLibUrl: LIBRARY_FILE });
  expect((await manager.verifyModel(ID)).damaged).toEqual([]);
  const file = { ...source, address: `${server.url}tiny.gguf` };
  await expect(manager.importModel(file)).rejects.toMatchObject({ code: 'address-invalid' });

  // One of our own imports has none.
  await manager.deleteModel(ID);
  await manager.importModel(chosen(folder));
  expect(await withStoredLibrary(store, { id: ID })).toEqual({ id: ID });
});

test('interrupted, it goes on with the shards that are missing', async () => {
  const { manager, store } = create();
  const controller = new AbortController();
  const source = chosen(folder);
  await expect(
    manager.importModel(source, {
      signal: controller.signal,
      onProgress: ({ bytes, totalBytes }) => bytes > totalBytes * 0.7 && controller.abort(),
    }),
  ).rejects.toMatchObject({ name: 'AbortError' });
  const { resumes } = await manager.inspectSource(source);
  expect(resumes!.doneBytes).toBeGreaterThan(0);
  const seen: number[] = [];
  await manager.importModel(source, { onProgress: ({ bytes }) => seen.push(bytes) });
  expect(seen[0]).toBeGreaterThan(resumes!.doneBytes);
  await expectStored(store);
});

describe('checksums that the folder lists', () => {
  const path = '/tiny-mistral/params_shard_1.bin';
  const source = (): ImportSource => ({ kind: 'address', address: `${server.url}tiny-mistral/` });
  afterEach(() => server.setFaults([]));

  test('by address: a bit that flipped on its way costs a second request', async () => {
    const { manager, store } = create();
    // The first request is for how long the shard is.
    server.setFaults([{ kind: 'flip', path, after: 1 }]);
    await manager.importModel(source());
    await expectStored(store);
  });

  test.each(['SHA-256', 'MD5'])('by address: by their %s, wherever in a shard a bit flips', async (kind) => {
    const files = kind === 'MD5' ? folder.files : withSha256();
    const own = await startHostileServer(
      new Map([...files].map(([name, bytes]): [string, Uint8Array] => [`/m/${name}`, bytes])),
    );
    try {
      const shards = [...files.keys()].filter((name) => name.startsWith('params_shard'));
      const random = createRandom(5);
      for (const at of [0, 0.9999999, random(), random()]) {
        const { manager, store } = create();
        own.setFaults(shards.map((name) => ({ kind: 'flip', path: `/m/${name}`, after: 1, at })));
        own.answers.length = 0;
        const { id } = await manager.importModel({ kind: 'address', address: `${own.url}m/` });
        expect(own.answers.filter(({ fault }) => fault === 'flip')).toHaveLength(shards.length);
        await expectStored(store, id);
      }
    } finally {
      await own.close();
    }
  });

  test('by address: a shard of another build is refused, also where the rest of it came before', async () => {
    const { manager, store } = create();
    server.setFaults([{ kind: 'stall', path, after: 1 }]);
    const controller = new AbortController();
    const importing = manager.importModel(source(), { signal: controller.signal });
    await expect.poll(() => server.answers.some(({ fault }) => fault === 'stall')).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    controller.abort();
    await expect(importing).rejects.toMatchObject({ name: 'AbortError' });
    // Same list, same length, other bytes.
    server.setFaults([{ kind: 'changed', altered: true, path }]);
    await expect(manager.importModel(source())).rejects.toMatchObject({
      code: 'shard-altered',
      data: { file: 'params_shard_1.bin' },
    });
    expect(await store.readModel(ID)).toBeNull();
    server.setFaults([]);
    await manager.importModel(source());
    await expectStored(store);
  });

  test('of chosen files: a damaged shard is refused', async () => {
    const files = new Map(folder.files);
    const damaged = files.get('params_shard_1.bin')!.slice();
    damaged[5000]! ^= 1;
    files.set('params_shard_1.bin', damaged);
    const { manager, store } = create();
    await expect(manager.importModel(chosen({ ...folder, files }))).rejects.toMatchObject({
      code: 'shard-altered',
    });
    expect(await store.readModel(ID)).toBeNull();
  });

  test.each<[string, Partial<{ md5sum: string; sha256: string; nbytes: number }>]>([
    ['md5sum', { md5sum: 'no' }],
    ['sha256', { sha256: 'ABC' }],
    ['nbytes', { nbytes: 2 ** 40 }],
  ])('a list with an impossible %s is refused by name', async (field, change) => {
    const files = changeDescriptions((_, cache) => Object.assign(cache.records[1], change));
    await expect(create().manager.inspectSource(chosen({ ...folder, files }))).rejects.toMatchObject({
      code: 'config-invalid',
      data: { field: `records[1].${field}` },
    });
  });
});

test('a server that is busy in the middle of an import is asked more than a few times', async () => {
  const { manager, store } = create();
  const path = '/tiny-mistral/params_shard_1.bin';
  server.setFaults([{ kind: 'status', status: 503, path, times: 6 }]);
  await manager.importModel({ kind: 'address', address: `${server.url}tiny-mistral/` });
  server.setFaults([]);
  await expectStored(store);
});

function changeDescriptions(change: (config: MlcConfig, cache: MlcCache) => void) {
  const files = new Map(folder.files);
  const [config, cache] = ['mlc-chat-config.json', 'tensor-cache.json'].map((name) =>
    JSON.parse(new TextDecoder().decode(files.get(name))),
  );
  change(config, cache);
  files.set('mlc-chat-config.json', new TextEncoder().encode(JSON.stringify(config)));
  files.set('tensor-cache.json', new TextEncoder().encode(JSON.stringify(cache)));
  return files;
}

/** A folder that lists the newer checksum, and not the older one. */
function withSha256() {
  return changeDescriptions((_, cache) => {
    for (const record of cache.records) {
      const sha256 = createHash('sha256').update(folder.files.get(record.dataPath)!).digest('hex');
      Object.assign(record, { md5sum: undefined, sha256 });
    }
  });
}

/** A folder without the makers' template, where MLC's description alone tells it. */
function withTemplate(convTemplate: unknown) {
  const files = changeDescriptions((config) => {
    config.conv_template = convTemplate;
  });
  files.delete('tokenizer_config.json');
  return files;
}

describe('where the makers give no template', () => {
  test('the one that MLC was told to use is taken', async () => {
    const { manager, store } = create();
    const source = chosen({
      ...folder,
      files: withTemplate({
        name: 'ministral3',
        role_templates: { user: '[INST]{user_message}[/INST]', assistant: '{assistant_message}</s>' },
        roles: { user: '', assistant: '', tool: '' },
        seps: [''],
        role_content_sep: '',
        stop_token_ids: [2],
      }),
    });
    expect(await manager.inspectSource(source)).toMatchObject({ template: 'mistral-v13' });
    await manager.importModel(source);
    await expectStored(store);
  });

  test('a template in a file of its own comes first', async () => {
    const files = withTemplate('ministral3');
    files.set('chat_template.jinja', new TextEncoder().encode(MISTRAL_V11_JINJA));
    expect(await create().manager.inspectSource(chosen({ ...folder, files }))).toMatchObject({
      template: 'mistral-v11',
    });
  });

  test.each<[string, unknown, string]>([
    ['none at all', undefined, 'carries no chat template'],
    ['one of another name, shown', { name: 'alpaca' }, '{"name":"alpaca"}'],
    ['one of a version that the vocabulary is not of', 'mistral_default', 'of a later version'],
  ])('%s is refused', async (_, convTemplate, message) => {
    const { manager, store } = create();
    const source = chosen({ ...folder, files: withTemplate(convTemplate) });
    await expect(manager.importModel(source)).rejects.toMatchObject({
      code: 'template-unsupported',
      message: expect.stringContaining(message),
    });
    expect(await store.listModels()).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each<[string, (config: MlcConfig, cache: MlcCache) => void, string, RegExp]>([
    ['another architecture', (config) => (config.model_type = 'gemma'), 'architecture-unsupported', /gemma/],
    ['another quantisation', (config) => (config.quantization = 'q4f32_1'), 'format-unsupported', /q4f32_1/],
    [
      'RoPE scaling',
      (config) => (config.model_config.rope_scaling = { rope_type: 'llama3', factor: 8 }),
      'architecture-unsupported',
      /RoPE scaling/,
    ],
    [
      'a sliding window',
      (config) => (config.model_config.sliding_window_size = 1024),
      'architecture-unsupported',
      /Sliding-window/,
    ],
    [
      'heads that cannot be shared',
      (config) => (config.model_config.num_key_value_heads = 4),
      'config-invalid',
      /num_key_value_heads/,
    ],
    [
      'no context length',
      (config) => delete config.model_config.context_window_size,
      'config-invalid',
      /context/,
    ],
    [
      'a missing tensor',
      (_, cache) => cache.records[0].records.shift(),
      'format-invalid',
      /lm_head.q_weight/,
    ],
    [
      'a misshapen tensor',
      (_, cache) => {
        const [record] = cache.records[0].records;
        record.shape = [record.shape[0] * 2, record.shape[1] / 2];
      },
      'format-invalid',
      /expected uint32/,
    ],
    [
      'a tensor that nothing explains',
      (_, cache) => (cache.records[0].records[0].name = 'model.vision.q_weight'),
      'format-invalid',
      /lm_head.q_weight/,
    ],
    [
      'a bias',
      (_, cache) =>
        cache.records[0].records.push({
          name: 'model.layers.0.self_attn.qkv_proj.bias',
          shape: [2],
          dtype: 'float16',
          format: 'raw',
          nbytes: 4,
          byteOffset: 0,
        }),
      'architecture-unsupported',
      /qkv_proj.bias/,
    ],
    [
      'a record outside its shard',
      (_, cache) => (cache.records[1].records[0].byteOffset = 1e9),
      'config-invalid',
      /byteOffset/,
    ],
    [
      'a path for a shard',
      (_, cache) => (cache.records[0].dataPath = '../x.bin'),
      'config-invalid',
      /dataPath/,
    ],
  ])('%s, before anything is stored', async (_, change, code, message) => {
    const { manager, store } = create();
    const source = chosen({ ...folder, files: changeDescriptions(change) });
    await expect(manager.importModel(source)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect([await store.listPending(), await store.listModels()]).toEqual([[], []]);
  });

  test.each<[string, string, string]>([
    ['no list of tensors', 'tensor-cache.json', 'config-invalid'],
    ['no tokenizer', 'tokenizer.json', 'config-invalid'],
    ['a shard that is not there', 'params_shard_1.bin', 'shard-missing'],
  ])('%s', async (_, name, code) => {
    const files = new Map(folder.files);
    files.delete(name);
    await expect(create().manager.importModel(chosen({ ...folder, files }))).rejects.toMatchObject({
      code,
      nextStep: expect.any(String),
    });
  });

  test('by address, when no weights were sent', async () => {
    const files = changeDescriptions((config) => {
      config.quantization = 'q3f16_1';
    });
    const refusing = await startHostileServer(
      new Map([...files].map(([name, bytes]): [string, Uint8Array] => [`/m/${name}`, bytes])),
    );
    try {
      const source: ImportSource = { kind: 'address', address: `${refusing.url}m/` };
      await expect(create().manager.importModel(source)).rejects.toMatchObject({
        code: 'format-unsupported',
        message: expect.stringContaining('q3f16_1'),
      });
      expect(refusing.answers.map(({ path }) => path)).toEqual([
        '/m/mlc-chat-config.json',
        '/m/tensor-cache.json',
      ]);
    } finally {
      await refusing.close();
    }
  });

  test('a shard that is shorter than it is listed', async () => {
    const files = new Map(folder.files);
    files.set('params_shard_1.bin', files.get('params_shard_1.bin')!.slice(1));
    await expect(create().manager.importModel(chosen({ ...folder, files }))).rejects.toMatchObject({
      code: 'shard-truncated',
    });
  });

  test('two models at once', async () => {
    const [a, b] = [chosen(folder, 'a'), chosen(folder, 'b')] as { kind: 'files'; files: File[] }[];
    const both: ImportSource = { kind: 'files', files: [...a!.files, ...b!.files] };
    await expect(create().manager.inspectSource(both)).rejects.toMatchObject({ code: 'config-invalid' });
  });
});
