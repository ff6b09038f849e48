import { createHash } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { damageFile } from '../../tests/tools/folder-model.ts';
import { TramontaneError } from '../base/errors.ts';
import { MemoryWeightStore, type StoredFile, storedName } from '../storage/weight-store.ts';
import { ModelReader } from './model-reader.ts';

const contents = new Map(
  ['a.bin', 'b.bin', 'c.bin', 'd.bin', 'e.bin'].map((name) => [name, `bytes of ${name}`]),
);
const files = Array.from(contents, ([name, text]): StoredFile => {
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { name, storedName: storedName(name, sha256), byteLength: text.length, sha256 };
});
const failure = new TramontaneError('engine-failed', 'WebLLM could not load the model');

let store: MemoryWeightStore;
let reader: ModelReader;

beforeEach(async () => {
  store = new MemoryWeightStore();
  const source = { kind: 'site', name: 'm', url: null } as const;
  const times = { doneBytes: 0, totalBytes: 0, startedAt: 0, updatedAt: 0 };
  await store.writePending(
    { version: 1, id: 'm', name: 'M', source, identity: null, shards: files, ...times },
    new Map(files.map((file) => [file.storedName, new Blob([contents.get(file.name)!])])),
  );
  await store.writeModel(
    { id: 'm', source, identity: null, facts: null, files },
    new Map([['tokenizer.json', new Blob(['{"tokens":1}'])]]),
  );
  reader = new ModelReader(store, 'm', files);
});

const damage = (name: string, text: string) =>
  damageFile(store, 'm', files.find((file) => file.name === name)?.storedName ?? name, new Blob([text]));

test('a load that fails for no fault of the files is what it is, and nothing is dropped', async () => {
  await reader.read('a.bin');
  expect(await reader.explain(failure)).toBe(failure);
  expect(await store.readModel('m')).not.toBeNull();
});

test.each([
  ['a shard that was just read', 'd.bin', 'BYTES of d.bin', 'shard-altered'],
  ['the tokenizer', 'tokenizer.json', '{"tokens":2}', 'shard-altered'],
])('%s is found altered, dropped, and the rest is kept', async (_what, name, text, code) => {
  await damage(name, text);
  for (const file of files) await reader.read(file.name);
  expect(await reader.explain(failure)).toMatchObject({ code, data: { files: [name] }, cause: failure });
  expect(await store.readModel('m')).toBeNull();
  const kept = (await store.readPending('m'))!.shards.map((file) => file.name);
  expect(kept).toEqual(files.map((file) => file.name).filter((each) => each !== name));
});

test('nothing is dropped where an interrupted import under the same name would be forgotten', async () => {
  const source = { kind: 'import', name: 'm.gguf', url: null } as const;
  const times = { doneBytes: 0, totalBytes: 9, startedAt: 0, updatedAt: 0 };
  await damage('d.bin', 'BYTES of d.bin');
  await store.writePending({ version: 1, id: 'm', name: 'M', source, identity: 'i', shards: [], ...times });
  await reader.read('d.bin');
  await expect(reader.explain(failure)).rejects.toMatchObject({
    code: 'shard-altered',
    nextStep: expect.stringMatching(/finish that import/),
    data: { files: ['d.bin'] },
  });
  expect(await store.readPending('m')).not.toBeNull();
  expect(await store.readModel('m')).not.toBeNull();
});

test('a shard that is shorter than it was is a truncated one, and dropped', async () => {
  await damage('b.bin', 'short');
  const error = await reader.read('b.bin').catch((thrown: TramontaneError) => thrown);
  expect(error).toMatchObject({ code: 'shard-truncated', data: { file: 'b.bin' } });
  expect(await reader.explain(error as TramontaneError)).toMatchObject({ code: 'shard-altered' });
  expect(await store.readFile('m', files[1]!.storedName)).toBeNull();
});

test('a store that was cleared is said so', async () => {
  await store.deleteModel('m');
  const error = await reader.read('a.bin').catch((thrown: TramontaneError) => thrown);
  expect(error).toMatchObject({ code: 'shard-missing', nextStep: expect.any(String) });
  expect(await reader.explain(error as TramontaneError)).toBe(error);
});

test('bytes that the disk does not give are a storage failure, and dropped', async () => {
  const broken = new Blob([contents.get('c.bin')!]);
  broken.arrayBuffer = async () => {
    throw new DOMException('gone', 'NotReadableError');
  };
  const readFile = store.readFile.bind(store);
  store.readFile = async (id, name) => (name.startsWith('c.bin') ? broken : readFile(id, name));
  const error = await reader.read('c.bin').catch((thrown: TramontaneError) => thrown);
  expect(error).toMatchObject({ code: 'storage-failed' });
  expect(await reader.explain(error as TramontaneError)).toMatchObject({ data: { files: ['c.bin'] } });
});

test.each(['out-of-memory', 'shader-invalid', 'device-lost'] as const)(
  '%s casts no suspicion on files',
  async (code) => {
    await damage('a.bin', 'BYTES of a.bin');
    await reader.read('a.bin');
    const error = new TramontaneError(code, 'the GPU');
    expect(await reader.explain(error)).toBe(error);
    expect(await store.readModel('m')).not.toBeNull();
  },
);
