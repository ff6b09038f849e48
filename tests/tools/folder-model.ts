/** A model's folder made up of bytes from a seed: what downloading and storing need, and nothing that could be run. */
import { createHash } from 'node:crypto';
import type { MemoryWeightStore, WeightStore } from '../../src/storage/weight-store.ts';
import { createRandom } from './random.ts';

export interface FolderModel {
  /** By path on a server, which begins with a slash. */
  files: Map<string, Uint8Array>;
  /** In their order, with their paths. */
  shards: { path: string; name: string; contents: Uint8Array }[];
  shardBytes: number;
}

export interface FolderModelOptions {
  seed?: number;
  /** Default: four of about 100 kB. */
  shardLengths?: readonly number[];
  /** Which checksum the folder lists of its shards. Default SHA-256. */
  hash?: 'sha256' | 'md5' | 'none';
  /** Default `/`. */
  path?: string;
}

export function createFolderModel({
  seed = 1,
  shardLengths = [100_000, 100_001, 99_999, 40],
  hash = 'sha256',
  path = '/',
}: FolderModelOptions = {}): FolderModel {
  const random = createRandom(seed);
  const shards = shardLengths.map((byteLength, i) => {
    const name = `params_shard_${i}.bin`;
    return {
      path: path + name,
      name,
      contents: Uint8Array.from({ length: byteLength }, () => random() * 256),
    };
  });
  const digest = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest('hex');
  const records = shards.map(({ name, contents }) => ({
    dataPath: name,
    nbytes: contents.byteLength,
    ...(hash === 'sha256' && { sha256: digest('sha256', contents) }),
    ...(hash === 'md5' && { md5sum: digest('md5', contents) }),
    records: [],
  }));
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

/** @returns what is not as it should be in a store that should hold the model whole; null if all is well. */
export async function findFault(store: WeightStore, id: string, model: FolderModel): Promise<string | null> {
  const stored = await store.readModel(id);
  if (stored === null) return 'there is no manifest';
  if (stored.files.length !== model.shards.length) return `the manifest lists ${stored.files.length} shards`;
  for (const [i, { name, contents }] of model.shards.entries()) {
    const file = stored.files[i]!;
    const blob = await store.readFile(id, file.storedName);
    if (file.name !== name || blob === null) return `${name} is missing`;
    if (Buffer.compare(new Uint8Array(await blob.arrayBuffer()), contents) !== 0) return `${name} is altered`;
  }
  return null;
}

/** Puts other bytes where a stored file was, as a failing disk would. */
export async function damageFile(
  store: MemoryWeightStore,
  id: string,
  storedName: string,
  contents: Blob,
): Promise<void> {
  const model = await store.readModel(id);
  const pending = { version: 1, id, name: id, source: model!.source, identity: null, shards: [] } as const;
  const times = { doneBytes: 0, totalBytes: 0, startedAt: 0, updatedAt: 0 };
  await store.writePending({ ...pending, ...times }, new Map([[storedName, contents]]));
  await store.deletePending(id);
}
