/**
 * Values by key, in IndexedDB (through idb-keyval) or in memory: what the weight store and the conversations are built
 * on. Failures are what the browser throws; the stores above say them in words.
 */
import { createStore, get, promisifyRequest, type UseStore } from 'idb-keyval';

/** Keys of several parts are ordered by their parts; those that begin with the same parts lie together. */
export type Key = string | readonly [string, ...(string | number)[]];

/** What one transaction does, in this order. */
export interface Change {
  /** Keys that must be there: where one is not, nothing happens. */
  require?: readonly Key[];
  /** Deletes every key that begins with these parts. */
  deleteUnder?: readonly (readonly [string, ...string[]])[];
  delete?: readonly Key[];
  put?: readonly (readonly [key: Key, value: unknown])[];
}

export interface KeyValueStore {
  /** @returns the value, or undefined if there is none. */
  get(key: Key): Promise<unknown>;
  /** Keys of several parts that begin with these, or all. In order. */
  keys(under?: readonly string[]): Promise<Key[]>;
  /** Does all of it or nothing. @throws MissingKeyError */
  change(change: Change): Promise<void>;
}

/** A change required a key that is not there. */
export class MissingKeyError extends Error {
  override name = 'MissingKeyError';
  readonly keys: readonly Key[];

  constructor(keys: readonly Key[]) {
    super(`${keys.length} keys are missing, such as ${JSON.stringify(keys[0])}`);
    this.keys = keys;
  }
}

export function isQuotaError(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'QuotaExceededError';
}

/** One object store of one IndexedDB database. */
export class IndexedDbValues implements KeyValueStore {
  readonly #databaseName: string;
  readonly #storeName: string;
  #store: UseStore | null = null;

  constructor(databaseName: string, storeName: string) {
    this.#databaseName = databaseName;
    this.#storeName = storeName;
  }

  get(key: Key): Promise<unknown> {
    return this.#run((store) => get(key as IDBValidKey, store));
  }

  keys(under?: readonly string[]): Promise<Key[]> {
    const range = under === undefined ? null : rangeUnder(under);
    return this.#run((use) =>
      use('readonly', (store) => promisifyRequest(store.getAllKeys(range))),
    ) as Promise<Key[]>;
  }

  change({ require = [], deleteUnder = [], delete: deleted = [], put = [] }: Change): Promise<void> {
    return this.#run((use) =>
      use('readwrite', async (store) => {
        const found = await Promise.all(
          require.map((key) => promisifyRequest(store.getKey(key as IDBValidKey))),
        );
        const missing = require.filter((_, index) => found[index] === undefined);
        if (missing.length > 0) throw new MissingKeyError(missing);
        for (const parts of deleteUnder) store.delete(rangeUnder(parts));
        for (const key of deleted) store.delete(key as IDBValidKey);
        try {
          for (const [key, value] of put) store.put(value, key as IDBValidKey);
        } catch (error) {
          // What cannot be cloned or is over the quota at once must not leave half of the change behind.
          store.transaction.abort();
          throw error;
        }
        await promisifyRequest(store.transaction);
      }),
    );
  }

  /** Runs an action; anew where the database was closed meanwhile, because it was deleted or its data cleared. */
  async #run<T>(action: (store: UseStore) => Promise<T>): Promise<T> {
    const used = this.#open();
    try {
      return await action(used);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'InvalidStateError')) throw error;
      if (this.#store === used) this.#store = null;
      return await action(this.#open());
    }
  }

  #open(): UseStore {
    if (this.#store !== null) return this.#store;
    const opened = createStore(this.#databaseName, this.#storeName);
    this.#store = (mode, action) =>
      opened(mode, (store) => {
        // Whoever deletes the database must not have to wait for this page to end.
        store.transaction.db.onversionchange = ({ target }) => (target as IDBDatabase).close();
        return action(store);
      });
    return this.#store;
  }
}

/** Lists sort after strings and numbers: this is every key that is longer than `parts` and begins with them. */
function rangeUnder(parts: readonly string[]): IDBKeyRange {
  return IDBKeyRange.bound([...parts], [...parts, []], true, true);
}

/** The same as long as the page or the process lives. */
export class MemoryValues implements KeyValueStore {
  readonly #values = new Map<string, { key: Key; value: unknown }>();

  async get(key: Key): Promise<unknown> {
    return structuredClone(this.#values.get(JSON.stringify(key))?.value);
  }

  async keys(under: readonly string[] = []): Promise<Key[]> {
    return this.#keysUnder(under).sort(compareKeys);
  }

  async change({ require = [], deleteUnder = [], delete: deleted = [], put = [] }: Change): Promise<void> {
    const missing = require.filter((key) => !this.#values.has(JSON.stringify(key)));
    if (missing.length > 0) throw new MissingKeyError(missing);
    const entries = put.map(([key, value]) => ({ key, value: structuredClone(value) }));
    for (const parts of deleteUnder) {
      for (const key of this.#keysUnder(parts)) this.#values.delete(JSON.stringify(key));
    }
    for (const key of deleted) this.#values.delete(JSON.stringify(key));
    for (const entry of entries) this.#values.set(JSON.stringify(entry.key), entry);
  }

  #keysUnder(parts: readonly string[]): Key[] {
    const found = [...this.#values.values()].map(({ key }) => key);
    return found.filter((key) => isUnder(key, parts));
  }
}

function isUnder(key: Key, parts: readonly string[]): boolean {
  if (parts.length === 0) return true;
  return typeof key !== 'string' && key.length > parts.length && parts.every((part, i) => key[i] === part);
}

function compareKeys(a: Key, b: Key): number {
  const [left, right] = [a, b].map((key) => (typeof key === 'string' ? [key] : key)) as [Key, Key];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] === right[i]) continue;
    if (typeof left[i] !== typeof right[i]) return typeof left[i] === 'number' ? -1 : 1;
    return left[i]! < right[i]! ? -1 : 1;
  }
  return left.length - right.length;
}
