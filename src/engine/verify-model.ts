import { isTramontaneError, TramontaneError } from '../base/errors.ts';
import { ProgressMeter } from '../base/progress-meter.ts';
import { sha256Hex } from '../base/sha256.ts';
import { withModelFiles, withModelLock } from '../storage/model-lock.ts';
import { type StoredFile, sumBytes, type WeightStore } from '../storage/weight-store.ts';
import type { LoadCallOptions, VerifyReport } from './api.ts';

/**
 * Reads a stored model, a file at a time, and compares it with the checksums recorded when it was stored. A file without
 * one, from the store's version 1, is compared by its length. What is damaged is dropped: the model then is pending,
 * and loading or importing it again fetches these files only.
 * @throws TramontaneError `model-unknown`, `storage-failed`, as {@link dropDamaged}; `signal.reason` when aborted
 */
export async function verifyModel(
  store: WeightStore,
  id: string,
  { signal, onProgress }: LoadCallOptions = {},
): Promise<VerifyReport> {
  const report = await withModelFiles(id, signal, async () => {
    const model = await store.readModel(id);
    if (model === null) {
      throw new TramontaneError('model-unknown', `${id} is not stored here.`, {
        nextStep: 'Import the model, or finish its import, first.',
        data: { model: id },
      });
    }
    const files = [...model.smallFiles, ...model.files];
    const byteLength = sumBytes(files);
    const meter = new ProgressMeter(byteLength);
    const damaged: StoredFile[] = [];
    for (const file of files) {
      signal?.throwIfAborted();
      if (!(await isIntact(store, id, file))) damaged.push(file);
      onProgress?.({ phase: 'read', ...meter.add(file.byteLength) });
    }
    return { files: files.length, byteLength, damaged };
  });
  await dropDamaged(store, id, report.damaged);
  return { ...report, damaged: report.damaged.map(({ name }) => name) };
}

/** Reads a file whole, and compares it with what was stored. Once more where it differs: a read may fail by chance. */
export async function isIntact(store: WeightStore, id: string, file: StoredFile): Promise<boolean> {
  return (await isReadIntact(store, id, file)) || (await isReadIntact(store, id, file));
}

async function isReadIntact(store: WeightStore, id: string, file: StoredFile): Promise<boolean> {
  const blob = await store.readFile(id, file.storedName);
  if (blob?.size !== file.byteLength) return false;
  let bytes: ArrayBuffer;
  try {
    bytes = await blob.arrayBuffer();
  } catch (error) {
    // What the browser cannot read from the disk.
    if (error instanceof DOMException) return false;
    throw error;
  }
  return file.sha256 === null || (await sha256Hex(bytes)) === file.sha256;
}

/**
 * Takes damaged files from a model, unless another tab is storing it anew.
 * @throws TramontaneError `shard-altered` where the state of an interrupted import under this name would be lost
 */
export async function dropDamaged(
  store: WeightStore,
  id: string,
  damaged: readonly StoredFile[],
): Promise<void> {
  if (damaged.length === 0) return;
  const storedNames = damaged.map(({ storedName }) => storedName);
  let isDropped = true;
  try {
    isDropped = await withModelLock(id, {}, () => store.dropFiles(id, storedNames));
  } catch (error) {
    if (!isTramontaneError(error) || error.code !== 'model-busy') throw error;
  }
  if (isDropped) return;
  const names = damaged.map(({ name }) => name);
  throw new TramontaneError('shard-altered', `${names.join(', ')}: not what was stored here.`, {
    nextStep:
      'Something else is being imported under this name: finish that import, which replaces the model, or discard ' +
      'it and verify the model again.',
    data: { files: names },
  });
}
