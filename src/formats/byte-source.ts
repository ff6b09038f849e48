/**
 * Random access to bytes that may be far too many to hold: a file, a Blob, a range of a URL. Parsers and the importer
 * read through this and nothing else, so they run alike in a page, a worker and Node.
 */
import { FormatError } from '../base/errors.ts';

export interface ByteSource {
  /** Total bytes; a safe integer. */
  readonly byteLength: number;
  /**
   * Reads exactly `length` bytes from `offset`. The caller owns the result.
   * @throws FormatError where the range is not inside the source, or the source turns out shorter than it said;
   *   `signal.reason` when aborted.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * As {@link read}, but fills memory of the caller's: for those who read gigabytes, which would pile up as garbage.
   * Absent where the platform gives its own memory. `target` is not to be used until the promise settles.
   */
  readInto?(offset: number, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void>;
}

/** Reads into `buffer`, where the source can. @returns the bytes: the beginning of `buffer`, or memory of their own */
export async function readWithin(
  source: ByteSource,
  offset: number,
  length: number,
  buffer: Uint8Array<ArrayBuffer>,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  if (source.readInto === undefined) return source.read(offset, length, signal);
  const target = buffer.subarray(0, length);
  await source.readInto(offset, target, signal);
  return target;
}

/** Every implementation calls this before it reads. @throws FormatError where the range is not inside the source. */
export function checkRange(byteLength: number, offset: number, length: number): void {
  const inside =
    Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
      ? offset <= byteLength && length <= byteLength - offset
      : false;
  if (!inside) {
    throw new FormatError(
      `Cannot read ${length} bytes at offset ${offset}: the source has ${byteLength} bytes`,
      { field: 'range', offset },
    );
  }
}

/** A source that ended before the length it had announced, such as a file replaced while it is read. */
export function shortRead(offset: number, expected: number, found: number): FormatError {
  return new FormatError(
    `The source gave ${found} bytes at offset ${offset}, expected ${expected}`,
    { field: 'range', offset },
    { nextStep: 'The file may have changed while it was read: choose it again.' },
  );
}

/** Bytes already in memory. Reads are copies. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    byteLength: bytes.byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(bytes.byteLength, offset, length);
      return bytes.slice(offset, offset + length) as Uint8Array<ArrayBuffer>;
    },
    async readInto(offset, target, signal) {
      signal?.throwIfAborted();
      checkRange(bytes.byteLength, offset, target.byteLength);
      target.set(bytes.subarray(offset, offset + target.byteLength));
    },
  };
}

/** A Blob or File, such as one that a person picked or dropped; only the ranges asked for are read. */
export function blobSource(blob: Blob): ByteSource {
  return {
    byteLength: blob.size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(blob.size, offset, length);
      const bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      signal?.throwIfAborted();
      if (bytes.byteLength !== length) throw shortRead(offset, length, bytes.byteLength);
      return bytes;
    },
  };
}
