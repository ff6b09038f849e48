/** The files beside the shards, of a few megabytes at most: fetched whole, through the browser's HTTP cache. */
import { withRetries } from './retry.ts';
import { type DownloadOptions, FIRST_ATTEMPTS, transfer } from './transfer.ts';

/**
 * Fetches all of them or none.
 * @param urls by name
 * @throws TramontaneError `download-failed`; `signal.reason`
 */
export async function fetchSmallFiles(
  urls: ReadonlyMap<string, string>,
  options: DownloadOptions & { attempts?: number },
): Promise<Map<string, Blob>> {
  const attempts = options.attempts ?? FIRST_ATTEMPTS;
  return new Map(
    await Promise.all(
      Array.from(
        urls,
        async ([name, url]) =>
          [name, await withRetries({ ...options, attempts }, () => fetchSmallFile(url, options))] as const,
      ),
    ),
  );
}

async function fetchSmallFile(url: string, options: DownloadOptions): Promise<Blob> {
  // Asked for at each load, so that a new build is noticed; not sent again where it has not changed.
  return await transfer({ url, cache: 'no-cache' }, options, async (_response, chunks) => {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    return new Blob(parts);
  });
}
