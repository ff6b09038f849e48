/** Models with a library of their own, which WebLLM runs by their folder's configuration. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createMlcFolder, type MlcConfig, type MlcFolder } from '../../../tests/tools/mlc-folder.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { CONFIG_FILE } from '../../models/model-files.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import type { ImportSource } from '../api.ts';
import { StoreModelManager } from '../model-manager.ts';

const ID = 'tiny-mistral-q4f16_1';

let folder: MlcFolder;
let server: HostileServer;
let source: ImportSource & { kind: 'address' };

beforeAll(async () => {
  folder = createMlcFolder();
  const config: MlcConfig = JSON.parse(new TextDecoder().decode(folder.files.get(CONFIG_FILE)));
  // As the folders of models that were trained with a window have it.
  Object.assign(config, { context_window_size: -1, sliding_window_size: 1024, temperature: 0.7 });
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
  return { manager: new StoreModelManager({ store, download: { clock: createTestClock() } }), store };
}

async function storedConfig(store: MemoryWeightStore): Promise<MlcConfig> {
  return JSON.parse(await (await store.readFile(ID, CONFIG_FILE))!.text());
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
    ...{ context_window_size: -1, sliding_window_size: 1024, temperature: 0.7 },
  });
});
