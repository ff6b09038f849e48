/**
 * Brings a model's files into the weight store: compares what is stored with what the model's folder lists, downloads
 * what differs, checks length and SHA-256 of each shard before it is stored. Without a network a model that is stored
 * whole is used as it is.
 *
 * A shard is stored under its name and hash. So an interrupted download goes on where it ended, and a new build of a
 * model does not touch the files of the old one before it is there whole.
 */
import { delay } from '../base/abort.ts';
import { errorMessage, isAbortError, isTramontaneError, TramontaneError } from '../base/errors.ts';
import { ProgressMeter } from '../base/progress-meter.ts';
import { sha256Hex } from '../base/sha256.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../models/model-files.ts';
import { withModelLock } from '../storage/model-lock.ts';
import { estimateStorage } from '../storage/quota.ts';
import {
  lastSegment,
  type NewModel,
  type PendingModel,
  type StoredFile,
  type StoredModel,
  storedName,
  sumBytes,
  type WeightStore,
} from '../storage/weight-store.ts';
import type { ModelSource, Progress } from './api.ts';
import { readModelFacts } from './stored-models.ts';

/** Name under which a prebuilt model library lies beside the weights. */
export const LIBRARY_FILE = 'model-library.wasm';

export interface FetchedModel {
  config: unknown;
  tensorCache: unknown;
  /** Shards in their order. */
  shards: readonly StoredFile[];
}

/** The small files of a model, as parsed JSON; the tokenizer as text. */
export interface ModelDescriptionFiles {
  config: unknown;
  tensorCache: unknown;
  tokenizer: string;
}

export interface FetchModelOptions {
  store: WeightStore;
  /** Resolves relative URLs. */
  baseUrl: string;
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Called before any shard is looked at or downloaded; what it throws ends the call. */
  check?: (description: ModelDescriptionFiles) => void;
  /** Wait before the second attempt at a shard; doubled for each one after it. Default 500. */
  firstRetryMs?: number;
}

const ATTEMPTS = 4;
const FIRST_RETRY_MS = 500;
const PARALLEL_DOWNLOADS = 3;

/**
 * @throws TramontaneError `download-failed`, `shard-missing`, `shard-truncated`, `shard-altered`, `config-invalid`,
 * `storage-quota`, `storage-failed`. What was stored before stays.
 */
export async function fetchModel(source: ModelSource, options: FetchModelOptions): Promise<FetchedModel> {
  const { store, signal } = options;
  const folder = source.url === undefined ? null : folderUrl(source.url, options.baseUrl);
  const description = await readDescription(source, folder, options);
  const config = await parseJson(description.files, CONFIG_FILE);
  const tensorCache = await parseJson(description.files, TENSOR_CACHE_FILE);
  const tokenizer = (await description.files.get(TOKENIZER_FILE)?.text()) ?? '';
  options.check?.({ config, tensorCache, tokenizer });
  const listed = listShards(tensorCache);
  const done = (shards: readonly StoredFile[]) => ({ config, tensorCache, shards });

  if (folder === null || description.offline) {
    const missing = await findMissing(store, source.id, listed);
    if (missing.length === 0) return done(listed);
    throw new TramontaneError(
      'shard-missing',
      `${missing.length} of ${listed.length} weight files are not stored here.`,
      {
        nextStep:
          folder === null
            ? 'Import the model again; what is stored is kept.'
            : 'Connect to the network and load the model again; what is stored is kept.',
        data: { missing: missing.map((shard) => shard.name) },
      },
    );
  }
  const model: NewModel = {
    id: source.id,
    source: { kind: 'site', name: lastSegment(folder.href), url: folder.href },
    identity: null,
    facts: readModelFacts(config, source),
    files: listed,
  };
  const isCurrent = async () =>
    (await isSameModel(await store.readModel(source.id), model, description.files)) &&
    (await findMissing(store, source.id, listed)).length === 0;
  if (!(await isCurrent())) {
    // Where another tab is storing this model, it is whole when the lock is ours.
    await withModelLock(source.id, { wait: true, ...(signal && { signal }) }, async () => {
      if (!(await isCurrent())) await storeModel(model, folder, description.files, options);
    });
  }
  signal?.throwIfAborted();
  return done(listed);
}

function folderUrl(url: string, baseUrl: string): URL {
  return new URL(url.endsWith('/') ? url : `${url}/`, baseUrl);
}

/** True if the manifest says all that the new one would. */
async function isSameModel(
  stored: StoredModel | null,
  model: NewModel,
  smallFiles: ReadonlyMap<string, Blob>,
): Promise<boolean> {
  if (stored === null || stored.source.url !== model.source.url) return false;
  const names = (files: readonly StoredFile[]) => files.map((file) => file.storedName).join('/');
  if (names(stored.files) !== names(model.files) || stored.smallFiles.length !== smallFiles.size)
    return false;
  for (const { name, sha256 } of stored.smallFiles) {
    const contents = await smallFiles.get(name)?.arrayBuffer();
    if (contents === undefined || (await sha256Hex(contents)) !== sha256) return false;
  }
  return true;
}

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

/** Downloads what is missing and makes the model whole. The caller is its only writer. */
async function storeModel(
  model: NewModel,
  folder: URL,
  smallFiles: ReadonlyMap<string, Blob>,
  options: FetchModelOptions,
): Promise<void> {
  const { store } = options;
  const { id, source, identity } = model;
  const missing = new Set(await findMissing(store, id, model.files));
  // The checksums of shards whose source gives none were computed when they were stored.
  const known = new Map(
    [...((await store.readModel(id))?.files ?? []), ...((await store.readPending(id))?.shards ?? [])].map(
      (file) => [file.storedName, file],
    ),
  );
  const shards = new Map(
    model.files
      .filter((file) => !missing.has(file))
      .map((file) => [file.storedName, known.get(file.storedName) ?? file]),
  );
  const totalBytes = sumBytes(model.files);
  const startedAt = Date.now();
  const pending = (): PendingModel => ({
    version: 1,
    id,
    name: model.facts?.name ?? id,
    source,
    identity,
    shards: [...shards.values()],
    doneBytes: sumBytes([...shards.values()]),
    totalBytes,
    startedAt,
    updatedAt: Date.now(),
  });
  if (missing.size > 0) {
    await requireRoom([...missing]);
    await store.writePending(pending());
    await downloadShards(folder, [...missing], totalBytes, options, async (shard, bytes) => {
      const sha256 = shard.sha256 ?? (await sha256Hex(bytes));
      shards.set(shard.storedName, { ...shard, sha256 });
      await store.writePending(pending(), new Map([[shard.storedName, new Blob([bytes])]]));
    });
  }
  const files = model.files.map((file) => shards.get(file.storedName) ?? file);
  await store.writeModel({ ...model, files }, smallFiles);
}

interface Description {
  files: ReadonlyMap<string, Blob>;
  /** True if the files come from the store because the model's folder could not be reached. */
  offline: boolean;
}

/** The small files: from the folder, which may have changed; from the store where it cannot be reached. */
async function readDescription(
  source: ModelSource,
  folder: URL | null,
  options: FetchModelOptions,
): Promise<Description> {
  const stored = await options.store.readModel(source.id);
  const names = [CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE];
  const urls = names.map((name) => [name, new URL(name, folder ?? options.baseUrl)] as const);
  if (source.modelLibUrl !== undefined) {
    names.push(LIBRARY_FILE);
    urls.push([LIBRARY_FILE, new URL(source.modelLibUrl, options.baseUrl)]);
  }
  if (folder === null) {
    const files = stored === null ? null : await readSmallFiles(options.store, source.id, names);
    if (files !== null) return { files, offline: true };
    throw new TramontaneError('model-unknown', `${source.id} is not stored here.`, {
      nextStep: 'Import the model again.',
      data: { model: source.id },
    });
  }
  try {
    const files = await Promise.all(
      urls.map(async ([name, url]): Promise<[string, Blob]> => {
        const response = await fetchFile(url, options.signal, { cache: 'no-cache' });
        return [name, await readNetwork(url, options.signal, () => response.blob())];
      }),
    );
    return { files: new Map(files), offline: false };
  } catch (error) {
    if (stored === null || !isTramontaneError(error)) throw error;
    const files = await readSmallFiles(options.store, source.id, names);
    if (files === null) throw error;
    return { files, offline: true };
  }
}

/** @returns null where one is not there. */
async function readSmallFiles(
  store: WeightStore,
  modelId: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, Blob> | null> {
  const files = new Map<string, Blob>();
  for (const name of names) {
    const blob = await store.readFile(modelId, name);
    if (blob === null) return null;
    files.set(name, blob);
  }
  return files;
}

async function downloadShards(
  folder: URL,
  missing: readonly StoredFile[],
  total: number,
  options: FetchModelOptions,
  onShard: (shard: StoredFile, bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const meter = new ProgressMeter(total, total - sumBytes(missing));
  const report = (byteLength: number) =>
    options.onProgress?.({ phase: 'download', ...meter.add(byteLength) });
  report(0);
  // One failed download stops the others.
  const failure = new AbortController();
  const signal =
    options.signal === undefined ? failure.signal : AbortSignal.any([options.signal, failure.signal]);
  const queue = [...missing];
  const work = async () => {
    for (let shard = queue.shift(); shard !== undefined; shard = queue.shift()) {
      const firstRetryMs = options.firstRetryMs ?? FIRST_RETRY_MS;
      const bytes = await downloadShard(new URL(shard.name, folder), shard, signal, report, firstRetryMs);
      await onShard(shard, bytes);
    }
  };
  const workers = Array.from({ length: PARALLEL_DOWNLOADS }, () =>
    work().catch((error) => {
      failure.abort(error);
      throw error;
    }),
  );
  const results = await Promise.allSettled(workers);
  options.signal?.throwIfAborted();
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failure.signal.reason;
}

async function downloadShard(
  url: URL,
  shard: StoredFile,
  signal: AbortSignal,
  report: (byteLength: number) => void,
  firstRetryMs: number,
): Promise<Uint8Array<ArrayBuffer>> {
  for (let attempt = 1; ; attempt++) {
    let received = 0;
    try {
      // A second attempt must not be answered from an HTTP cache that holds the bad bytes.
      const response = await fetchFile(
        url,
        signal,
        attempt === 1 ? {} : { cache: 'reload' },
        'shard-missing',
      );
      const bytes = new Uint8Array(shard.byteLength);
      const reader = response.body?.getReader();
      const read = () => readNetwork(url, signal, async () => reader?.read());
      for (let chunk = await read(); chunk !== undefined && !chunk.done; chunk = await read()) {
        if (received + chunk.value.byteLength > shard.byteLength) {
          await reader?.cancel();
          throw alteredError(shard, `is longer than the ${shard.byteLength} bytes it should have`);
        }
        bytes.set(chunk.value, received);
        received += chunk.value.byteLength;
        report(chunk.value.byteLength);
      }
      if (received < shard.byteLength) {
        throw new TramontaneError(
          'shard-truncated',
          `${shard.name} ended after ${received} of ${shard.byteLength} bytes.`,
          {
            nextStep: 'Load the model again; complete files are kept.',
            data: { file: shard.name, received },
          },
        );
      }
      if (shard.sha256 !== null && (await sha256Hex(bytes)) !== shard.sha256) {
        throw alteredError(shard, 'does not have the SHA-256 that the model lists');
      }
      return bytes;
    } catch (error) {
      report(-received);
      signal.throwIfAborted();
      const final = isTramontaneError(error) && error.code === 'shard-missing';
      if (attempt === ATTEMPTS || final) throw error;
      const backoff = firstRetryMs * 2 ** (attempt - 1);
      await delay(backoff * (0.5 + Math.random()), signal);
    }
  }
}

function alteredError(shard: StoredFile, what: string): TramontaneError {
  return new TramontaneError('shard-altered', `${shard.name} ${what}.`, {
    nextStep: 'Load the model again. If it persists, the files on the server do not belong together.',
    data: { file: shard.name },
  });
}

/** Does what reaches for the network; a failure that is no abort is `download-failed`. */
async function readNetwork<T>(
  url: URL,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (signal?.aborted || isAbortError(error)) throw error;
    throw new TramontaneError('download-failed', `Cannot reach ${url.href}: ${errorMessage(error)}`, {
      nextStep: 'Check the network connection and load the model again; what is stored is kept.',
      data: { url: url.href },
      cause: error,
    });
  }
}

async function fetchFile(
  url: URL,
  signal: AbortSignal | undefined,
  init: RequestInit,
  missingCode: 'download-failed' | 'shard-missing' = 'download-failed',
): Promise<Response> {
  const response = await readNetwork(url, signal, () =>
    fetch(url, { ...init, ...(signal === undefined ? {} : { signal }) }),
  );
  if (!response.ok) {
    const code = response.status === 404 || response.status === 410 ? missingCode : 'download-failed';
    throw new TramontaneError(code, `${url.href} answered ${response.status} ${response.statusText}.`, {
      nextStep: 'Check the address of the model, and load it again.',
      data: { url: url.href, status: response.status },
    });
  }
  return response;
}

/** @throws TramontaneError `storage-quota` where the browser has no room for as many bytes */
export async function requireRoom(missing: readonly { byteLength: number }[]): Promise<void> {
  const needed = sumBytes(missing);
  const estimate = await estimateStorage();
  if (estimate !== null && estimate.quotaBytes - estimate.usedBytes < needed) {
    const free = Math.max(0, estimate.quotaBytes - estimate.usedBytes);
    throw new TramontaneError(
      'storage-quota',
      `The model needs ${needed} bytes; the browser has room for ${free}.`,
      {
        nextStep: 'Free disk space, or delete a stored model.',
        data: { needed, free },
      },
    );
  }
}

/** The shard list of a tensor-cache.json, ours or MLC's. @throws TramontaneError `config-invalid` */
function listShards(tensorCache: unknown): StoredFile[] {
  const records = (tensorCache as { records?: unknown } | null)?.records;
  if (!Array.isArray(records) || records.length === 0) throw invalid('records', 'a list of shards', records);
  return records.map(
    (record: { dataPath?: unknown; nbytes?: unknown; sha256?: unknown; md5sum?: unknown } | null, i) => {
      const { dataPath, nbytes, sha256, md5sum } = record ?? {};
      if (typeof dataPath !== 'string' || !/^[\w.-]+$/.test(dataPath)) {
        throw invalid(`records[${i}].dataPath`, 'a plain file name', dataPath);
      }
      if (!Number.isSafeInteger(nbytes) || (nbytes as number) <= 0) {
        throw invalid(`records[${i}].nbytes`, 'a positive number of bytes', nbytes);
      }
      if (sha256 !== undefined && (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))) {
        throw invalid(`records[${i}].sha256`, '64 hex digits', sha256);
      }
      return {
        name: dataPath,
        byteLength: nbytes as number,
        storedName: storedName(dataPath, sha256 ?? (typeof md5sum === 'string' ? md5sum : null)),
        sha256: sha256 ?? null,
      };
    },
  );
}

function invalid(field: string, expected: string, found: unknown): TramontaneError {
  return new TramontaneError(
    'config-invalid',
    `${TENSOR_CACHE_FILE}: ${field} should be ${expected}, found ${JSON.stringify(found) ?? 'nothing'}.`,
    { nextStep: 'Import the model again.', data: { file: TENSOR_CACHE_FILE, field } },
  );
}

async function parseJson(files: ReadonlyMap<string, Blob>, file: string): Promise<unknown> {
  try {
    return JSON.parse((await files.get(file)?.text()) ?? '');
  } catch (error) {
    throw new TramontaneError('config-invalid', `${file} is not JSON: ${errorMessage(error)}`, {
      nextStep: 'Check the address of the model, or import it again.',
      data: { file },
      cause: error,
    });
  }
}
