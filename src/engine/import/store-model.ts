/**
 * Imports a source into the weight store: a shard at a time, each with the pending state that speaks of it, so that an
 * interrupted import goes on with the next shard; then the manifest, which makes the model whole.
 */
import { CONFIG_FILE } from '../../models/model-files.ts';
import { createBlob } from '../../storage/create-blob.ts';
import { withModelLock } from '../../storage/model-lock.ts';
import { requireRoom } from '../../storage/quota.ts';
import {
  type PendingModel,
  type StoredFile,
  type StoredModel,
  storedName,
  sumBytes,
  type WeightStore,
} from '../../storage/weight-store.ts';
import type { Progress } from '../api.ts';
import { obstructedError, readModelFacts } from '../stored-models.ts';
import { type ModelSink, writeModel } from './import-model.ts';
import { type PlannedShard, sourceRanges } from './import-plan.ts';
import type { WeightSource } from './opened-source.ts';
import type { PlannedImport } from './plan-source.ts';

export interface StoreModelOptions {
  contextLength?: number;
  /** Forget what is stored of an interrupted import of something else under this name. */
  restart?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/**
 * @throws TramontaneError `model-busy`, `source-changed` where an import of another source is pending under this name,
 *   `storage-*`; what reading the source throws; `signal.reason` when aborted. What was stored stays.
 */
export async function storeModel(
  store: WeightStore,
  planned: PlannedImport,
  options: StoreModelOptions = {},
): Promise<StoredModel> {
  const { signal } = options;
  return withModelLock(planned.id, { ...(signal && { signal }) }, async () => {
    const { finished, startedAt } = await findFinished(store, planned, options.restart ?? false);
    const missing = planned.plan.shards.filter(({ name }) => !finished.has(name));
    await requireRoom(sumBytes(missing), signal);
    const { id, opened, identity } = planned;
    // Of a source that cannot tell its state nothing would ever be taken from a journal.
    const journal =
      opened.version === null ? undefined : store.openJournal(id, opened.url ?? opened.name, identity);
    const weights = opened.openWeights(journal);
    try {
      weights.expect(missing.flatMap(sourceRanges));
      const sink = new StoreSink(store, planned, weights, [...finished.values()], startedAt);
      await sink.begin();
      await writeModel(planned.opened.prepared, planned.plan, weights, sink, {
        ...(options.contextLength === undefined ? {} : { contextLength: options.contextLength }),
        finished: new Map([...finished.values()].map(({ name, sha256 }) => [name, sha256!])),
        ...(signal && { signal }),
        ...(options.onProgress && { onProgress: options.onProgress }),
      });
      return sink.stored!;
    } finally {
      await weights.close();
    }
  });
}

/** Shards that need not be read, by name: of this import when it was interrupted, or of the model as it is stored. */
async function findFinished(
  store: WeightStore,
  { id, opened, plan, identity }: PlannedImport,
  restart: boolean,
): Promise<{ finished: Map<string, StoredFile>; startedAt: number }> {
  let pending = await store.readPending(id);
  if (pending !== null && pending.identity !== identity) {
    const isSame = pending.source.name === opened.name && pending.source.url === opened.url;
    // A source that never tells whether it has changed cannot be gone on with; there is nothing to decide.
    if (!restart && !(isSame && opened.version === null)) throw obstructedError(pending, opened.name, isSame);
    await store.deletePending(id);
    pending = null;
  }
  const model = await store.readModel(id);
  const lengths = new Map(plan.shards.map(({ name, byteLength }) => [name, byteLength]));
  const finished = new Map<string, StoredFile>();
  for (const file of [...(model?.identity === identity ? model.files : []), ...(pending?.shards ?? [])]) {
    if (file.sha256 === null || lengths.get(file.name) !== file.byteLength) continue;
    const blob = await store.readFile(id, file.storedName);
    if (blob?.size === file.byteLength) finished.set(file.name, file);
  }
  return { finished, startedAt: pending?.startedAt ?? Date.now() };
}

class StoreSink implements ModelSink {
  stored: StoredModel | null = null;
  readonly #store: WeightStore;
  readonly #planned: PlannedImport;
  readonly #weights: WeightSource;
  readonly #startedAt: number;
  #shards: readonly StoredFile[];

  constructor(
    store: WeightStore,
    planned: PlannedImport,
    weights: WeightSource,
    finished: readonly StoredFile[],
    startedAt: number,
  ) {
    this.#store = store;
    this.#planned = planned;
    this.#weights = weights;
    this.#shards = finished;
    this.#startedAt = startedAt;
  }

  /** What comes from the network is journalled before the first shard is whole, and must not be there unannounced. */
  async begin(): Promise<void> {
    if (this.#planned.opened.url !== null) await this.#store.writePending(this.#pending(this.#shards));
  }

  async writeShard(shard: PlannedShard, sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { name, byteLength } = shard;
    const file: StoredFile = { name, storedName: storedName(name, sha256), byteLength, sha256 };
    const shards = [...this.#shards, file];
    await this.#store.writePending(this.#pending(shards), new Map([[file.storedName, createBlob(bytes)]]));
    this.#shards = shards;
    await this.#weights.forgetJournal(sourceRanges(shard));
  }

  async complete(files: ReadonlyMap<string, string>): Promise<void> {
    const { id, identity, plan } = this.#planned;
    const byName = new Map(this.#shards.map((file) => [file.name, file]));
    this.stored = await this.#store.writeModel(
      {
        id,
        source: this.#source(),
        identity,
        facts: readModelFacts(JSON.parse(files.get(CONFIG_FILE)!), { id }),
        files: plan.shards.map(({ name }) => byName.get(name)!),
      },
      new Map([...files].map(([name, text]) => [name, new Blob([text])])),
    );
  }

  #source(): PendingModel['source'] {
    const { name, url } = this.#planned.opened;
    return { kind: 'import', name, url };
  }

  #pending(shards: readonly StoredFile[]): PendingModel {
    const { id, identity, opened, plan } = this.#planned;
    const done = new Set(shards.map(({ name }) => name));
    return {
      version: 1,
      id,
      name: opened.prepared.origin.name,
      source: this.#source(),
      identity,
      shards,
      doneBytes: plan.shards.reduce(
        (sum, shard) => sum + (done.has(shard.name) ? shard.sourceByteLength : 0),
        0,
      ),
      totalBytes: plan.sourceByteLength,
      startedAt: this.#startedAt,
      updatedAt: Date.now(),
    };
  }
}
