/**
 * Model files on the visitor's disk: one record a file, keyed [model id, stored name]. Beside the files of a model lie,
 * under names that no file can have,
 *
 *   its manifest          written last, with the small files, in one transaction: without one a model is not whole
 *   its pending state     what an import or download that has not ended has stored so far
 *   its journal           bytes as they came from the network, until the shard they belong to is stored
 *
 * A shard's stored name holds a hash of its contents, so that what is being written never touches what is whole.
 * A file is read as a Blob: IndexedDB keeps large blobs beside its tables, so opening one costs nothing and its bytes
 * are read once, when asked for. See docs/storage.md.
 */
import { errorMessage, isTramontaneError, TramontaneError } from '../base/errors.ts';
import { sha256Hex } from '../base/sha256.ts';
import { Journal, journalPieceOf } from './journal.ts';
import {
  IndexedDbValues,
  isQuotaError,
  type Key,
  type KeyValueStore,
  MemoryValues,
  MissingKeyError,
} from './key-value.ts';

export interface StoredFile {
  /** As the model's own files call it. */
  name: string;
  /** As the weight store calls it: see {@link storedName}. */
  storedName: string;
  byteLength: number;
  /** SHA-256 in hex of the contents; null where version 1 stored the file from a source that gives none. */
  sha256: string | null;
}

/** What a prebuilt model library asks for. */
export interface LibraryFacts {
  /** True where it needs the GPU feature `shader-f16`. */
  needsShaderF16: boolean;
}

/** What people want to know of a model; null where its files do not tell. */
export interface ModelFacts {
  name: string;
  /** As its makers name it: `Q4_1`, `Q4_K_M`. */
  quantization: string | null;
  parameterCount: number | null;
  /** Tokens of context that the build is configured for, and the most the model was made for. */
  contextLength: number | null;
  maxContextLength: number | null;
  /** Of all layers together. */
  kvBytesPerToken: number | null;
  layerCount: number | null;
  /** SPDX identifier. */
  licence: string | null;
  /** Null where it is generated. Absent where earlier versions stored the model. */
  library?: LibraryFacts | null;
}

/** Where a model came from: a folder of a site that offers it, or what a person imported. */
export interface StoredSource {
  kind: 'site' | 'import';
  /** Of the file or folder. */
  name: string;
  /** Null for files of the visitor's own. */
  url: string | null;
}

/** The manifest of a model that is stored whole. */
export interface StoredModel {
  version: 2;
  id: string;
  source: StoredSource;
  /** As in {@link PendingModel}. */
  identity: string | null;
  /** Null where the model was stored by version 1. */
  facts: ModelFacts | null;
  /** Shards, in loading order. */
  files: readonly StoredFile[];
  /** Configuration, tokenizer and so on. Empty where the model was stored by version 1. */
  smallFiles: readonly StoredFile[];
  /** Of the shards. */
  byteLength: number;
  /** Unix milliseconds. */
  storedAt: number;
}

/** A manifest as its writer gives it; the store adds the rest. */
export type NewModel = Omit<StoredModel, 'version' | 'smallFiles' | 'byteLength' | 'storedAt'>;

/** An import or download that has not ended. */
export interface PendingModel {
  version: 1;
  id: string;
  /** As people call the model. */
  name: string;
  source: StoredSource;
  /**
   * Equal only for the very same source and plan, so that what is stored of it may be used; null where the names of
   * the shards say it all.
   */
  identity: string | null;
  /** Stored so far. */
  shards: readonly StoredFile[];
  /** Bytes of the source that the stored shards stand for, and of all that will be read. */
  doneBytes: number;
  totalBytes: number;
  /** Unix milliseconds. */
  startedAt: number;
  updatedAt: number;
}

/** Files of models. Absence is null; every failure is a TramontaneError `storage-failed` or `storage-quota`. */
export interface WeightStore {
  /** @returns the file, or null if it is not stored. */
  readFile(modelId: string, storedName: string): Promise<Blob | null>;
  /** Stored names, small files included. */
  listFiles(modelId: string): Promise<string[]>;

  /** @returns the manifest of a model that is stored whole, or null. */
  readModel(modelId: string): Promise<StoredModel | null>;
  listModels(): Promise<StoredModel[]>;
  /**
   * Makes a model whole: stores the manifest and the small files, and forgets the pending state and the journal, all
   * of it or nothing. Files of an earlier build stay until {@link sweep}.
   * @throws TramontaneError `shard-missing` where a shard that the manifest lists is not stored
   */
  writeModel(model: NewModel, smallFiles: ReadonlyMap<string, Blob>): Promise<StoredModel>;

  readPending(modelId: string): Promise<PendingModel | null>;
  listPending(): Promise<PendingModel[]>;
  /**
   * Stores the pending state, and with it shards by their stored names, whose journals are then forgotten: all of it
   * or nothing. Where there is no room for them, all journals of the model make way.
   */
  writePending(pending: PendingModel, shards?: ReadonlyMap<string, Blob>): Promise<void>;
  /** Forgets pending state and journal, and the shards that only they speak of. */
  deletePending(modelId: string): Promise<void>;
  /**
   * @param source whose bytes these are: the stored name of a shard, the address of a file
   * @param state of that source, such as its ETag: the bytes of one state are never mixed with those of another
   */
  openJournal(modelId: string, source: string, state: string): Journal;
  /** States of a source that a model has journals of. */
  listJournals(modelId: string, source: string): Promise<string[]>;
  /** Bytes in all journals of a model. */
  countJournalled(modelId: string): Promise<number>;

  /**
   * Takes files that are not what they should be from a model, which then is pending: its other files are kept.
   * Nothing happens where the model is not whole.
   * @returns false, and nothing happens, where something of another identity is pending under this id: its state
   *   would be lost
   */
  dropFiles(modelId: string, storedNames: readonly string[]): Promise<boolean>;
  /** Deletes files that neither manifest nor pending state lists. Nobody may be writing or reading the model. */
  sweep(modelId: string): Promise<void>;
  /** Deletes all there is of a model. */
  deleteModel(modelId: string): Promise<void>;
}

const DATABASE = 'tramontane-weights';
/** The name that version 1 gave it. No file is called so, as versions 1 and 2 know. */
const MANIFEST = 'tramontane-manifest';
/** File names have no colon. */
const PENDING = ':pending';
const JOURNAL = ':journal';

/**
 * The name that a shard is stored under.
 * @param hash of its contents, in hex; null where the source gives none
 */
export function storedName(name: string, hash: string | null): string {
  return hash === null ? name : `${name}.${hash.slice(0, 16)}`;
}

export function sumBytes(files: readonly { byteLength: number }[]): number {
  return files.reduce((sum, file) => sum + file.byteLength, 0);
}

class KeyValueWeightStore implements WeightStore {
  readonly #values: KeyValueStore;

  constructor(values: KeyValueStore) {
    this.#values = values;
  }

  async readFile(modelId: string, name: string): Promise<Blob | null> {
    const value = await attempt('read', `${modelId}/${name}`, () => this.#values.get([modelId, name]));
    return value instanceof Blob ? value : null;
  }

  async listFiles(modelId: string): Promise<string[]> {
    const keys = await attempt('list', modelId, () => this.#values.keys([modelId]));
    return keys.flatMap((key) => (key.length === 2 && isFileName(key[1]!) ? [key[1]] : []));
  }

  async readModel(modelId: string): Promise<StoredModel | null> {
    return readManifest(await attempt('read', modelId, () => this.#values.get([modelId, MANIFEST])));
  }

  async listModels(): Promise<StoredModel[]> {
    const models = await Promise.all((await this.#idsWith(MANIFEST)).map((id) => this.readModel(id)));
    return models.filter((model) => model !== null);
  }

  async writeModel(model: NewModel, smallFiles: ReadonlyMap<string, Blob>): Promise<StoredModel> {
    await this.#requireKnownVersion(model.id);
    const listed = await Promise.all(
      Array.from(
        smallFiles,
        async ([name, contents]): Promise<StoredFile> => ({
          name,
          storedName: name,
          byteLength: contents.size,
          sha256: await sha256Hex(await contents.arrayBuffer()),
        }),
      ),
    );
    const manifest: StoredModel = {
      ...model,
      version: 2,
      smallFiles: listed,
      byteLength: sumBytes(model.files),
      storedAt: Date.now(),
    };
    await attempt('write', model.id, () =>
      this.#values.change({
        require: model.files.map((file) => [model.id, file.storedName] as const),
        deleteUnder: [[model.id, JOURNAL]],
        delete: [[model.id, PENDING]],
        put: [
          ...Array.from(smallFiles, ([name, contents]) => [[model.id, name], contents] as const),
          [[model.id, MANIFEST], manifest],
        ],
      }),
    );
    return manifest;
  }

  async readPending(modelId: string): Promise<PendingModel | null> {
    const value = await attempt('read', modelId, () => this.#values.get([modelId, PENDING]));
    const pending = value as PendingModel | undefined;
    return pending?.version === 1 ? pending : null;
  }

  async listPending(): Promise<PendingModel[]> {
    const models = await Promise.all((await this.#idsWith(PENDING)).map((id) => this.readPending(id)));
    return models.filter((model) => model !== null);
  }

  async writePending(
    pending: PendingModel,
    shards: ReadonlyMap<string, Blob> = new Map<string, Blob>(),
  ): Promise<void> {
    await this.#requireKnownVersion(pending.id);
    const write = () =>
      attempt('write', pending.id, () =>
        this.#values.change({
          deleteUnder: Array.from(shards.keys(), (name) => [pending.id, JOURNAL, name] as const),
          put: [
            ...Array.from(shards, ([name, contents]) => [[pending.id, name], contents] as const),
            [[pending.id, PENDING], pending],
          ],
        }),
      );
    try {
      await write();
    } catch (error) {
      if (!isTramontaneError(error) || error.code !== 'storage-quota') throw error;
      // What is journalled can be fetched again: the room it takes is for shards.
      if ((await this.countJournalled(pending.id)) === 0) throw error;
      await attempt('delete', pending.id, () =>
        this.#values.change({ deleteUnder: [[pending.id, JOURNAL]] }),
      );
      await write();
    }
  }

  async deletePending(modelId: string): Promise<void> {
    const pending = await this.readPending(modelId);
    const model = await this.readModel(modelId);
    const whole = new Set(model?.files.map((file) => file.storedName));
    const shards = (pending?.shards ?? []).filter((file) => !whole.has(file.storedName));
    await attempt('delete', modelId, () =>
      this.#values.change({
        deleteUnder: [[modelId, JOURNAL]],
        delete: [[modelId, PENDING], ...shards.map((file) => [modelId, file.storedName] as const)],
      }),
    );
  }

  openJournal(modelId: string, source: string, state: string): Journal {
    return new Journal(this.#values, [modelId, JOURNAL, source, state], (operation, action) =>
      attempt(operation, modelId, action),
    );
  }

  async listJournals(modelId: string, source: string): Promise<string[]> {
    const keys = await attempt('list', modelId, () => this.#values.keys([modelId, JOURNAL, source]));
    return [...new Set(keys.map((key) => key[3] as string))];
  }

  async countJournalled(modelId: string): Promise<number> {
    const keys = await attempt('list', modelId, () => this.#values.keys([modelId, JOURNAL]));
    return sumBytes(keys.map(journalPieceOf));
  }

  async dropFiles(modelId: string, names: readonly string[]): Promise<boolean> {
    const model = await this.readModel(modelId);
    if (model === null || names.length === 0) return true;
    const before = await this.readPending(modelId);
    if (before !== null && before.identity !== model.identity) return false;
    const stored = new Map(
      [...model.files, ...(before?.shards ?? [])].map((file) => [file.storedName, file]),
    );
    for (const name of names) stored.delete(name);
    const kept = [...stored.values()];
    const now = Date.now();
    const pending: PendingModel = {
      version: 1,
      id: modelId,
      name: model.facts?.name ?? modelId,
      source: model.source,
      identity: model.identity,
      shards: kept,
      doneBytes: sumBytes(model.files.filter((file) => stored.has(file.storedName))),
      totalBytes: model.byteLength,
      startedAt: before?.startedAt ?? now,
      updatedAt: now,
    };
    await attempt('write', modelId, () =>
      this.#values.change({
        delete: [[modelId, MANIFEST], ...names.map((name) => [modelId, name] as const)],
        put: [[[modelId, PENDING], pending]],
      }),
    );
    return true;
  }

  async sweep(modelId: string): Promise<void> {
    const manifest = await attempt('read', modelId, () => this.#values.get([modelId, MANIFEST]));
    const model = readManifest(manifest);
    const pending = await this.readPending(modelId);
    // What another version keeps here is not ours to judge, and version 1 did not list its small files.
    if (model === null ? manifest !== undefined : model.smallFiles.length === 0) return;
    const files = [...(model?.files ?? []), ...(model?.smallFiles ?? []), ...(pending?.shards ?? [])];
    const listed = new Set(files.map((file) => file.storedName));
    const stale = (await this.listFiles(modelId)).filter((name) => !listed.has(name));
    if (stale.length === 0) return;
    await attempt('delete', modelId, () =>
      this.#values.change({ delete: stale.map((name) => [modelId, name] as const) }),
    );
  }

  async deleteModel(modelId: string): Promise<void> {
    await attempt('delete', modelId, () => this.#values.change({ deleteUnder: [[modelId]] }));
  }

  async #idsWith(record: string): Promise<string[]> {
    const keys: Key[] = await attempt('list', 'models', () => this.#values.keys());
    return keys.flatMap((key) => (key.length === 2 && key[1] === record ? [key[0] as string] : []));
  }

  /** What a later version of this page has stored is not overwritten by an earlier one. */
  async #requireKnownVersion(modelId: string): Promise<void> {
    const value = await attempt('read', modelId, () => this.#values.get([modelId, MANIFEST]));
    if (value === undefined || readManifest(value) !== null) return;
    throw new TramontaneError(
      'storage-failed',
      `${modelId} was stored by another version of this page (${String((value as StoredModel).version)}).`,
      {
        nextStep: 'Reload the page to get its newest version, or delete the model and load it again.',
        data: { operation: 'write', key: modelId },
      },
    );
  }
}

/** One database for all models of this origin. */
export class IndexedDbWeightStore extends KeyValueWeightStore {
  constructor(databaseName = DATABASE) {
    super(new IndexedDbValues(databaseName, 'files'));
  }
}

/** The same in memory: for Node, where models lie in folders anyway. */
export class MemoryWeightStore extends KeyValueWeightStore {
  constructor() {
    super(new MemoryValues());
  }
}

function isFileName(part: string | number): part is string {
  return typeof part === 'string' && part !== MANIFEST && !part.startsWith(':');
}

/** As version 1 wrote it, beside the same files. */
interface StoredModelV1 {
  version: 1;
  id: string;
  url: string;
  files: { name: string; byteLength: number; sha256: string | null; md5: string | null }[];
  storedAt: number;
}

/** @returns null for a manifest of another version, which tells nothing about what lies beside it. */
function readManifest(value: unknown): StoredModel | null {
  const manifest = value as StoredModel | StoredModelV1 | undefined;
  if (manifest?.version === 2) return manifest;
  if (manifest?.version !== 1) return null;
  const { id, url, files, storedAt } = manifest;
  return {
    version: 2,
    id,
    source: { kind: 'site', name: lastSegment(url), url },
    identity: null,
    facts: null,
    files: files.map(({ name, byteLength, sha256, md5 }) => ({
      name,
      storedName: storedName(name, sha256 ?? md5),
      byteLength,
      sha256,
    })),
    smallFiles: [],
    byteLength: sumBytes(files),
    storedAt,
  };
}

/** The name of the folder or file that an address leads to. */
export function lastSegment(url: string): string {
  const segments = url.split(/[?#]/)[0]!.split('/');
  const last = segments.filter((segment) => segment !== '').at(-1) ?? url;
  try {
    return decodeURIComponent(last);
  } catch (error) {
    if (error instanceof URIError) return last;
    throw error;
  }
}

async function attempt<T>(operation: string, key: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (isQuotaError(error)) {
      throw new TramontaneError('storage-quota', `There is no room left to store ${key}.`, {
        nextStep:
          'Free disk space, or delete a stored model, and load again: what is stored already is kept.',
        data: { operation, key },
        cause: error,
      });
    }
    if (error instanceof MissingKeyError) {
      throw new TramontaneError('shard-missing', `Files of ${key} have gone from the weight store.`, {
        nextStep: 'Load or import the model again: only what is missing is fetched.',
        data: { operation, key, missing: error.keys.map((missing) => String(missing[1])) },
        cause: error,
      });
    }
    throw new TramontaneError(
      'storage-failed',
      `Cannot ${operation} ${key} in IndexedDB: ${errorMessage(error)}`,
      {
        nextStep:
          'Reload the page. The disk may be full; private windows and blocked site data may forbid storage.',
        data: { operation, key },
        cause: error,
      },
    );
  }
}
