/**
 * Model files on the visitor's disk. One IndexedDB database, one record per file, keyed [model id, file name]; a
 * model's manifest is written last, so a model without one was never stored whole.
 *
 * A file is read as a Blob: IndexedDB keeps large blobs beside its tables, so opening one costs nothing and its bytes
 * are read once, when asked for.
 */
import { createStore, del, delMany, get, keys, set, setMany, type UseStore } from 'idb-keyval';
import { errorMessage, TramontaneError } from '../base/errors.ts';

export interface StoredFile {
  name: string;
  byteLength: number;
  /** SHA-256 in hex, or null where the source gives none. */
  sha256: string | null;
  /** MD5 in hex, which MLC's own models list instead; it tells files apart and is not checked. */
  md5: string | null;
}

export interface StoredModel {
  version: 1;
  id: string;
  /** Where the files came from. */
  url: string;
  files: StoredFile[];
  /** Unix milliseconds. */
  storedAt: number;
}

/** Files of models. Absence is null; every failure is a TramontaneError `storage-failed` or `storage-quota`. */
export interface WeightStore {
  /** @returns the file, or null if it is not stored. */
  readFile(modelId: string, name: string): Promise<Blob | null>;
  /** Stores one file whole, replacing it. @throws TramontaneError `storage-quota` when the disk is full */
  writeFile(modelId: string, name: string, contents: Blob): Promise<void>;
  listFiles(modelId: string): Promise<string[]>;
  /** @returns the manifest of a model that is stored whole, or null. */
  readModel(modelId: string): Promise<StoredModel | null>;
  /** Stores the manifest and the model's small files, all of them or none. */
  writeModel(model: StoredModel, smallFiles: ReadonlyMap<string, Blob>): Promise<void>;
  listModels(): Promise<StoredModel[]>;
  deleteFiles(modelId: string, names: readonly string[]): Promise<void>;
  /** Deletes a model's manifest, then its files. */
  deleteModel(modelId: string): Promise<void>;
}

const DATABASE = 'tramontane-weights';
const MANIFEST = 'tramontane-manifest';

export class IndexedDbWeightStore implements WeightStore {
  readonly #files: UseStore;

  constructor(databaseName = DATABASE) {
    this.#files = createStore(databaseName, 'files');
  }

  async readFile(modelId: string, name: string): Promise<Blob | null> {
    const value = await attempt('read', `${modelId}/${name}`, () => get<Blob>([modelId, name], this.#files));
    return value ?? null;
  }

  async writeFile(modelId: string, name: string, contents: Blob): Promise<void> {
    await attempt('write', `${modelId}/${name}`, () => set([modelId, name], contents, this.#files));
  }

  async listFiles(modelId: string): Promise<string[]> {
    const all = await attempt('list', modelId, () => keys<[string, string]>(this.#files));
    return all.filter(([id, name]) => id === modelId && name !== MANIFEST).map(([, name]) => name);
  }

  async readModel(modelId: string): Promise<StoredModel | null> {
    const value = await attempt('read', modelId, () => get<StoredModel>([modelId, MANIFEST], this.#files));
    // A manifest of another version tells nothing about what lies beside it.
    return value?.version === 1 ? value : null;
  }

  async writeModel(model: StoredModel, smallFiles: ReadonlyMap<string, Blob>): Promise<void> {
    const entries: [[string, string], Blob | StoredModel][] = [[[model.id, MANIFEST], model]];
    for (const [name, contents] of smallFiles) entries.push([[model.id, name], contents]);
    await attempt('write', model.id, () => setMany(entries, this.#files));
  }

  async listModels(): Promise<StoredModel[]> {
    const all = await attempt('list', 'models', () => keys<[string, string]>(this.#files));
    const ids = all.filter(([, name]) => name === MANIFEST).map(([id]) => id);
    const models = await Promise.all(ids.map((id) => this.readModel(id)));
    return models.filter((model) => model !== null);
  }

  async deleteFiles(modelId: string, names: readonly string[]): Promise<void> {
    const list = names.map((name): [string, string] => [modelId, name]);
    await attempt('delete', modelId, () => delMany(list, this.#files));
  }

  async deleteModel(modelId: string): Promise<void> {
    await attempt('delete', modelId, () => del([modelId, MANIFEST], this.#files));
    await this.deleteFiles(modelId, await this.listFiles(modelId));
  }
}

/** The same in memory: for Node, where models lie in folders anyway. */
export class MemoryWeightStore implements WeightStore {
  readonly #files = new Map<string, Map<string, Blob>>();
  readonly #models = new Map<string, StoredModel>();

  async readFile(modelId: string, name: string): Promise<Blob | null> {
    return this.#files.get(modelId)?.get(name) ?? null;
  }

  async writeFile(modelId: string, name: string, contents: Blob): Promise<void> {
    let files = this.#files.get(modelId);
    if (files === undefined) {
      files = new Map();
      this.#files.set(modelId, files);
    }
    files.set(name, contents);
  }

  async listFiles(modelId: string): Promise<string[]> {
    return [...(this.#files.get(modelId)?.keys() ?? [])];
  }

  async readModel(modelId: string): Promise<StoredModel | null> {
    return this.#models.get(modelId) ?? null;
  }

  async writeModel(model: StoredModel, smallFiles: ReadonlyMap<string, Blob>): Promise<void> {
    for (const [name, contents] of smallFiles) await this.writeFile(model.id, name, contents);
    this.#models.set(model.id, model);
  }

  async listModels(): Promise<StoredModel[]> {
    return [...this.#models.values()];
  }

  async deleteFiles(modelId: string, names: readonly string[]): Promise<void> {
    for (const name of names) this.#files.get(modelId)?.delete(name);
  }

  async deleteModel(modelId: string): Promise<void> {
    this.#models.delete(modelId);
    this.#files.delete(modelId);
  }
}

async function attempt<T>(operation: string, key: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'QuotaExceededError') {
      throw new TramontaneError('storage-quota', `There is no room left to store ${key}.`, {
        nextStep:
          'Free disk space, or delete a stored model, and load again: what is stored already is kept.',
        data: { operation, key },
        cause: error,
      });
    }
    throw new TramontaneError(
      'storage-failed',
      `Cannot ${operation} ${key} in IndexedDB: ${errorMessage(error)}`,
      {
        nextStep: 'Reload the page. Private windows and blocked site data may forbid storage.',
        data: { operation, key },
        cause: error,
      },
    );
  }
}
