/** One contract, both stores: the real IndexedDB, and the one in memory. */
import { describe, expect, test } from 'vitest';
import { sha256Hex } from '../base/sha256.ts';
import { IndexedDbValues } from './key-value.ts';
import {
  IndexedDbWeightStore,
  MemoryWeightStore,
  type NewModel,
  type PendingModel,
  type StoredFile,
  storedName,
  type WeightStore,
} from './weight-store.ts';

const stores: { name: string; create: () => WeightStore }[] = [
  { name: 'IndexedDB', create: () => new IndexedDbWeightStore(`weights-${crypto.randomUUID()}`) },
  { name: 'memory', create: () => new MemoryWeightStore() },
];

const hash = (digit: string) => digit.repeat(64);
const file = (name: string, byteLength: number, sha256 = hash('a')): StoredFile => ({
  name,
  storedName: storedName(name, sha256),
  byteLength,
  sha256,
});
const a = file('a.bin', 3);
const b = file('b.bin', 2);
const smallFiles = new Map([['config.json', new Blob(['{}'])]]);

const newModel = (id: string, files: readonly StoredFile[] = [a, b]): NewModel => ({
  id,
  source: { kind: 'site', name: 'm', url: 'https://models.invalid/m/' },
  identity: null,
  facts: null,
  files,
});

const pending = (id: string, shards: readonly StoredFile[] = []): PendingModel => ({
  version: 1,
  id,
  name: 'M',
  source: { kind: 'import', name: 'm.gguf', url: null },
  identity: 'this plan',
  shards,
  doneBytes: 1,
  totalBytes: 2,
  startedAt: 1,
  updatedAt: 2,
});

const writeShards = (store: WeightStore, id: string, files: readonly StoredFile[] = [a, b]) =>
  store.writePending(
    pending(id, files),
    new Map(files.map((shard) => [shard.storedName, new Blob(['x'.repeat(shard.byteLength)])])),
  );

async function writeModel(store: WeightStore, id: string): Promise<void> {
  await writeShards(store, id);
  await store.writeModel(newModel(id), smallFiles);
}

describe.each(stores)('$name', ({ create }) => {
  test('absence is null or empty', async () => {
    const store = create();
    expect(await store.readFile('m', 'a.bin')).toBeNull();
    expect(await store.readModel('m')).toBeNull();
    expect(await store.readPending('m')).toBeNull();
    expect(await store.listModels()).toEqual([]);
    expect(await store.listPending()).toEqual([]);
    expect(await store.openJournal('m', 's', '1').list()).toEqual([]);
    await store.deleteModel('m');
    await store.deletePending('m');
    await store.sweep('m');
    await store.dropFiles('m', ['a.bin']);
  });

  test('a model is there once its manifest is written, with checksums of its small files', async () => {
    const store = create();
    await writeShards(store, 'm');
    expect(await store.listModels()).toEqual([]);
    expect(await store.listPending()).toEqual([pending('m', [a, b])]);

    const written = await store.writeModel(newModel('m'), smallFiles);
    expect(await store.listModels()).toEqual([written]);
    expect(written).toMatchObject({ version: 2, byteLength: 5, files: [a, b] });
    expect(written.smallFiles).toEqual([
      {
        name: 'config.json',
        storedName: 'config.json',
        byteLength: 2,
        sha256: await sha256Hex(new TextEncoder().encode('{}')),
      },
    ]);
    expect(await store.readPending('m')).toBeNull();
    expect(await (await store.readFile('m', a.storedName))?.text()).toBe('xxx');
    expect(await (await store.readFile('m', 'config.json'))?.text()).toBe('{}');
    expect(await store.readFile('other', a.storedName)).toBeNull();
    expect((await store.listFiles('m')).sort()).toEqual([a.storedName, b.storedName, 'config.json']);
  });

  test('a manifest is refused where one of its shards has gone, and the pending state stays', async () => {
    const store = create();
    await writeShards(store, 'm', [a]);
    await expect(store.writeModel(newModel('m'), smallFiles)).rejects.toMatchObject({
      code: 'shard-missing',
      data: { missing: [b.storedName] },
    });
    expect(await store.readModel('m')).toBeNull();
    expect(await store.readFile('m', 'config.json')).toBeNull();
    expect(await store.readPending('m')).toEqual(pending('m', [a]));
  });

  test('deleting takes a model and nothing else', async () => {
    const store = create();
    // Neighbours in the order of keys.
    for (const id of ['m', 'm2', 'l', 'm/a']) await writeModel(store, id);
    await store.openJournal('m', 's', '1').write(0, new Uint8Array(4));
    await store.deleteModel('m');
    expect(await store.readModel('m')).toBeNull();
    expect(await store.listFiles('m')).toEqual([]);
    expect(await store.openJournal('m', 's', '1').list()).toEqual([]);
    expect((await store.listModels()).map(({ id }) => id).sort()).toEqual(['l', 'm/a', 'm2']);
    expect(await store.listFiles('m2')).toHaveLength(3);
  });

  test('a new build is written beside the old one, which goes when it is swept', async () => {
    const store = create();
    await writeModel(store, 'm');
    const changed = file('b.bin', 7, hash('c'));
    await writeShards(store, 'm', [changed]);
    expect((await store.readModel('m'))?.files).toEqual([a, b]);
    await store.sweep('m');
    expect(await store.listFiles('m')).toHaveLength(4);

    await store.writeModel(newModel('m', [a, changed]), smallFiles);
    expect(await store.readFile('m', b.storedName)).not.toBeNull();
    await store.sweep('m');
    expect((await store.listFiles('m')).sort()).toEqual(
      [a.storedName, changed.storedName, 'config.json'].sort(),
    );
  });

  test('forgetting an import that has not ended leaves a whole model alone', async () => {
    const store = create();
    await writeModel(store, 'm');
    const changed = file('b.bin', 7, hash('c'));
    await writeShards(store, 'm', [a, changed]);
    await store.openJournal('m', 's', '1').write(8, new Uint8Array(4));
    await store.deletePending('m');
    expect((await store.listFiles('m')).sort()).toEqual([a.storedName, b.storedName, 'config.json']);
    expect(await store.readPending('m')).toBeNull();
    expect(await store.countJournalled('m')).toBe(0);
  });

  test('a file that is dropped makes the model pending, with all its other files', async () => {
    const store = create();
    await writeModel(store, 'm');
    await store.dropFiles('m', [b.storedName]);
    expect(await store.readModel('m')).toBeNull();
    expect(await store.readFile('m', b.storedName)).toBeNull();
    expect(await store.readPending('m')).toMatchObject({ shards: [a], doneBytes: 3, totalBytes: 5 });
    await store.sweep('m');
    expect(await store.readFile('m', a.storedName)).not.toBeNull();
  });

  test('nothing is dropped where the state of another build would be lost; of the same build nothing is', async () => {
    const store = create();
    await writeModel(store, 'm');
    const other = { ...pending('m', []), identity: 'another' };
    await store.writePending(other);
    expect(await store.dropFiles('m', [b.storedName])).toBe(false);
    expect(await store.readPending('m')).toEqual(other);
    expect(await store.readModel('m')).not.toBeNull();
    const c = { ...a, name: 'c.bin', storedName: 'c.bin' };
    await store.writePending(
      { ...pending('m', [c]), identity: null },
      new Map([['c.bin', new Blob(['ccc'])]]),
    );
    expect(await store.dropFiles('m', [b.storedName])).toBe(true);
    expect(await store.readPending('m')).toMatchObject({ shards: [a, c], doneBytes: 3 });
  });

  test('a journal keeps pieces in order, apart by source, until the model is whole', async () => {
    const store = create();
    const journal = store.openJournal('m', 'address', 'etag');
    await journal.write(100, new Uint8Array([3, 4]));
    await journal.write(9, new Uint8Array([1, 2, 3]));
    await store.openJournal('m', 'address', 'another').write(9, new Uint8Array([9]));
    const [first, second] = await journal.list();
    expect([first, second]).toEqual([
      { offset: 9, byteLength: 3 },
      { offset: 100, byteLength: 2 },
    ]);
    expect(await journal.read(first!)).toEqual(new Uint8Array([1, 2, 3]));
    expect(await store.countJournalled('m')).toBe(6);
    expect(await store.listJournals('m', 'address')).toEqual(['another', 'etag']);
    expect(await store.listJournals('m', 'addres')).toEqual([]);
    expect(await store.listFiles('m')).toEqual([]);
    await journal.delete([first!]);
    expect(await journal.read(first!)).toBeNull();
    expect(await journal.list()).toEqual([second]);
    await store.openJournal('m', a.storedName, '').write(0, new Uint8Array(1));
    await writeShards(store, 'm', [a]);
    expect(await store.countJournalled('m')).toBe(3);
    await writeModel(store, 'm');
    expect(await store.countJournalled('m')).toBe(0);
  });
});

/** A database as another version of this page left it. */
async function openWith(entries: [string, unknown][]): Promise<WeightStore> {
  const name = `weights-${crypto.randomUUID()}`;
  await new IndexedDbValues(name, 'files').change({
    put: entries.map(([key, value]) => [['m', key], value]),
  });
  return new IndexedDbWeightStore(name);
}

test('what version 1 stored is whole for version 2, under the same names', async () => {
  const md5 = '0123456789abcdef0123456789abcdef';
  const store = await openWith([
    [`a.bin.${hash('a').slice(0, 16)}`, new Blob(['aaa'])],
    ['b.bin.0123456789abcdef', new Blob(['bb'])],
    ['c.bin', new Blob(['c'])],
    ['mlc-chat-config.json', new Blob(['{}'])],
    [
      'tramontane-manifest',
      {
        version: 1,
        id: 'm',
        url: 'https://models.invalid/a%20b/',
        files: [
          { name: 'a.bin', byteLength: 3, sha256: hash('a'), md5: null },
          { name: 'b.bin', byteLength: 2, sha256: null, md5 },
          { name: 'c.bin', byteLength: 1, sha256: null, md5: null },
        ],
        storedAt: 7,
      },
    ],
  ]);
  const model = await store.readModel('m');
  expect(model).toMatchObject({
    version: 2,
    id: 'm',
    source: { kind: 'site', name: 'a b', url: 'https://models.invalid/a%20b/' },
    byteLength: 6,
    storedAt: 7,
  });
  for (const { storedName: name, byteLength } of model?.files ?? []) {
    expect((await store.readFile('m', name))?.size).toBe(byteLength);
  }
  // It did not list its small files: sweeping must not take them.
  await store.sweep('m');
  expect(await store.listFiles('m')).toHaveLength(4);
});

test('a manifest of a version to come is not taken for whole, and not touched', async () => {
  const store = await openWith([
    ['a.bin', new Blob(['aaa'])],
    ['tramontane-manifest', { version: 3, id: 'm' }],
  ]);
  expect(await store.readModel('m')).toBeNull();
  expect(await store.listModels()).toEqual([]);
  await store.sweep('m');
  await expect(writeShards(store, 'm')).rejects.toMatchObject({ code: 'storage-failed' });
  await expect(store.writeModel(newModel('m', []), smallFiles)).rejects.toMatchObject({
    code: 'storage-failed',
  });
  expect(await store.listFiles('m')).toEqual(['a.bin']);
  await store.deleteModel('m');
  await writeModel(store, 'm');
});

test('a database that is deleted under our feet is opened anew', async () => {
  const name = `weights-${crypto.randomUUID()}`;
  const store = new IndexedDbWeightStore(name);
  await writeShards(store, 'm');
  await new Promise<void>((resolve, reject) => {
    const deletion = indexedDB.deleteDatabase(name);
    deletion.onsuccess = () => resolve();
    deletion.onerror = () => reject(deletion.error);
  });
  // What was written before is gone: the manifest must not claim it.
  await expect(store.writeModel(newModel('m'), smallFiles)).rejects.toMatchObject({ code: 'shard-missing' });
  expect(await store.listFiles('m')).toEqual([]);
  await writeModel(store, 'm');
  expect(await store.listModels()).toHaveLength(1);
});

test('where there is no room for a shard, the journals make way; without journals it is an error', async () => {
  const store = new IndexedDbWeightStore(`weights-${crypto.randomUUID()}`);
  await store.openJournal('m', 'another shard', '').write(0, new Uint8Array(9));
  const put = IDBObjectStore.prototype.put;
  const writeOnFullDisk = async () => {
    let refusals = 1;
    IDBObjectStore.prototype.put = function (...values: Parameters<IDBObjectStore['put']>) {
      if (refusals-- > 0) throw new DOMException('no', 'QuotaExceededError');
      return put.apply(this, values);
    };
    try {
      await store.writePending(pending('m', [a]), new Map([[a.storedName, new Blob(['xxx'])]]));
    } finally {
      IDBObjectStore.prototype.put = put;
    }
  };
  await writeOnFullDisk();
  expect(await store.listFiles('m')).toEqual([a.storedName]);
  expect(await store.countJournalled('m')).toBe(0);
  await expect(writeOnFullDisk()).rejects.toMatchObject({ code: 'storage-quota' });
});

test('a full disk and a broken database have codes of their own, and nothing is stored by halves', async () => {
  const store = new IndexedDbWeightStore(`weights-${crypto.randomUUID()}`);
  const put = IDBObjectStore.prototype.put;
  const failWith = (name: string) => {
    let calls = 0;
    IDBObjectStore.prototype.put = function (...values: Parameters<IDBObjectStore['put']>) {
      if (++calls === 2) throw new DOMException('no', name);
      return put.apply(this, values);
    };
  };
  try {
    failWith('QuotaExceededError');
    await expect(writeShards(store, 'm')).rejects.toMatchObject({ code: 'storage-quota' });
    failWith('UnknownError');
    await expect(writeShards(store, 'm')).rejects.toMatchObject({ code: 'storage-failed' });
  } finally {
    IDBObjectStore.prototype.put = put;
  }
  expect(await store.listFiles('m')).toEqual([]);
});
