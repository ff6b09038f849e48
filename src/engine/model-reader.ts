/**
 * Reads the files of a stored model for one load, and remembers which it gave last: where the load then fails, they are
 * looked at more closely.
 */
import { type ErrorCode, errorMessage, TramontaneError } from '../base/errors.ts';
import type { StoredFile, WeightStore } from '../storage/weight-store.ts';
import { dropDamaged, isIntact } from './verify-model.ts';

/** While one shard is uploaded the next is read: the one at fault is among the last of these. */
const SUSPECT_SHARDS = 3;

/** Failures of a load that a damaged file may be behind. */
const SUSPICIOUS: readonly ErrorCode[] = [
  ...(['engine-failed', 'tokenizer-invalid', 'tokenizer-unsupported', 'config-invalid'] as const),
  ...(['architecture-unsupported', 'template-unsupported', 'library-invalid'] as const),
  ...(['shard-missing', 'shard-truncated', 'shard-altered', 'storage-failed'] as const),
];

const NEXT_STEP =
  'Load the model again, or import it again from the same file: only what is missing is fetched.';

export class ModelReader {
  readonly shards: readonly StoredFile[];
  readonly #store: WeightStore;
  readonly #id: string;
  readonly #given: ReadonlyMap<string, ArrayBuffer>;
  #readBytes = 0;
  #lastShards: string[] = [];

  /** @param given files that are in memory, by name: they are not read again */
  constructor(
    store: WeightStore,
    id: string,
    shards: readonly StoredFile[] = [],
    given: ReadonlyMap<string, ArrayBuffer> = new Map(),
  ) {
    this.#store = store;
    this.#id = id;
    this.shards = shards;
    this.#given = given;
  }

  /** Bytes taken out of the store so far. */
  get readBytes(): number {
    return this.#readBytes;
  }

  /** @throws TramontaneError `shard-missing`, `shard-truncated`, `storage-failed` */
  async read(name: string): Promise<ArrayBuffer> {
    const given = this.#given.get(name);
    if (given !== undefined) return given;
    const shard = this.shards.find((candidate) => candidate.name === name);
    if (shard !== undefined) this.#lastShards = [...this.#lastShards, name].slice(-SUSPECT_SHARDS);
    const blob = await this.#store.readFile(this.#id, shard?.storedName ?? name);
    const options = { nextStep: NEXT_STEP, data: { file: name } };
    if (blob === null) {
      throw new TramontaneError('shard-missing', `${name} is no longer in the weight store.`, options);
    }
    if (shard !== undefined && blob.size !== shard.byteLength) {
      const found = `${name} holds ${blob.size} of ${shard.byteLength} bytes.`;
      throw new TramontaneError('shard-truncated', found, options);
    }
    try {
      const contents = await blob.arrayBuffer();
      this.#readBytes += contents.byteLength;
      return contents;
    } catch (cause) {
      const what = `${name} cannot be read from the disk: ${errorMessage(cause)}`;
      throw new TramontaneError('storage-failed', what, { ...options, cause });
    }
  }

  /**
   * Compares what was read last, and the small files, with the checksums recorded when they were stored, and drops what
   * is damaged.
   * @param error why the load failed
   * @returns what its caller should be told
   * @throws TramontaneError as `dropDamaged`
   */
  async explain(error: TramontaneError): Promise<TramontaneError> {
    if (!SUSPICIOUS.includes(error.code)) return error;
    const model = await this.#store.readModel(this.#id);
    if (model === null) return error;
    const suspects = model.files.filter(({ name }) => this.#lastShards.includes(name));
    const damaged: StoredFile[] = [];
    for (const file of [...model.smallFiles, ...suspects]) {
      if (!(await isIntact(this.#store, this.#id, file))) damaged.push(file);
    }
    if (damaged.length === 0) return error;
    await dropDamaged(this.#store, this.#id, damaged);
    const names = damaged.map(({ name }) => name);
    return new TramontaneError('shard-altered', `${names.join(', ')}: not what was stored here.`, {
      nextStep: NEXT_STEP,
      data: { files: names },
      cause: error,
    });
  }
}
