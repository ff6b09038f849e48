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
