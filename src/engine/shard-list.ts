/** Reads the small files of a model's folder as far as storing it needs: that they are JSON, and which shards there are. */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { TENSOR_CACHE_FILE } from '../models/model-files.ts';
import { type StoredFile, storedName } from '../storage/weight-store.ts';
import { MD5_PATTERN, SHA256_PATTERN } from './download/checksums.ts';

/** A shard is in memory whole while it is downloaded: the largest there are hold the embedding of a large vocabulary. */
export const MAX_SHARD_BYTES = 512 << 20;

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
      if (!Number.isSafeInteger(nbytes) || (nbytes as number) <= 0 || (nbytes as number) > MAX_SHARD_BYTES) {
        const expected = `from 1 to ${MAX_SHARD_BYTES} bytes, which ${dataPath} may have`;
        throw invalid(`records[${i}].nbytes`, expected, nbytes);
      }
      if (!isChecksum(sha256, SHA256_PATTERN)) throw invalid(`records[${i}].sha256`, '64 hex digits', sha256);
      if (!isChecksum(md5sum, MD5_PATTERN)) throw invalid(`records[${i}].md5sum`, '32 hex digits', md5sum);
      return {
        name: dataPath,
        storedName: storedName(dataPath, sha256 ?? md5sum ?? null),
        byteLength: nbytes as number,
        sha256: sha256 ?? null,
      };
    },
  );
}

function isChecksum(value: unknown, pattern: RegExp): value is string | undefined {
  return value === undefined || (typeof value === 'string' && pattern.test(value));
}

/** MD5s of shards by name, from a list that {@link listShards} has accepted. */
export function listMd5Sums(tensorCache: unknown): ReadonlyMap<string, string> {
  const { records } = tensorCache as { records: { dataPath: string; md5sum?: string }[] };
  return new Map(
    records.flatMap(({ dataPath, md5sum }) => (md5sum === undefined ? [] : [[dataPath, md5sum] as const])),
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
