/**
 * A model's folder made up of bytes from a seed: what downloading and storing need, and nothing that could be run. Runs
 * in Node and in a browser, where the same options give the same bytes.
 */
import { md5Hex } from '../../src/base/md5.ts';
import { sha256Hex } from '../../src/base/sha256.ts';
import {
  type PendingModel,
  type StoredFile,
  type StoredSource,
  storedName,
  type WeightStore,
} from '../../src/storage/weight-store.ts';
import { createRandom } from './random.ts';

export interface FolderModelOptions {
  seed?: number;
  /** Default: four, three of them of about 100 kB. */
  shardLengths?: readonly number[];
  /** Which checksum the folder lists of its shards. Default SHA-256. */
  hash?: 'sha256' | 'md5' | 'none';
  /** Of the folder. Default `/`. */
  path?: string;
}

export interface FolderModel {
  /** By path on a server. */
  files: Map<string, Uint8Array<ArrayBuffer>>;
  /** In their order. */
  shards: { path: string; name: string; contents: Uint8Array<ArrayBuffer> }[];
  shardBytes: number;
}

export async function createFolderModel({
  seed = 1,
  shardLengths = [100_000, 100_001, 99_999, 40],
  hash = 'sha256',
  path = '/',
}: FolderModelOptions = {}): Promise<FolderModel> {
  const random = createRandom(seed);
  const shards = shardLengths.map((byteLength, i) => {
    const name = `params_shard_${i}.bin`;
    return {
      path: path + name,
      name,
      contents: Uint8Array.from({ length: byteLength }, () => random() * 256),
    };
  });
  const records = await Promise.all(
    shards.map(async ({ name, contents }) => {
      const sha256 = await sha256Hex(contents);
      return {
        dataPath: name,
        nbytes: contents.byteLength,
        ...(hash === 'sha256' && { sha256 }),
        ...(hash === 'md5' && { md5sum: md5Hex(contents) }),
        records: [],
      };
    }),
  );
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  return {
    files: new Map([
      [`${path}mlc-chat-config.json`, text({ temperature: 0.5, seed })],
      [`${path}tokenizer.json`, text({})],
      [`${path}tensor-cache.json`, text({ records })],
      ...shards.map((shard) => [shard.path, shard.contents] as const),
    ]),
    shards,
    shardBytes: shardLengths.reduce((sum, byteLength) => sum + byteLength, 0),
  };
}

/** Stores a made-up model as a download would. */
export async function storeFolderModel(
  store: WeightStore,
  id: string,
  shardLengths: readonly number[] = [700, 900],
): Promise<FolderModel> {
  const model = await createFolderModel({ seed: 7, shardLengths });
  const files = await Promise.all(
    model.shards.map(async ({ name, contents }): Promise<StoredFile> => {
      const sha256 = await sha256Hex(contents);
      return { name, storedName: storedName(name, sha256), byteLength: contents.byteLength, sha256 };
    }),
  );
  const source = { kind: 'site', name: id, url: null } as const;
  const shards = new Map(model.shards.map(({ contents }, i) => [files[i]!.storedName, new Blob([contents])]));
  await store.writePending({ ...emptyPending(id, source), shards: files }, shards);
  await store.writeModel({ id, source, identity: null, facts: null, files }, new Map());
  return model;
}

function emptyPending(id: string, source: StoredSource): PendingModel {
  return {
    ...{ version: 1, id, name: id, source, identity: null, shards: [] },
    ...{ doneBytes: 0, totalBytes: 0, startedAt: 0, updatedAt: 0 },
  };
}

/** @returns what is not as it should be in a store that should hold the model whole; null if all is well. */
export async function findFault(store: WeightStore, id: string, model: FolderModel): Promise<string | null> {
  const stored = await store.readModel(id);
  if (stored === null) return 'there is no manifest';
  if (stored.files.length !== model.shards.length) return `the manifest lists ${stored.files.length} shards`;
  for (const [i, { name, contents }] of model.shards.entries()) {
    const file = stored.files[i]!;
    const blob = await store.readFile(id, file.storedName);
    if (file.name !== name || blob === null) return `${name} is missing`;
    if (!isSame(new Uint8Array(await blob.arrayBuffer()), contents)) return `${name} is altered`;
  }
  return null;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

/** Puts other bytes where a stored file was, as a failing disk would. @param name that it is stored under */
export async function damageFile(
  store: WeightStore,
  id: string,
  name: string,
  contents: Blob,
): Promise<void> {
  const { source } = (await store.readModel(id))!;
  await store.writePending(emptyPending(id, source), new Map([[name, contents]]));
  await store.deletePending(id);
}
