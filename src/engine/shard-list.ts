/** Reads the small files of a model's folder as far as storing it needs: that they are JSON, and which shards there are. */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { TENSOR_CACHE_FILE } from '../models/model-files.ts';
import { type StoredFile, storedName } from '../storage/weight-store.ts';

/** The shards that a tensor-cache.json lists, ours or MLC's, in order. @throws TramontaneError `config-invalid` */
export function listShards(tensorCache: unknown): StoredFile[] {
  const records = (tensorCache as { records?: unknown } | null)?.records;
  if (!Array.isArray(records) || records.length === 0) throw invalid('records', 'a list of shards', records);
  const names = new Set<unknown>();
  return records.map(
    (record: { dataPath?: unknown; nbytes?: unknown; sha256?: unknown; md5sum?: unknown } | null, i) => {
      const { dataPath, nbytes, sha256, md5sum } = record ?? {};
      if (typeof dataPath !== 'string' || !/^[\w.-]+$/.test(dataPath) || names.has(dataPath)) {
        throw invalid(`records[${i}].dataPath`, 'a plain file name that occurs once', dataPath);
      }
      names.add(dataPath);
      if (!Number.isSafeInteger(nbytes) || (nbytes as number) <= 0) {
        throw invalid(`records[${i}].nbytes`, 'a positive number of bytes', nbytes);
      }
      if (sha256 !== undefined && (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))) {
        throw invalid(`records[${i}].sha256`, '64 hex digits', sha256);
      }
      const md5 = typeof md5sum === 'string' && /^[0-9a-f]{32}$/.test(md5sum) ? md5sum : null;
      return {
        name: dataPath,
        storedName: storedName(dataPath, sha256 ?? md5),
        byteLength: nbytes as number,
        sha256: sha256 ?? null,
      };
    },
  );
}

/** @throws TramontaneError `config-invalid` */
export function parseJson(files: ReadonlyMap<string, ArrayBuffer>, file: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(files.get(file)));
  } catch (error) {
    throw new TramontaneError('config-invalid', `${file} is not JSON: ${errorMessage(error)}`, {
      nextStep: 'Check the address of the model, or import it again.',
      data: { file },
      cause: error,
    });
  }
}

function invalid(field: string, expected: string, found: unknown): TramontaneError {
  return new TramontaneError(
    'config-invalid',
    `${TENSOR_CACHE_FILE}: ${field} should be ${expected}, found ${JSON.stringify(found) ?? 'nothing'}.`,
    { nextStep: 'Import the model again.', data: { file: TENSOR_CACHE_FILE, field } },
  );
}
