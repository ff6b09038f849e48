/** Models with a library of their own, which WebLLM runs by their folder's configuration. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createMlcFolder, type MlcConfig, type MlcFolder } from '../../../tests/tools/mlc-folder.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { CONFIG_FILE } from '../../models/model-files.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import type { ImportSource } from '../api.ts';
import { StoreModelManager } from '../model-manager.ts';

const LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 100 << 10 };
const ID = 'tiny-mistral-q4f16_1';

let folder: MlcFolder;
let server: HostileServer;
let source: ImportSource & { kind: 'address' };

beforeAll(async () => {
  folder = createMlcFolder();
  const config: MlcConfig = JSON.parse(new TextDecoder().decode(folder.files.get(CONFIG_FILE)));
  Object.assign(config, { context_window_size: -1, sliding_window_size: 0, temperature: 0.7 });
  const files = new Map<string, Uint8Array>(folder.files);
  files.set(CONFIG_FILE, new TextEncoder().encode(JSON.stringify(config)));
  files.set('library.wasm', new Uint8Array(100));
  server = await startHostileServer(
    new Map([...files].map(([name, bytes]) => [`/tiny-mistral/${name}`, bytes])),
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

test('where nothing was chosen the folder’s own configuration is kept', async () => {
  const { manager, store } = create();
  expect(await manager.inspectSource(source)).toMatchObject({ temperature: 0.7 });
  await manager.importModel(source);
  expect(await storedConfig(store)).toMatchObject({
    ...{ context_window_size: -1, sliding_window_size: 0, temperature: 0.7 },
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
