/** The same in a browser, into IndexedDB, from another origin; and into an IndexedDB that is full. */
import { afterEach, expect, inject, test, vi } from 'vitest';
import { commands } from 'vitest/browser';
import { StoreModelManager } from '../../src/engine/model-manager.ts';
import { IndexedDbWeightStore } from '../../src/storage/weight-store.ts';
import { findFault, storeFolderModel } from '../tools/folder-model.ts';
import { commandServer } from './command-server.ts';
import { runSeeds, seedsUpTo } from './judge-runs.ts';
import {
  beyondHead,
  expectShards,
  GGUF_PATHS,
  IMPORT_LIMITS,
  IMPORTED_ID,
  readMissing,
  requireShards,
  runSeededImport,
} from './seeded-import.ts';

// The short slice goes on where Node's ends.
const SEEDS = inject('isFull') ? [...seedsUpTo(200)] : [7, 8, 9, 10, 11, 12];

test(`${SEEDS.length} imports from a server that fails: right to the byte or a typed error, and nothing is lost`, {
  timeout: 1_800_000,
}, async () => {
  const runs = await runSeeds(SEEDS, (seed) =>
    runSeededImport(
      seed,
      async (options) => commandServer(await commands.startHostileGgufs(options)),
      new IndexedDbWeightStore(`hostile-${crypto.randomUUID()}`),
      true,
    ),
  );
  expect(runs.outcomes.size).toBeGreaterThanOrEqual(2);
});

/** Of the Storage Buckets API, which Chrome has: an IndexedDB with a quota of its own, that nothing else has touched. */
interface StorageBuckets {
  open(name: string, options: { quota: number }): Promise<StorageBucket>;
  delete(name: string): Promise<void>;
}
interface StorageBucket {
  indexedDB: IDBFactory;
  estimate(): Promise<{ usage: number }>;
}

afterEach(() => vi.unstubAllGlobals());

test('a disk that fills up in the middle of an import: what was stored is whole, and once there is room only the rest is fetched', async () => {
  const { storageBuckets } = navigator as unknown as { storageBuckets: StorageBuckets };
  const name = `full-${crypto.randomUUID()}`;
  const [fillerBytes, quota] = [1_300_000, 2_800_000];
  const bucket = await storageBuckets.open(name, { quota });
  vi.stubGlobal('indexedDB', bucket.indexedDB);
  const server = commandServer(await commands.startHostileGgufs({}));
  const source = { kind: 'address', address: new URL(GGUF_PATHS.model, server.url).href } as const;
  try {
    const store = new IndexedDbWeightStore();
    const manager = new StoreModelManager({ store, limits: IMPORT_LIMITS });
    const other = await storeFolderModel(store, 'other');
    await storeFolderModel(store, 'filler', [fillerBytes]);

    await expect(manager.importModel(source)).rejects.toMatchObject({
      code: 'storage-quota',
      nextStep: expect.any(String),
    });
    expect(await findFault(store, 'other', other)).toBeNull();
    expect(await store.readModel(IMPORTED_ID)).toBeNull();
    expect((await store.readPending(IMPORTED_ID))?.shards.length).toBeGreaterThan(0);

    const { usage } = await bucket.estimate();
    await store.deleteModel('filler');
    // Chrome deletes files of blobs a few seconds after their records.
    await expect.poll(async () => usage - (await bucket.estimate()).usage).toBeGreaterThan(0.9 * fillerBytes);
    const { missing, keptBytes } = await readMissing(store, source);
    expect(keptBytes).toBeGreaterThan(0);
    const from = (await server.readAnswers()).length;
    await manager.importModel(source);
    const sent = (await server.readAnswers()).slice(from).reduce((sum, each) => sum + beyondHead(each), 0);
    expect(sent).toBe(missing);
    const [model] = await expectShards(server);
    await requireShards(store, model!, 0);
    expect(await findFault(store, 'other', other)).toBeNull();
  } finally {
    await server.close();
    await storageBuckets.delete(name);
  }
});
