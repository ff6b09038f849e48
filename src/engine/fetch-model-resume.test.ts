/** What downloads of models promise when they are interrupted, meet each other, or find the store not as it was. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createFolderModel, damageFile, findFault } from '../../tests/tools/folder-model.ts';
import { type HostileServer, startHostileServer } from '../../tests/tools/hostile-server.ts';
import { createTestClock } from '../../tests/tools/test-clock.ts';
import { TramontaneError } from '../base/errors.ts';
import { MemoryWeightStore } from '../storage/weight-store.ts';
import type { Progress } from './api.ts';
import { type FetchModelOptions, fetchModel } from './fetch-model.ts';
import { ModelReader } from './model-reader.ts';
import { listPendingModels } from './stored-models.ts';

const model = await createFolderModel();
/** What is sent of the small files at each load. */
const smallBytes =
  [...model.files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0) - model.shardBytes;

let server: HostileServer;
beforeEach(async () => {
  server = await startHostileServer(model.files, { chunkBytes: 4096 });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await server.close();
});

const fetchTo = (store: MemoryWeightStore, options: Partial<FetchModelOptions> = {}) =>
  fetchModel(
    { id: 'm', url: server.url },
    { store, baseUrl: server.url, clock: createTestClock(), journalBytes: 16_384, ...options },
  );
const shardBytesSent = () => server.sentBytes() - smallBytes;

test('an abort in the middle of shards loses nothing: the next load fetches the rest, to the byte', async () => {
  const store = new MemoryWeightStore();
  const controller = new AbortController();
  const reason = new Error('stop');
  let received = 0;
  const first = fetchTo(store, {
    signal: controller.signal,
    onProgress: ({ bytes }) => {
      received = bytes;
      if (bytes > 150_000) setTimeout(() => controller.abort(reason));
    },
  });
  server.setFaults([{ kind: 'stall', path: model.shards[1]!.path }]);
  await expect(first).rejects.toBe(reason);
  expect(await store.readModel('m')).toBeNull();
  const pending = (await store.readPending('m'))!;
  const kept = pending.doneBytes + (await store.countJournalled('m'));
  expect(kept).toBe(received);
  expect(await listPendingModels(store)).toMatchObject([
    { id: 'm', doneBytes: kept, totalBytes: model.shardBytes, source: { url: server.url } },
  ]);

  server.setFaults([]);
  server.answers.length = 0;
  const progress: Progress[] = [];
  await fetchTo(store, { onProgress: (reading) => progress.push(reading) });
  expect(shardBytesSent()).toBe(model.shardBytes - kept);
  expect(server.answers.some(({ status, offset }) => status === 206 && offset > 0)).toBe(true);
  expect(Math.max(...progress.map(({ bytes }) => bytes))).toBe(model.shardBytes);
  expect(await findFault(store, 'm', model)).toBeNull();
  expect(await store.readPending('m')).toBeNull();
  expect(await store.countJournalled('m')).toBe(0);
});

test('a shard whose file changed on the server meanwhile is begun anew', async () => {
  const store = new MemoryWeightStore();
  const path = model.shards[1]!.path;
  server.setFaults([
    { kind: 'stall', path },
    // The same bytes, of another state as far as anybody can tell.
    { kind: 'changed', path, after: 1 },
  ]);
  await fetchTo(store, { stallMs: 200 });
  const answers = server.answers.filter((answer) => answer.path === path);
  // On a busy machine a later answer may seem to stall too.
  expect(answers.slice(0, 2).map(({ status }) => status)).toEqual([200, 200]);
  expect(await findFault(store, 'm', model)).toBeNull();
});

test.each<[string, boolean | 'weak', boolean]>([
  ['whose ETag is weak', 'weak', false],
  ['without a state', false, false],
  ['whose state is told before the break alone', true, true],
])('a broken shard %s, and without a checksum, is begun anew', async (_, etags, isHidden) => {
  const other = await createFolderModel({ seed: 3, hash: 'none' });
  const own = await startHostileServer(other.files, { etags });
  try {
    const { path } = other.shards[1]!;
    own.setFaults([
      { kind: 'cut', path },
      ...(isHidden ? [{ kind: 'no-state' as const, path, after: 1 }] : []),
    ]);
    const store = new MemoryWeightStore();
    await fetchModel({ id: 'm', url: own.url }, { store, baseUrl: own.url, clock: createTestClock() });
    expect(own.answers.filter((answer) => answer.path === path).at(-1)).toMatchObject({ offset: 0 });
    expect(await findFault(store, 'm', other)).toBeNull();
  } finally {
    await own.close();
  }
});

test('where a server sends whole files only, a broken shard is begun anew', async () => {
  const store = new MemoryWeightStore();
  const path = model.shards[1]!.path;
  server.setFaults([
    { kind: 'cut', path },
    { kind: 'no-range', path, after: 1, times: 9 },
  ]);
  await fetchTo(store);
  expect(await findFault(store, 'm', model)).toBeNull();
  expect(shardBytesSent()).toBeLessThanOrEqual(model.shardBytes + model.shards[1]!.contents.byteLength);
});

test('two loads at once: one downloads, the other waits and finds the model stored', async () => {
  const store = new MemoryWeightStore();
  const both = [fetchTo(store), fetchTo(store)];
  const [first, second] = await Promise.all(both);
  expect(first!.shards).toEqual(second!.shards);
  expect(server.sentBytes() - 2 * smallBytes).toBe(model.shardBytes);
});

test('a load that does not want to wait is told that another one is writing', async () => {
  const store = new MemoryWeightStore();
  server.setFaults([{ kind: 'stall', path: model.shards[0]!.path }]);
  const controller = new AbortController();
  const first = fetchTo(store, { signal: controller.signal });
  await expect.poll(() => server.answers.some(({ fault }) => fault === 'stall')).toBe(true);
  await expect(fetchTo(store, { wait: false })).rejects.toMatchObject({ code: 'model-busy' });
  controller.abort();
  await expect(first).rejects.toThrow();
});

test('a store that is cleared during a download makes no half model: an error, and the next load is whole', async () => {
  /** Loses everything once, when the first shard has been stored. */
  class ClearedStore extends MemoryWeightStore {
    isCleared = false;

    override async writePending(...change: Parameters<MemoryWeightStore['writePending']>): Promise<void> {
      await super.writePending(...change);
      if (this.isCleared || (change[1]?.size ?? 0) === 0) return;
      this.isCleared = true;
      await this.deleteModel('m');
    }
  }
  const store = new ClearedStore();
  await expect(fetchTo(store)).rejects.toMatchObject({ code: 'shard-missing', nextStep: expect.any(String) });
  expect(await store.readModel('m')).toBeNull();
  await fetchTo(store);
  expect(await findFault(store, 'm', model)).toBeNull();
});

test('room is checked before the first byte of a shard', async () => {
  const storage = { estimate: async () => ({ usage: 900, quota: 1000 }) };
  vi.stubGlobal('navigator', { storage });
  const store = new MemoryWeightStore();
  await expect(fetchTo(store)).rejects.toMatchObject({
    code: 'storage-quota',
    data: { needed: model.shardBytes, free: 100 },
  });
  expect(shardBytesSent()).toBe(0);
  vi.unstubAllGlobals();
  await fetchTo(store);
});

test('a shard that is damaged in the store is the only one that is fetched again', async () => {
  const store = new MemoryWeightStore();
  await fetchTo(store);
  const stored = (await store.readModel('m'))!.files[2]!;
  await damageFile(store, 'm', stored.storedName, new Blob(['short']));
  server.answers.length = 0;
  await fetchTo(store);
  expect(shardBytesSent()).toBe(stored.byteLength);
  expect(await findFault(store, 'm', model)).toBeNull();
});

test('a model without an address comes from the store, or not at all', async () => {
  const store = new MemoryWeightStore();
  await fetchTo(store);
  server.answers.length = 0;
  const options = { store, baseUrl: server.url };
  expect((await fetchModel({ id: 'm' }, options)).shards).toHaveLength(model.shards.length);
  expect(server.answers).toEqual([]);
  await expect(fetchModel({ id: 'other' }, options)).rejects.toMatchObject({ code: 'model-unknown' });
  await store.dropFiles('m', [(await store.readModel('m'))!.files[0]!.storedName]);
  await expect(fetchModel({ id: 'm' }, options)).rejects.toMatchObject({ code: 'model-unknown' });
});

test('a load goes on with the small files it began with, whatever another tab stores meanwhile', async () => {
  const store = new MemoryWeightStore();
  const { shards, smallFiles } = await fetchTo(store);
  const reader = new ModelReader(store, 'm', shards, smallFiles);
  const other = await createFolderModel({ seed: 9 });
  const own = await startHostileServer(other.files);
  try {
    await fetchModel({ id: 'm', url: own.url }, { store, baseUrl: own.url });
  } finally {
    await own.close();
  }
  for (const name of ['mlc-chat-config.json', 'tensor-cache.json', 'tokenizer.json']) {
    expect(Buffer.from(await reader.read(name)), name).toEqual(Buffer.from(model.files.get(`/${name}`)!));
  }
});

test.each<[string, string, string]>([
  ['cannot be parsed', 'mlc-chat-config.json', '{"temper'],
  ['lists other shards', 'tensor-cache.json', '{"records":[]}'],
  ['is refused by the check', 'tokenizer.json', '{"model":0}'],
])('a stored small file that %s is looked at, dropped, and fetched alone', async (_, name, text) => {
  const store = new MemoryWeightStore();
  await fetchTo(store);
  await damageFile(store, 'm', name, new Blob([text]));
  const refuse = ({ tokenizer }: { tokenizer: string }) => {
    if (tokenizer !== '{}') throw new TramontaneError('tokenizer-invalid', 'No tokenizer.');
  };
  await expect(fetchModel({ id: 'm' }, { store, baseUrl: server.url, check: refuse })).rejects.toMatchObject({
    code: 'shard-altered',
    data: { files: [name] },
  });
  expect(await store.readModel('m')).toBeNull();
  server.answers.length = 0;
  await fetchTo(store);
  expect(shardBytesSent()).toBe(0);
});

test('what is refused for no fault of the stored files is told as it is', async () => {
  const store = new MemoryWeightStore();
  await fetchTo(store);
  const error = new TramontaneError('config-invalid', 'No.');
  const refuse = () => {
    throw error;
  };
  await expect(fetchModel({ id: 'm' }, { store, baseUrl: server.url, check: refuse })).rejects.toBe(error);
  expect(await store.readModel('m')).not.toBeNull();
});

test.each(['md5', 'none'] as const)(
  'shards whose folder lists %s get a SHA-256 when they are stored',
  async (hash) => {
    const other = await createFolderModel({ seed: 2, hash });
    const own = await startHostileServer(other.files);
    try {
      const store = new MemoryWeightStore();
      const load = () =>
        fetchModel(
          { id: 'm', url: own.url, name: 'Prebuilt' },
          { store, baseUrl: own.url, clock: createTestClock() },
        );
      own.setFaults([{ kind: 'status', path: other.shards[3]!.path, status: 404 }]);
      await expect(load()).rejects.toMatchObject({ code: 'shard-missing' });
      await load();
      const stored = (await store.readModel('m'))!;
      expect(stored.files.map(({ sha256 }) => sha256?.length)).toEqual([64, 64, 64, 64]);
      expect(stored.facts?.name).toBe('Prebuilt');
      expect(await findFault(store, 'm', other)).toBeNull();
      const sent = own.sentBytes();
      await load();
      expect(own.answers.filter(({ path }) => path.includes('shard')).length).toBe(5);
      expect(own.sentBytes() - sent).toBeLessThan(2000);
    } finally {
      await own.close();
    }
  },
);

test('an unchanged model is not written again', async () => {
  const store = new MemoryWeightStore();
  await fetchTo(store);
  const written = await store.readModel('m');
  await fetchTo(store);
  expect(await store.readModel('m')).toEqual(written);
});
