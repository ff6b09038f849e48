/**
 * One request and its body, watched: it ends when nothing comes for a while. What goes wrong is sorted into failures
 * that may pass (TransientFailure) and those that will not (TramontaneError).
 */
import { abortable } from '../../base/abort.ts';
import { errorMessage, isTramontaneError, TramontaneError } from '../../base/errors.ts';
import {
  isTransientStatus,
  parseRetryAfter,
  type RetryClock,
  systemClock,
  TransientFailure,
} from './retry.ts';

export interface DownloadOptions {
  signal?: AbortSignal | undefined;
  /** Of waiting between attempts. */
  clock?: RetryClock | undefined;
  /** How long a server may send nothing to speak of before it is asked again. Default 30 s. */
  stallMs?: number | undefined;
}

const STALL_MS = 30_000;
/** Fewer bytes than these within `stallMs` are nothing to speak of. */
const STALL_BYTES = 1024;
/** Failures in a row, without a sign of life in between, before giving up: about a minute. */
export const ATTEMPTS = 8;
/** For a server that was never heard of: a wrong address, or one that does not allow other sites, will not get better. */
export const FIRST_ATTEMPTS = 3;
/** New bytes after which failures before count no more. */
export const PROGRESS_BYTES = 256 << 10;
/** Most bytes of a chunk. */
const CHUNK_BYTES = 256 << 10;

/** What tells one state of a file on a server from another. */
export interface FileState {
  etag: string | null;
  lastModified: string | null;
}

export interface TransferRequest {
  url: string;
  /** Bytes from `offset` up to `end`, or to the end of the file; absent: the whole file, as any page would ask for it. */
  range?: { offset: number; end: number | null } | undefined;
  /** The state that a range must be of, where a part of the file is there already. */
  state?: FileState | undefined;
  method?: 'HEAD';
  /** Default `no-store`: bytes that are stored by us need no second place on the disk, and bad ones would come back. */
  cache?: RequestCache;
  /** A status that `use` judges itself. */
  acceptStatus?: number;
}

/** Reads a body; each chunk once, and used before the next: they may have the same memory. */
export type Chunks = AsyncIterable<Uint8Array<ArrayBuffer>>;

/**
 * Asks for a file or a range of it and hands the answer to `use`. The connection ends with it.
 * @throws TransientFailure; TramontaneError `download-failed` for a status that will not change, with
 *   `data.status`; what `use` throws; `signal.reason`
 */
export async function transfer<T>(
  request: TransferRequest,
  { signal, clock = systemClock, stallMs = STALL_MS }: DownloadOptions,
  use: (response: Response, chunks: Chunks) => Promise<T>,
): Promise<T> {
  const { url } = request;
  const own = new AbortController();
  const watchdog = new Watchdog(stallMs, () => own.abort());
  let received = 0;
  let answered = false;
  const either = signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]);
  try {
    // Not left to `fetch` alone: Node's forgets a signal when its request is garbage-collected.
    const response = await abortable(ask(request, either), either);
    answered = true;
    checkStatus(response, request, clock.now());
    return await use(
      response,
      readChunks(response, either, watchdog, (byteLength) => {
        received += byteLength;
      }),
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (own.signal.aborted) throw new TransientFailure(stallError(url, stallMs, received));
    if (isTramontaneError(error) || error instanceof TransientFailure) throw error;
    throw new TransientFailure(answered ? cutError(url, received, error) : unreachableError(url, error));
  } finally {
    watchdog.stop();
    own.abort();
  }
}

async function ask(request: TransferRequest, signal: AbortSignal): Promise<Response> {
  const { url, range, method } = request;
  const headers: Record<string, string> =
    range === undefined ? {} : { range: `bytes=${range.offset}-${range.end === null ? '' : range.end - 1}` };
  const send = (added = {}) =>
    fetch(url, {
      cache: request.cache ?? 'no-store',
      headers: { ...headers, ...added },
      signal,
      ...(method && { method }),
    });
  const validator =
    range === undefined || request.state === undefined ? null : ifRangeValidator(request.state);
  // For another origin this header would need a preflight, which many servers do not pass. It is not needed for being
  // right: whoever reads the answer compares the state that it tells of.
  if (validator === null || isCrossOrigin(url)) return await send();
  try {
    return await send({ 'if-range': validator });
  } catch (error) {
    // This origin may lead on to another.
    if (signal.aborted || !hasOrigin()) throw error;
    return await send();
  }
}

async function* readChunks(
  { body }: Response,
  signal: AbortSignal,
  watchdog: Watchdog,
  onBytes: (byteLength: number) => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  if (body === null) return;
  const reader = createReader(body);
  try {
    for (;;) {
      const chunk = await abortable(reader.read(), signal);
      if (chunk === null) return;
      watchdog.note(chunk.byteLength);
      onBytes(chunk.byteLength);
      yield chunk;
    }
  } finally {
    reader.cancel();
  }
}

interface ChunkReader {
  /** @returns null at the end */
  read(): Promise<Uint8Array<ArrayBuffer> | null>;
  cancel(): void;
}

/** Into the same memory each time, where the platform can: gigabytes of chunks would pile up as garbage. */
function createReader(body: ReadableStream<Uint8Array<ArrayBuffer>>): ChunkReader {
  // Nobody waits for it: what fails about a body that is not wanted any more concerns nobody.
  const cancel = (reader: ReadableStreamGenericReader) => reader.cancel().catch(() => undefined);
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: 'byob' });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const own = body.getReader();
    return { read: async () => (await own.read()).value ?? null, cancel: () => cancel(own) };
  }
  let memory = new ArrayBuffer(CHUNK_BYTES);
  return {
    async read() {
      const { done, value } = await reader.read(new Uint8Array(memory));
      if (done) return null;
      memory = value.buffer;
      return value;
    },
    cancel: () => cancel(reader),
  };
}

/** A weak ETag never matches in If-Range (RFC 9110, 13.1.5). */
function ifRangeValidator({ etag, lastModified }: FileState): string | null {
  return etag === null ? lastModified : etag.startsWith('W/') ? null : etag;
}

/** False in Node, where nothing is cross. */
function hasOrigin(): boolean {
  return globalThis.location !== undefined;
}

function isCrossOrigin(url: string): boolean {
  return hasOrigin() && new URL(url).origin !== globalThis.origin;
}

export function readState(response: Response): FileState {
  return { etag: response.headers.get('etag'), lastModified: response.headers.get('last-modified') };
}

/**
 * False where two answers are known to be of different states; a header that is hidden or missing tells nothing. Enough
 * where a checksum will judge the bytes.
 */
export function isSameState(a: FileState, b: FileState): boolean {
  if (a.etag !== null && b.etag !== null) return a.etag === b.etag;
  return a.lastModified === null || b.lastModified === null || a.lastModified === b.lastModified;
}

/**
 * What names the bytes of a state: its ETag, or its date. A weak ETag (`W/`) may stay the same when bytes change
 * (RFC 9110, 8.8.1).
 * @returns null where nothing does
 */
export function validatorOf({ etag, lastModified }: FileState): string | null {
  return etag !== null && !etag.startsWith('W/') ? etag : lastModified;
}

/** True where an answer names the same bytes as the one before, or neither names any. */
export function hasSameValidator(before: FileState, now: FileState): boolean {
  return isSameState(before, now) && validatorOf(before) === validatorOf(now);
}

/**
 * The Content-Range of an answer, where its server sends one and lets other origins see it.
 * @returns `totalBytes` null for a server that does not know
 */
export function readContentRange(response: Response): { offset: number; totalBytes: number | null } | null {
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (match === null) return null;
  return { offset: Number(match[1]), totalBytes: match[2] === '*' ? null : Number(match[2]) };
}

/** Of the file that a refused range is not in, where the server tells (RFC 9110, 15.5.17). */
export function readRefusedTotal(response: Response): number | null {
  const match = /^bytes \*\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
  return match === null ? null : Number(match[1]);
}

function checkStatus(response: Response, { url, acceptStatus }: TransferRequest, nowMs: number): void {
  const { status, statusText } = response;
  if (response.ok || status === acceptStatus) return;
  const error = new TramontaneError(
    'download-failed',
    `${url} answered ${status} ${statusText}.`.replace(' .', '.'),
    {
      nextStep: isTransientStatus(status)
        ? 'The server is busy or out of order: try again later. What is stored is kept.'
        : status === 401 || status === 403
          ? 'It is not there, or not for everybody: check the address, or download the file with your account and choose it from your disk.'
          : 'Check the address.',
      data: { url, status },
    },
  );
  if (!isTransientStatus(status)) throw error;
  throw new TransientFailure(error, parseRetryAfter(response.headers.get('retry-after'), nowMs));
}

function stallError(url: string, stallMs: number, received: number): TramontaneError {
  return new TramontaneError(
    'download-failed',
    `${url} sent nothing to speak of for ${stallMs / 1000} s, after ${received} bytes.`,
    {
      nextStep: 'Check the network connection and try again; what is stored is kept.',
      data: { url, received },
    },
  );
}

function cutError(url: string, received: number, cause: unknown): TramontaneError {
  return new TramontaneError(
    'download-failed',
    `${url} broke off after ${received} bytes: ${errorMessage(cause)}`,
    {
      nextStep: 'Check the network connection and try again; what is stored is kept.',
      data: { url, received },
      cause,
    },
  );
}

function unreachableError(url: string, cause: unknown): TramontaneError {
  const { host } = new URL(url);
  const crossOrigin = isCrossOrigin(url);
  return new TramontaneError('download-failed', `Cannot reach ${url}: ${errorMessage(cause)}`, {
    nextStep: crossOrigin
      ? `Check the network connection. If that is well, ${host} does not allow other sites to read its files (CORS): ` +
        'download the file and choose it from your disk, or use another address.'
      : 'Check the network connection and try again; what is stored is kept.',
    data: { url, crossOrigin },
    cause,
  });
}

/** Calls `onStall` when too few bytes come within a while, from now on. */
class Watchdog {
  readonly #timer: ReturnType<typeof setInterval>;
  #bytes = 0;

  constructor(stallMs: number, onStall: () => void) {
    this.#timer = setInterval(() => {
      if (this.#bytes < STALL_BYTES) onStall();
      this.#bytes = 0;
    }, stallMs);
  }

  note(byteLength: number): void {
    this.#bytes += byteLength;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
