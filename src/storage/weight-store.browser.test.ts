/** One contract, both stores: the real IndexedDB, and the one in memory. */
import { describe, expect, test } from 'vitest';
import {
  IndexedDbWeightStore,
  MemoryWeightStore,
  type StoredModel,
  type WeightStore,
} from './weight-store.ts';

const stores: { name: string; create: () => WeightStore }[] = [
  { name: 'IndexedDB', create: () => new IndexedDbWeightStore(`weights-${crypto.randomUUID()}`) },
  { name: 'memory', create: () => new MemoryWeightStore() },
];

const model = (id: string): StoredModel => ({
  version: 1,
  id,
  url: 'https://models.invalid/',
  files: [{ name: 'a.bin', byteLength: 3, sha256: null, md5: null }],
  storedAt: 1,
});

describe.each(stores)('$name', ({ create }) => {
  test('absence is null, and a file comes back as it was', async () => {
    const store = create();
    expect(await store.readFile('m', 'a.bin')).toBeNull();
    expect(await store.readModel('m')).toBeNull();
    await store.writeFile('m', 'a.bin', new Blob(['abc']));
    expect(await (await store.readFile('m', 'a.bin'))?.text()).toBe('abc');
    expect(await store.readFile('other', 'a.bin')).toBeNull();
    await store.writeFile('m', 'a.bin', new Blob(['xyz!']));
    expect((await store.readFile('m', 'a.bin'))?.size).toBe(4);
  });

  test('a model is listed once its manifest is written, with its small files', async () => {
    const store = create();
    await store.writeFile('m', 'a.bin', new Blob(['abc']));
    expect(await store.listModels()).toEqual([]);
    await store.writeModel(model('m'), new Map([['config.json', new Blob(['{}'])]]));
    expect(await store.listModels()).toEqual([model('m')]);
    expect((await store.listFiles('m')).sort()).toEqual(['a.bin', 'config.json']);
  });

  test('deleting takes a model and nothing else', async () => {
    const store = create();
    for (const id of ['m', 'n']) {
      await store.writeFile(id, 'a.bin', new Blob(['abc']));
      await store.writeFile(id, 'b.bin', new Blob(['de']));
      await store.writeModel(model(id), new Map());
    }
    await store.deleteFiles('n', ['b.bin']);
    expect(await store.listFiles('n')).toEqual(['a.bin']);
    await store.deleteModel('m');
    expect(await store.readModel('m')).toBeNull();
    expect(await store.listFiles('m')).toEqual([]);
    expect(await store.readModel('n')).toEqual(model('n'));
  });
});

test('a full disk and a broken database have codes of their own', async () => {
  const store = new IndexedDbWeightStore(`weights-${crypto.randomUUID()}`);
  const put = IDBObjectStore.prototype.put;
  const failWith = (name: string) => {
    IDBObjectStore.prototype.put = () => {
      throw new DOMException('no', name);
    };
  };
  try {
    failWith('QuotaExceededError');
    await expect(store.writeFile('m', 'a', new Blob(['x']))).rejects.toMatchObject({ code: 'storage-quota' });
    failWith('UnknownError');
    await expect(store.writeFile('m', 'a', new Blob(['x']))).rejects.toMatchObject({
      code: 'storage-failed',
    });
  } finally {
    IDBObjectStore.prototype.put = put;
  }
});
