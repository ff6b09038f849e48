/** The files beside the shards, of a few megabytes at most: fetched whole, through the browser's HTTP cache. */
import { TramontaneError } from '../../base/errors.ts';
import { withRetries } from './retry.ts';
import { type Chunks, type DownloadOptions, FIRST_ATTEMPTS, transfer } from './transfer.ts';

/** Tokenizers have 20 MB, libraries and lists of tensors less. */
export const MAX_SMALL_FILE_BYTES = 64 << 20;

/**
 * Fetches all of them or none.
 * @param urls by name
 * @throws TramontaneError `download-failed`, `config-invalid` for one that is too large; `signal.reason`
 */
export async function fetchSmallFiles(
  urls: ReadonlyMap<string, string>,
  options: DownloadOptions & { attempts?: number },
): Promise<Map<string, ArrayBuffer>> {
  const attempts = options.attempts ?? FIRST_ATTEMPTS;
  return new Map(
    await Promise.all(
      Array.from(
        urls,
        async ([name, url]) =>
          [
            name,
            await withRetries({ ...options, attempts }, () => fetchSmallFile(name, url, options)),
          ] as const,
      ),
    ),
  );
}

async function fetchSmallFile(name: string, url: string, options: DownloadOptions): Promise<ArrayBuffer> {
  // Asked for at each load, so that a new build is noticed; not sent again where it has not changed.
  return await transfer({ url, cache: 'no-cache' }, options, (_response, chunks) =>
    readSmallBody(chunks, name, url),
  );
}

/** All of a body that should be small. @param url for errors. @throws TramontaneError `config-invalid` */
export async function readSmallBody(chunks: Chunks, name: string, url: string): Promise<ArrayBuffer> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let byteLength = 0;
  for await (const chunk of chunks) {
    byteLength += chunk.byteLength;
    if (byteLength > MAX_SMALL_FILE_BYTES) throw tooLarge(name, url);
    parts.push(chunk.slice());
  }
  return await new Blob(parts).arrayBuffer();
}

/** For a file that should be small and is not. */
export function tooLarge(name: string, url: string | null): TramontaneError {
  return new TramontaneError('config-invalid', `${name} is larger than ${MAX_SMALL_FILE_BYTES} bytes.`, {
    nextStep: 'Choose another build of the model.',
    data: { file: name, url },
  });
}
