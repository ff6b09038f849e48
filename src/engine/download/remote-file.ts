/**
 * A file on a server that answers byte ranges, read like any other. Its address is asked anew for every range, because
 * what it redirects to may be signed for minutes only; answers of another state of the file are refused.
 */
import { isAbortError, TramontaneError } from '../../base/errors.ts';
import { type ByteSource, checkRange } from '../../formats/byte-source.ts';
import { joinSources, startsOf } from '../../formats/joined-source.ts';
import { TransientFailure, withRetries } from './retry.ts';
import {
  ATTEMPTS,
  type Chunks,
  type DownloadOptions,
  FIRST_ATTEMPTS,
  type FileState,
  hasSameValidator,
  PROGRESS_BYTES,
  readContentRange,
  readState,
  transfer,
} from './transfer.ts';

/** Bytes that are being received, so many of which are there. */
export interface PartialBytes {
  /** Of the first one, in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  received: number;
}

/** A source whose bytes come over time. */
export interface ReceivingSource extends ByteSource {
  /**
   * Receives the bytes that are missing in `part`, going on at the byte after every failure that may pass.
   * @param onBytes is told how many have come
   * @throws TramontaneError `download-failed`, `source-changed`; `signal.reason`. What was received stays in `part`.
   */
  receive(part: PartialBytes, signal?: AbortSignal, onBytes?: (byteLength: number) => void): Promise<void>;
}

export interface RemoteFile extends ReceivingSource, FileState {
  /** As given: what it redirects to may differ each time. */
  readonly url: string;
}

/** Bytes that come with the first answer: headers begin there. */
const HEAD_BYTES = 1 << 20;
/** Of all files that are open at once, as long as they are few. */
const HEADS_BYTES = 32 << 20;
const MIN_HEAD_BYTES = 32 << 10;

/**
 * Asks a server for the beginning of a file.
 * @param options also for everything that is read of the file later on
 * @param headBytes that come with the first answer, and are kept
 * @param attempts failures in a row before giving up
 * @throws TramontaneError `download-failed`; `range-unsupported` where the server sends the whole file instead, or does
 *   not tell how long it is; `signal.reason`
 */
export async function openRemoteFile(
  url: string,
  options: DownloadOptions,
  headBytes = HEAD_BYTES,
  attempts = FIRST_ATTEMPTS,
): Promise<RemoteFile> {
  return await withRetries({ ...options, attempts }, () =>
    transfer(
      { url, range: { offset: 0, end: headBytes }, acceptStatus: RANGE_NOT_SATISFIABLE },
      options,
      async (response, chunks) => {
        const state = readState(response);
        const byteLength = await readByteLength(url, response, options);
        const part = partAt(0, Math.min(byteLength, headBytes));
        try {
          await fill(part, url, chunks);
        } catch (error) {
          options.signal?.throwIfAborted();
          // Whoever reads the rest asks for it again.
          if (!isCut(error)) throw error;
        }
        return new HttpFile(url, options, state, byteLength, part.bytes.subarray(0, part.received));
      },
    ),
  );
}

/** How much of each of so many files is kept from the first answer on: more is fetched when it is read. */
export function headBytesFor(files: number): number {
  return Math.max(MIN_HEAD_BYTES, Math.min(HEAD_BYTES, Math.floor(HEADS_BYTES / files)));
}

export function partAt(offset: number, byteLength: number): PartialBytes {
  return { offset, bytes: new Uint8Array(byteLength), received: 0 };
}

/** Several files that read as one, in this order: the splits of a model. */
export function joinRemoteFiles(files: readonly ReceivingSource[]): ReceivingSource {
  const starts = startsOf(files);
  return {
    ...joinSources(files),
    async receive(part, signal, onBytes) {
      for (const [index, file] of files.entries()) {
        const start = starts[index]!;
        const from = Math.max(part.offset + part.received, start);
        const to = Math.min(part.offset + part.bytes.byteLength, start + file.byteLength);
        if (from >= to) continue;
        const own: PartialBytes = {
          offset: from - start,
          bytes: part.bytes.subarray(from - part.offset, to - part.offset),
          received: 0,
        };
        await file.receive(own, signal, (byteLength) => {
          part.received += byteLength;
          onBytes?.(byteLength);
        });
      }
    },
  };
}

/** The answer to a range of a file that has no bytes there, such as an empty one. */
const RANGE_NOT_SATISFIABLE = 416;
const PARTIAL_CONTENT = 206;

class HttpFile implements RemoteFile {
  readonly url: string;
  readonly byteLength: number;
  readonly etag: string | null;
  readonly lastModified: string | null;
  readonly #options: DownloadOptions;
  readonly #head: Uint8Array;

  constructor(url: string, options: DownloadOptions, state: FileState, byteLength: number, head: Uint8Array) {
    this.url = url;
    this.byteLength = byteLength;
    this.etag = state.etag;
    this.lastModified = state.lastModified;
    this.#options = options;
    this.#head = head;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    signal?.throwIfAborted();
    checkRange(this.byteLength, offset, length);
    const part = partAt(offset, length);
    await this.receive(part, signal);
    return part.bytes;
  }

  async receive(
    part: PartialBytes,
    signal?: AbortSignal,
    onBytes: (byteLength: number) => void = () => {},
  ): Promise<void> {
    const known = this.#head.subarray(part.offset + part.received, part.offset + part.bytes.byteLength);
    if (known.byteLength > 0) {
      part.bytes.set(known, part.received);
      part.received += known.byteLength;
      onBytes(known.byteLength);
    }
    if (part.received === part.bytes.byteLength) return;
    const signals = [signal, this.#options.signal].filter((each) => each !== undefined);
    const options = { ...this.#options, signal: AbortSignal.any(signals) };
    let counted = part.received;
    await withRetries({ ...options, attempts: ATTEMPTS }, async (progressed) => {
      const range = { offset: part.offset + part.received, end: part.offset + part.bytes.byteLength };
      const request = { url: this.url, range, state: this, acceptStatus: RANGE_NOT_SATISFIABLE };
      await transfer(request, options, async (response, chunks) => {
        this.#check(response, range.offset);
        await fill(part, this.url, chunks, (byteLength) => {
          onBytes(byteLength);
          if (part.received < counted + PROGRESS_BYTES) return;
          counted = part.received;
          progressed();
        });
      });
    });
  }

  /** @throws TramontaneError where the answer is not the asked range of the file as it was opened */
  #check(response: Response, offset: number): void {
    const found = readContentRange(response);
    if (
      // A GGUF has no checksum that would judge its bytes.
      !hasSameValidator(this, readState(response)) ||
      response.status === RANGE_NOT_SATISFIABLE ||
      (found?.totalBytes ?? this.byteLength) !== this.byteLength
    ) {
      throw new TramontaneError('source-changed', `${this.url} has changed while it was being read.`, {
        nextStep: 'Start again: what was stored of the file as it was before is of no use.',
        data: { url: this.url },
      });
    }
    if (response.status !== PARTIAL_CONTENT) throw rangeUnsupported(this.url, 'sends whole files only');
    if (found !== null && found.offset !== offset) {
      throw rangeUnsupported(
        this.url,
        `sent bytes from ${found.offset} on when asked for those from ${offset} on`,
      );
    }
  }
}

/** @throws TramontaneError `range-unsupported`, and as {@link transfer} */
async function readByteLength(url: string, response: Response, options: DownloadOptions): Promise<number> {
  const found = readContentRange(response);
  // An empty file has no first byte.
  if (response.status === RANGE_NOT_SATISFIABLE) return 0;
  if (response.status !== PARTIAL_CONTENT) throw rangeUnsupported(url, 'sends whole files only');
  if (found !== null && found.offset !== 0) {
    throw rangeUnsupported(url, `sent bytes from ${found.offset} on when asked for the first ones`);
  }
  if (found !== null && found.totalBytes !== null) return found.totalBytes;
  // Other origins may not see Content-Range, but everybody sees Content-Length.
  const length = await transfer({ url, method: 'HEAD' }, options, async (head) =>
    head.headers.get('content-length'),
  );
  if (length !== null && /^\d+$/.test(length)) return Number(length);
  throw rangeUnsupported(url, 'does not tell how long the file is');
}

function rangeUnsupported(url: string, what: string): TramontaneError {
  return new TramontaneError('range-unsupported', `${new URL(url).host} ${what}; parts of it are needed.`, {
    nextStep: 'Download the file and choose it from your disk, or use another address.',
    data: { url },
  });
}

/** Whether a body broke off: the network did (a TypeError), it stalled (an abort), or it was too short. */
function isCut(error: unknown): boolean {
  return error instanceof TypeError || isAbortError(error) || error instanceof TransientFailure;
}

/**
 * Takes the rest of a part from a body. What is more than was asked for is left where it is.
 * @throws TransientFailure where there is too little, which stays
 */
async function fill(
  part: PartialBytes,
  url: string,
  chunks: Chunks,
  onBytes: (byteLength: number) => void = () => {},
): Promise<void> {
  const { bytes } = part;
  const before = part.received;
  for await (const chunk of chunks) {
    const taken = chunk.subarray(0, bytes.byteLength - part.received);
    bytes.set(taken, part.received);
    part.received += taken.byteLength;
    onBytes(taken.byteLength);
    if (taken.byteLength < chunk.byteLength) return;
  }
  if (part.received === bytes.byteLength) return;
  throw new TransientFailure(
    new TramontaneError(
      'download-failed',
      `${url} sent ${part.received - before} of ${bytes.byteLength - before} bytes.`,
      { nextStep: 'Try again; what is stored is kept.', data: { url } },
    ),
  );
}
