/**
 * Brings a model's files into the weight store: compares what is stored with what the model's folder lists, downloads
 * what differs, and makes the model whole. Without a network, or without a folder, a model that is stored whole is used
 * as it is.
 *
 * A shard is stored under its name and hash, and what has come of one is journalled. So an interrupted download goes on
 * at the byte, and a new build of a model does not touch the files of the old one before it is there whole.
 */
import { isTramontaneError, TramontaneError } from '../base/errors.ts';
import { ProgressMeter } from '../base/progress-meter.ts';
import { sha256Hex } from '../base/sha256.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../models/model-files.ts';
import { createBlob } from '../storage/create-blob.ts';
import { withModelLock } from '../storage/model-lock.ts';
import { requireRoom } from '../storage/quota.ts';
import {
  lastSegment,
  type NewModel,
  type PendingModel,
  type StoredFile,
  type StoredModel,
  sumBytes,
  type WeightStore,
} from '../storage/weight-store.ts';
import type { ModelSource, Progress } from './api.ts';
import { downloadShard, type ListedShard, type ShardDownloadOptions } from './download/shard-download.ts';
import { fetchSmallFiles } from './download/small-files.ts';
import { remoteTextFolder, type TextFolder } from './import/folder-text.ts';
import type { PromptFiles } from './import/prebuilt-prompts.ts';
import { ModelReader } from './model-reader.ts';
import { describeLibrary, LIBRARY_FILE } from './prebuilt-library.ts';
import { listMd5Sums, listShards, parseJson } from './shard-list.ts';
import { obstructedError, readModelFacts } from './stored-models.ts';

export interface FetchedModel {
  config: unknown;
  tensorCache: unknown;
  /** Shards in their order. */
  shards: readonly StoredFile[];
  /** Bytes of the small files, of the build that the shards are of: another tab may replace those in the store. */
  smallFiles: ReadonlyMap<string, ArrayBuffer>;
}

/** The small files of a model, as parsed JSON; the tokenizer as text. */
export interface ModelDescriptionFiles extends PromptFiles {
  tensorCache: unknown;
  /** Null where it will be generated. */
  library: ArrayBuffer | null;
}

export interface FetchModelOptions
  extends Pick<ShardDownloadOptions, 'signal' | 'clock' | 'stallMs' | 'journalBytes'> {
  store: WeightStore;
  /** Resolves relative URLs. */
  baseUrl: string;
  /** Phase `download`; bytes of the model's shards that are here. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Changes configuration and tokenizer before they are looked at and, where they come from a folder, stored.
   * @param folder null where they come from the store
   */
  configure?: (files: PromptFiles, folder: TextFolder | null) => Promise<PromptFiles>;
  /** Called before any shard is looked at or downloaded; what it throws ends the call. */
  check?: (description: ModelDescriptionFiles) => void;
  /** Fail where the folder cannot be reached, though the model is stored: what is asked for may be another build of it. */
  requireFolder?: boolean;
  /** False: `model-busy` where another tab is storing this model, instead of waiting for it. */
  wait?: boolean;
  /** Forget an interrupted import of a file under this id. False: `source-changed` where there is one. */
  restart?: boolean | undefined;
}

type SmallFiles = FetchedModel['smallFiles'];

const PARALLEL_DOWNLOADS = 4;
/** Bounds the shards that are in memory at once. */
const WINDOW_BYTES = 128 << 20;
/** How often a tab that waits for another looks how far that one is. */
const WATCH_MS = 1000;
/** Where a model is stored, its folder may take as long as this to answer before it counts as out of reach. */
const PATIENCE_MS = 10_000;

/**
 * @throws TramontaneError `download-failed`, `shard-missing`, `shard-truncated`, `shard-altered`, `config-invalid`,
 * `storage-quota`, `storage-failed`, `model-busy`, `model-unknown`, `source-changed`; `signal.reason`. What was stored before stays.
 */
export async function fetchModel(source: ModelSource, options: FetchModelOptions): Promise<FetchedModel> {
  const { signal } = options;
  const folder = source.url === undefined ? null : folderUrl(source.url, options.baseUrl);
  const description = folder && (await readRemote(source, folder, options));
  if (folder === null || description === null) return await readStored(source, folder !== null, options);
  const { smallFiles, ...files } = description;
  const { config, tensorCache, library } = files;
  options.check?.(files);
  const shards = listShards(tensorCache);
  const model: NewModel = {
    id: source.id,
    source: { kind: 'site', name: lastSegment(folder.href), url: folder.href },
    identity: null,
    facts: { ...readModelFacts(config, source), library: library && describeLibrary(library) },
    files: shards,
  };
  await ensureStored(model, folder, smallFiles, options);
  signal?.throwIfAborted();
  return { config, tensorCache, shards, smallFiles };
}

/** A model as it is stored: it has no folder, or that one is out of reach. */
async function readStored(
  { id, modelLibUrl }: ModelSource,
  hasFolder: boolean,
  options: FetchModelOptions,
): Promise<FetchedModel> {
  const { store, signal } = options;
  if ((await store.readModel(id)) === null) {
    throw new TramontaneError('model-unknown', `${id} is not stored here.`, {
      nextStep: 'Import the model again.',
      data: { model: id },
    });
  }
  const reader = new ModelReader(store, id);
  try {
    const contents = new Map<string, ArrayBuffer>();
    for (const name of namesOfSmallFiles(modelLibUrl)) contents.set(name, await reader.read(name));
    const { smallFiles, ...files } = await describe(contents, null, options);
    options.check?.(files);
    const { config, tensorCache } = files;
    const shards = listShards(tensorCache);
    await requireStored(store, id, shards, hasFolder);
    signal?.throwIfAborted();
    return { config, tensorCache, shards, smallFiles };
  } catch (error) {
    // What makes no sense may be a file that the disk has damaged.
    throw isTramontaneError(error) ? await reader.explain(error) : error;
  }
}

function toBytes(text: string): ArrayBuffer {
  return new TextEncoder().encode(text).buffer;
}

/** A model that was stored with a library of its own is run by it, though nobody says so. */
export async function withStoredLibrary(store: WeightStore, source: ModelSource): Promise<ModelSource> {
  if (source.url !== undefined || source.modelLibUrl !== undefined) return source;
  const model = await store.readModel(source.id);
  const hasLibrary = model?.smallFiles.some(({ name }) => name === LIBRARY_FILE) ?? false;
  return hasLibrary ? { ...source, modelLibUrl: LIBRARY_FILE } : source;
}

function folderUrl(url: string, baseUrl: string): URL {
  return new URL(url.endsWith('/') ? url : `${url}/`, baseUrl);
}

function namesOfSmallFiles(modelLibUrl: string | undefined): string[] {
  const names = [CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE];
  return modelLibUrl === undefined ? names : [...names, LIBRARY_FILE];
}

interface Description extends ModelDescriptionFiles {
  /** By name, as they are to be stored. */
  smallFiles: Map<string, ArrayBuffer>;
}

/** The small files of a folder, which may have changed; null where it cannot be reached, and the model is stored. */
async function readRemote(
  source: ModelSource,
  folder: URL,
  options: FetchModelOptions,
): Promise<Description | null> {
  const { store, baseUrl, clock, signal, stallMs } = options;
  const { id, modelLibUrl } = source;
  const names = namesOfSmallFiles(modelLibUrl);
  const present = new Set(await store.listFiles(id));
  const isDispensable =
    options.requireFolder !== true &&
    (await store.readModel(id)) !== null &&
    names.every((name) => present.has(name));
  const patience = isDispensable ? { attempts: 1, stallMs: stallMs ?? PATIENCE_MS } : { stallMs };
  const download = { clock, signal, ...patience };
  const urlOf = (name: string) =>
    name === LIBRARY_FILE ? new URL(modelLibUrl!, baseUrl) : new URL(name, folder);
  const urls = new Map(names.map((name) => [name, urlOf(name).href]));
  try {
    const contents = await fetchSmallFiles(urls, download);
    return await describe(contents, remoteTextFolder(folder.href, id, download), options);
  } catch (error) {
    if (isDispensable && isTramontaneError(error) && error.code === 'download-failed') return null;
    throw error;
  }
}

/** @param texts where the files are from; null for the store */
async function describe(
  smallFiles: Map<string, ArrayBuffer>,
  texts: TextFolder | null,
  { configure }: FetchModelOptions,
): Promise<Description> {
  const given: PromptFiles = {
    config: parseJson(smallFiles, CONFIG_FILE),
    tokenizer: new TextDecoder().decode(smallFiles.get(TOKENIZER_FILE)),
  };
  const { config, tokenizer } = (await configure?.(given, texts)) ?? given;
  if (config !== given.config) smallFiles.set(CONFIG_FILE, toBytes(JSON.stringify(config)));
  if (tokenizer !== given.tokenizer) smallFiles.set(TOKENIZER_FILE, toBytes(tokenizer));
  const tensorCache = parseJson(smallFiles, TENSOR_CACHE_FILE);
  return { config, tokenizer, tensorCache, library: smallFiles.get(LIBRARY_FILE) ?? null, smallFiles };
}

async function requireStored(
  store: WeightStore,
  modelId: string,
  shards: readonly StoredFile[],
  hasFolder: boolean,
): Promise<void> {
  const missing = await findMissing(store, modelId, shards);
  if (missing.length === 0) return;
  throw new TramontaneError(
    'shard-missing',
    `${missing.length} of ${shards.length} weight files are not stored here.`,
    {
      nextStep: hasFolder
        ? 'Connect to the network and load the model again; what is stored is kept.'
        : 'Import the model again; what is stored is kept.',
      data: { missing: missing.map((shard) => shard.name) },
    },
  );
}

/** Shards that are not stored, or not in their full length. */
async function findMissing(
  store: WeightStore,
  modelId: string,
  shards: readonly StoredFile[],
): Promise<StoredFile[]> {
  const missing: StoredFile[] = [];
  for (const shard of shards) {
    const blob = await store.readFile(modelId, shard.storedName);
    if (blob?.size !== shard.byteLength) missing.push(shard);
  }
  return missing;
}

/** Makes a model whole, unless it is. Where another tab is doing so, it is whole when the lock is ours. */
async function ensureStored(
  model: NewModel,
  folder: URL,
  smallFiles: SmallFiles,
  options: FetchModelOptions,
): Promise<void> {
  const { store, signal, wait = true } = options;
  const isStored = async () =>
    (await isSameModel(await store.readModel(model.id), model, smallFiles)) &&
    (await findMissing(store, model.id, model.files)).length === 0;
  if (await isStored()) return;
  const stopWatching = wait ? watchOther(model.id, options) : () => {};
  try {
    await withModelLock(model.id, { wait, ...(signal && { signal }) }, async () => {
      stopWatching();
      if (!(await isStored())) await storeModel(model, folder, smallFiles, options);
    });
  } finally {
    stopWatching();
  }
}

/** True if the manifest says all that the new one would. */
async function isSameModel(
  stored: StoredModel | null,
  model: NewModel,
  smallFiles: SmallFiles,
): Promise<boolean> {
  if (stored === null || stored.source.url !== model.source.url) return false;
  const names = (files: readonly StoredFile[]) => files.map((file) => file.storedName).join('/');
  if (names(stored.files) !== names(model.files) || stored.smallFiles.length !== smallFiles.size)
    return false;
  for (const { name, sha256 } of stored.smallFiles) {
    const contents = smallFiles.get(name);
    if (contents === undefined || (await sha256Hex(contents)) !== sha256) return false;
  }
  return true;
}

/** Reports how far another tab is, until the returned function is called. */
function watchOther(modelId: string, { store, onProgress }: FetchModelOptions): () => void {
  let meter: ProgressMeter | null = null;
  let done = 0;
  const look = async () => {
    const pending = await store.readPending(modelId);
    if (pending === null) return;
    const bytes = Math.min(pending.totalBytes, pending.doneBytes + (await store.countJournalled(modelId)));
    meter ??= new ProgressMeter(pending.totalBytes, bytes);
    onProgress?.({ phase: 'download', ...meter.add(done === 0 ? 0 : bytes - done) });
    done = bytes;
  };
  // What cannot be read now will fail, in words, when this tab's turn has come.
  const timer = setInterval(() => void look().catch(() => clearInterval(timer)), WATCH_MS);
  return () => clearInterval(timer);
}

/** Downloads what is missing and writes the manifest. The caller is the model's only writer. */
async function storeModel(
  model: NewModel,
  folder: URL,
  smallFiles: SmallFiles,
  options: FetchModelOptions,
): Promise<void> {
  const { store } = options;
  const { id, source, identity } = model;
  let before = await store.readPending(id);
  // Shards that are named by their contents are of use to whoever lists them; those of an import are not.
  if (before !== null && before.identity !== identity) {
    if (options.restart !== true) throw obstructedError(before, source.name, false);
    await store.deletePending(id);
    before = null;
  }
  const missing = await findMissing(store, id, model.files);
  // The checksums of shards whose source gives none were computed when they were stored.
  const known = [...((await store.readModel(id))?.files ?? []), ...(before?.shards ?? [])];
  const stored = new Map<string, StoredFile>();
  for (const file of model.files) {
    if (missing.includes(file)) continue;
    stored.set(file.storedName, known.find(({ storedName }) => storedName === file.storedName) ?? file);
  }
  if (missing.length > 0) {
    await requireRoom(sumBytes(missing) - (await store.countJournalled(id)), options.signal);
    const describe = (): PendingModel => ({
      version: 1,
      id,
      name: model.facts?.name ?? id,
      source,
      identity,
      shards: [...stored.values()],
      doneBytes: sumBytes([...stored.values()]),
      totalBytes: sumBytes(model.files),
      startedAt: before?.startedAt ?? Date.now(),
      updatedAt: Date.now(),
    });
    await store.writePending(describe());
    // One after the other, so that no pending state overtakes a later one.
    let writing = Promise.resolve();
    const md5Sums = listMd5Sums(parseJson(smallFiles, TENSOR_CACHE_FILE));
    const toFetch = missing.map((shard) => ({ ...shard, md5: md5Sums.get(shard.name) ?? null }));
    await downloadShards(model, folder, toFetch, options, async ({ md5: _, ...shard }, bytes) => {
      const sha256 = shard.sha256 ?? (await sha256Hex(bytes));
      writing = writing.then(async () => {
        stored.set(shard.storedName, { ...shard, sha256 });
        await store.writePending(describe(), new Map([[shard.storedName, createBlob(bytes)]]));
      });
      await writing;
    });
  }
  const files = model.files.map((file) => stored.get(file.storedName) ?? file);
  const blobs = new Map(Array.from(smallFiles, ([name, bytes]) => [name, new Blob([bytes])]));
  await store.writeModel({ ...model, files }, blobs);
}

async function downloadShards(
  { id, files }: NewModel,
  folder: URL,
  missing: readonly ListedShard[],
  { store, signal, onProgress, clock, stallMs, journalBytes }: FetchModelOptions,
  onShard: (shard: ListedShard, bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const totalBytes = sumBytes(files);
  const meter = new ProgressMeter(totalBytes, totalBytes - sumBytes(missing));
  const onBytes = (byteLength: number) => onProgress?.({ phase: 'download', ...meter.add(byteLength) });
  onBytes(0);
  // One failed download stops the others.
  const failure = new AbortController();
  const signals = [failure.signal, signal].filter((each) => each !== undefined);
  const shardOptions: ShardDownloadOptions = {
    ...{ store, modelId: id, onBytes, clock, stallMs, journalBytes },
    signal: AbortSignal.any(signals),
  };
  const queue = [...missing];
  const work = async () => {
    for (let shard = queue.shift(); shard !== undefined; shard = queue.shift()) {
      const bytes = await downloadShard(new URL(shard.name, folder).href, shard, shardOptions);
      await onShard(shard, bytes);
    }
  };
  const largest = Math.max(...missing.map((shard) => shard.byteLength));
  const count = Math.max(1, Math.min(PARALLEL_DOWNLOADS, Math.floor(WINDOW_BYTES / largest)));
  const workers = Array.from({ length: count }, () =>
    work().catch((error) => {
      failure.abort(error);
      throw error;
    }),
  );
  const results = await Promise.allSettled(workers);
  signal?.throwIfAborted();
  if (results.some((result) => result.status === 'rejected')) throw failure.signal.reason;
}
