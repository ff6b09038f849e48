/** Texts on a server that are read whole: the small files of a folder, and the pages of a list. */
import { withRetries } from '../download/retry.ts';
import { readSmallBody } from '../download/small-files.ts';
import { type DownloadOptions, FIRST_ATTEMPTS, transfer } from '../download/transfer.ts';
import { withoutQuery } from './opened-source.ts';

export interface RemoteText {
  text: string;
  /** The answer's Link header; null where there is none, or where the server does not let other origins see it. */
  link: string | null;
}

/**
 * @param name of the text, for errors
 * @throws TramontaneError `download-failed`, with `data.status` where the server refused; `config-invalid` for one that
 *   is too large; `signal.reason`
 */
export function fetchRemoteText(
  url: string,
  name: string,
  options: DownloadOptions,
  attempts = FIRST_ATTEMPTS,
): Promise<RemoteText> {
  return withRetries({ ...options, attempts }, () =>
    transfer({ url, cache: 'no-cache' }, options, async (response, chunks) => {
      const body = await readSmallBody(chunks, name, withoutQuery(url));
      return { text: new TextDecoder().decode(body), link: response.headers.get('link') };
    }),
  );
}
