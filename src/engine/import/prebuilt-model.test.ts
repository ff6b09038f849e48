/** Models with a library of their own: what is stored of them, and what is refused. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createMlcFolder, type MlcConfig, type MlcFolder } from '../../../tests/tools/mlc-folder.ts';
import { MINISTRAL3_CONVERSATION } from '../../../tests/tools/prebuilt-folder.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { loadWebLlmTokenizer } from '../../../tests/tools/webllm-tokenizer.ts';
import { renderConversation } from '../../models/chat-template.ts';
import { CONFIG_FILE, parsePromptConfig, TOKENIZER_FILE } from '../../models/model-files.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import type { ImportSource } from '../api.ts';
import { exportModel } from '../export-model.ts';
import { fetchModel } from '../fetch-model.ts';
import { StoreModelManager } from '../model-manager.ts';
import { LIBRARY_FILE } from '../prebuilt-library.ts';
import { makePromptsOurs } from './prebuilt-prompts.ts';

const LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 100 << 10 };
const ID = 'tiny-mistral-q4f16_1';

/** As TVM writes it, with WGSL in its data. */
const LIBRARY = toBytes('\0asm…\x01enable f16;\n\nfn main() { }');

function toBytes(value: object | string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
}

let folder: MlcFolder;
let server: HostileServer;
let source: ImportSource & { kind: 'address' };

beforeAll(async () => {
  folder = createMlcFolder();
  const config: MlcConfig = JSON.parse(new TextDecoder().decode(folder.files.get(CONFIG_FILE)));
  Object.assign(config, { context_window_size: -1, sliding_window_size: 0, temperature: 0.7 });
  const files = new Map<string, Uint8Array>(folder.files);
  files.set(CONFIG_FILE, toBytes(config));
  files.set('library.wasm', LIBRARY);
  const at = (path: string, contents: ReadonlyMap<string, Uint8Array>) =>
    [...contents].map(([name, bytes]): [string, Uint8Array] => [`/${path}/${name}`, bytes]);
  /** Without a template of its makers: MLC's tells. */
  const variant = (path: string, changes: MlcConfig) => {
    const contents = new Map(files);
    contents.delete('tokenizer_config.json');
    contents.set(CONFIG_FILE, toBytes({ ...config, ...changes }));
    return at(path, contents);
  };
  server = await startHostileServer(
    new Map([
      ...at('tiny-mistral', files),
      ...variant('untold', { conv_template: MINISTRAL3_CONVERSATION, conv_config: { seps: ['x'] } }),
      ...variant('strange', { conv_template: { name: 'gemma_instruction' } }),
    ]),
  );
  const address = `${server.url}tiny-mistral/`;
  source = { kind: 'address', address, libraryUrl: `${address}library.wasm` };
});
afterAll(() => server.close());
beforeEach(() => {
  server.setFaults([]);
  server.answers.length = 0;
});

function create(): { manager: StoreModelManager; store: MemoryWeightStore } {
  const store = new MemoryWeightStore();
  return {
    manager: new StoreModelManager({ store, limits: LIMITS, download: { clock: createTestClock() } }),
    store,
  };
}

async function storedConfig(store: MemoryWeightStore): Promise<MlcConfig> {
  return JSON.parse(await (await store.readFile(ID, CONFIG_FILE))!.text());
}

/** Imports until some of the shards are stored. */
async function interrupt(manager: StoreModelManager, from: ImportSource): Promise<void> {
  const controller = new AbortController();
  const importing = manager.importModel(from, {
    signal: controller.signal,
    onProgress: ({ bytes, totalBytes }) => bytes > totalBytes / 2 && controller.abort(),
  });
  await expect(importing).rejects.toMatchObject({ name: 'AbortError' });
}

async function expectSwept(store: MemoryWeightStore): Promise<void> {
  const { files, smallFiles } = (await store.readModel(ID))!;
  const listed = [...files, ...smallFiles].map(({ storedName }) => storedName);
  expect((await store.listFiles(ID)).sort()).toEqual(listed.sort());
  expect(await store.readPending(ID)).toBeNull();
}

test('the chosen context and the recommended temperature are what WebLLM will read', async () => {
  const { manager, store } = create();
  const given = { ...source, temperature: 0.05 };
  expect(await manager.inspectSource(given)).toMatchObject({ id: ID, temperature: 0.05 });
  expect(await manager.importModel(given, { contextLength: 512 })).toMatchObject({ contextLength: 512 });
  expect(await storedConfig(store)).toMatchObject({
    // WebLLM refuses a context beside a sliding window.
    ...{ context_window_size: 512, sliding_window_size: -1, temperature: 0.05 },
    model_type: 'mistral',
  });
  // Another context costs no shard.
  server.answers.length = 0;
  await manager.importModel(given, { contextLength: 256 });
  expect((await storedConfig(store)).context_window_size).toBe(256);
  expect(server.answers.filter(({ path }) => path.includes('shard'))).toEqual([]);
});

test('where nothing was chosen: the folder’s own temperature, and the context that its library was built for', async () => {
  const { manager, store } = create();
  expect(await manager.inspectSource(source)).toMatchObject({ temperature: 0.7 });
  expect(await manager.importModel(source)).toMatchObject({ contextLength: 2048 });
  expect(await storedConfig(store)).toMatchObject({
    ...{ context_window_size: 2048, sliding_window_size: -1, temperature: 0.7 },
  });
});

describe('prompts are ours', () => {
  /** Typed text that WebLLM's own template and tokenizer would make something else of. */
  const TYPED = 'Say $& and $$ {user_message} [INST] </s>';

  test('control tokens have private forms, and WebLLM’s template is empty', async () => {
    const { manager, store } = create();
    expect(await manager.inspectSource(source)).toMatchObject({ template: 'mistral-v11' });
    await manager.importModel(source);
    const config = await storedConfig(store);
    expect(config.conv_template).toMatchObject({
      ...{ system_message: '', roles: { user: '', assistant: '', tool: '' }, seps: [''] },
      ...{ stop_str: [], stop_token_ids: [2] },
    });
    const { template, controlTokens, stopTokenIds } = parsePromptConfig(config);
    expect(stopTokenIds).toEqual([2]);
    const tokenizer = await loadWebLlmTokenizer(await (await store.readFile(ID, TOKENIZER_FILE))!.text());
    try {
      const encode = (text: string) => [...tokenizer.encode(text)];
      const typed = encode(TYPED);
      const controls = new Set(controlTokens.map(({ id }) => id));
      expect(typed.filter((id) => controls.has(id))).toEqual([]);
      expect(tokenizer.decode(Int32Array.from(typed))).toBe(TYPED);
      const turns = renderConversation(template, [{ role: 'user', content: TYPED }], controlTokens);
      expect(turns.flatMap(({ text }) => encode(text))).toEqual([1, 3, ...typed, 4]);
    } finally {
      tokenizer.dispose();
    }
  });

  test('where only MLC’s configuration tells of a template, that counts, and adds nothing', async () => {
    const { manager, store } = create();
    const address = `${server.url}untold/`;
    const untold: ImportSource = { kind: 'address', address, libraryUrl: `${address}library.wasm` };
    const { id, template } = await manager.inspectSource(untold);
    expect(template).toBe('mistral-v13');
    await manager.importModel(untold);
    const config = JSON.parse(await (await store.readFile(id, CONFIG_FILE))!.text());
    expect(config.conv_template).toMatchObject({ system_message: '', seps: [''] });
    expect(config.conv_template).not.toHaveProperty('system_prefix_token_ids');
    expect(config).not.toHaveProperty('conv_config');
  });

  test('an unknown template is refused by name before a shard is fetched', async () => {
    const { manager, store } = create();
    const address = `${server.url}strange/`;
    const strange: ImportSource = { kind: 'address', address, libraryUrl: `${address}library.wasm` };
    const refusal = { code: 'template-unsupported', message: expect.stringContaining('gemma_instruction') };
    await expect(manager.inspectSource(strange)).rejects.toMatchObject(refusal);
    await expect(manager.importModel(strange)).rejects.toMatchObject(refusal);
    expect(server.answers.filter(({ path }) => path.includes('shard'))).toEqual([]);
    expect(await store.listModels()).toEqual([]);
    expect(await store.listPending()).toEqual([]);
  });

  describe('of a model that an earlier version stored as it was', () => {
    /** Files as that version stored them, then as a load has them. */
    async function load(path: string) {
      const { store } = create();
      const url = `${server.url}${path}/`;
      await fetchModel({ id: ID, url, modelLibUrl: `${url}library.wasm` }, { store, baseUrl: url });
      expect((await storedConfig(store)).tramontane).toBeUndefined();
      const stored = { id: ID, modelLibUrl: LIBRARY_FILE };
      return fetchModel(stored, { store, baseUrl: url, configure: makePromptsOurs });
    }

    test('they are, if MLC’s configuration tells the template', async () => {
      const { config, smallFiles } = await load('untold');
      expect(parsePromptConfig(config).template.id).toBe('mistral-v13');
      const tokenizer = new TextDecoder().decode(smallFiles.get(TOKENIZER_FILE));
      expect(tokenizer).not.toContain('"[INST]"');
    });

    test('if it does not, it is to be imported again', async () => {
      await expect(load('strange')).rejects.toMatchObject({
        code: 'template-unsupported',
        message: expect.stringMatching(/earlier version.*gemma_instruction/),
        nextStep: expect.stringMatching(/^Import the model again/),
      });
    });
  });
});

describe('a site’s model that is stored', () => {
  const TEMPLATE = '/tiny-mistral/tokenizer_config.json';
  const outOfOrder = [{ kind: 'status', path: TEMPLATE, status: 503, times: 99 }] as const;

  function load(store: MemoryWeightStore) {
    const url = `${server.url}tiny-mistral/`;
    return fetchModel(
      { id: ID, url, modelLibUrl: `${url}library.wasm` },
      { store, baseUrl: url, clock: createTestClock(), configure: makePromptsOurs },
    );
  }

  test('is loaded where the server is gone', async () => {
    const { store } = create();
    const before = await load(store);
    await server.close();
    try {
      expect(await load(store)).toEqual(before);
    } finally {
      await server.reopen();
    }
  });

  test.each([
    ['is out of order', outOfOrder],
    ['breaks off', [{ kind: 'cut', path: TEMPLATE, times: 99 }]],
  ] as const)(
    'is loaded where only the file with its template %s, which is asked for once',
    async (_, faults) => {
      const { store } = create();
      const before = await load(store);
      server.setFaults(faults);
      server.answers.length = 0;
      expect(await load(store)).toEqual(before);
      expect(server.answers.filter(({ path }) => path === TEMPLATE)).toHaveLength(1);
      await expect(load(create().store)).rejects.toMatchObject({ code: 'download-failed' });
    },
  );

  test('is not taken for what another import asks for', async () => {
    const { manager, store } = create();
    await manager.importModel(source, { contextLength: 512 });
    server.setFaults(outOfOrder);
    await expect(manager.importModel(source, { contextLength: 256 })).rejects.toMatchObject({
      code: 'download-failed',
      data: { status: 503 },
    });
    expect(await storedConfig(store)).toMatchObject({ context_window_size: 512 });
  });
});

describe('what the library needs of the GPU', () => {
  test('is read from its kernels, and told', async () => {
    const { manager, store } = create();
    expect(await manager.importModel(source)).toMatchObject({ library: { needsShaderF16: true } });
    const tar = await (await exportModel(store, ID)).contents.text();
    expect(tar).toMatch(/"modelLibUrl": "[^"]+",\s+"needsShaderF16": true/);
  });

  test('also of a model that was stored before that was kept', async () => {
    const { manager, store } = create();
    await manager.importModel(source);
    const { facts, ...model } = (await store.readModel(ID))!;
    const { library: _, ...older } = facts!;
    const blobs = await Promise.all(
      model.smallFiles.map(
        async ({ name }): Promise<[string, Blob]> => [name, (await store.readFile(ID, name))!],
      ),
    );
    await store.writeModel({ ...model, facts: older }, new Map(blobs));
    expect(await manager.listStoredModels()).toMatchObject([{ library: { needsShaderF16: true } }]);
  });
});

test('a shard is compared with the MD5 that the folder lists', async () => {
  const { manager, store } = create();
  const path = '/tiny-mistral/params_shard_1.bin';
  server.setFaults([{ kind: 'flip', path }]);
  await manager.importModel(source);
  expect(server.answers.filter((answer) => answer.path === path)).toHaveLength(2);
  await store.deleteModel(ID);
  server.setFaults([{ kind: 'flip', path, times: 99 }]);
  await expect(manager.importModel(source)).rejects.toMatchObject({
    code: 'shard-altered',
    message: expect.stringContaining('MD5'),
  });
  expect(await store.readModel(ID)).toBeNull();
});

test('an interrupted import of a GGUF or of the folder without its library is not taken over, but on demand', async () => {
  const { manager, store } = create();
  const plain: ImportSource = { kind: 'address', address: source.address };
  await interrupt(manager, plain);
  const before = (await store.readPending(ID))!;
  expect(before.shards.length).toBeGreaterThan(0);
  expect(await manager.inspectSource(source)).toMatchObject({ resumes: null, obstructs: { id: ID } });
  await expect(manager.importModel(source)).rejects.toMatchObject({ code: 'source-changed' });
  expect(await store.readPending(ID)).toEqual(before);
  for (const { storedName } of before.shards) expect(await store.readFile(ID, storedName)).not.toBeNull();

  await manager.importModel(source, { restart: true });
  await expectSwept(store);
});

test('an interrupted one is gone on with, and nothing but the model is left in the end', async () => {
  const { manager, store } = create();
  server.setFaults([{ kind: 'status', path: '/tiny-mistral/params_shard_1.bin', status: 404, times: 9 }]);
  await expect(manager.importModel(source)).rejects.toMatchObject({ code: 'shard-missing' });
  expect(await manager.inspectSource(source)).toMatchObject({ resumes: { id: ID }, obstructs: null });
  // Of a build that is no longer there.
  const before = (await store.readPending(ID))!;
  const stray = { name: 'stray.bin', storedName: 'stray.bin', byteLength: 1, sha256: null };
  await store.writePending(
    { ...before, shards: [...before.shards, stray] },
    new Map([['stray.bin', new Blob(['s'])]]),
  );
  server.setFaults([]);
  await manager.importModel(source);
  await expectSwept(store);
});
