import { TramontaneError } from '../base/errors.ts';
import { ProgressMeter } from '../base/progress-meter.ts';
import { sha256Hex } from '../base/sha256.ts';
import { withModelFiles } from '../storage/model-lock.ts';
import { sumBytes, type WeightStore } from '../storage/weight-store.ts';
import type { LoadCallOptions, VerifyReport } from './api.ts';

/**
 * Reads a stored model, a file at a time, and compares it with the checksums recorded when it was stored. A file without
 * one, from the store's version 1, is compared by its length.
 * @throws TramontaneError `model-unknown`, `storage-failed`; `signal.reason` when aborted
 */
export async function verifyModel(
  store: WeightStore,
  id: string,
  { signal, onProgress }: LoadCallOptions = {},
): Promise<VerifyReport> {
  return withModelFiles(id, signal, async () => {
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
    const damaged: string[] = [];
    for (const file of files) {
      signal?.throwIfAborted();
      const blob = await store.readFile(id, file.storedName);
      const isWhole =
        blob?.size === file.byteLength &&
        (file.sha256 === null || (await sha256Hex(await blob.arrayBuffer())) === file.sha256);
      if (!isWhole) damaged.push(file.name);
      onProgress?.({ phase: 'read', ...meter.add(file.byteLength) });
    }
    return { files: files.length, byteLength, damaged };
  });
}
