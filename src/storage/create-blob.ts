/**
 * A Blob of bytes that are to be stored. Its bytes are the browser's, and are freed when its handle is collected as
 * garbage; V8 does not count them, and would leave gigabytes of them until it has garbage of its own to collect. So it
 * gets some to count: memory that nobody touches takes none.
 */
export function createBlob(bytes: Uint8Array<ArrayBuffer>): Blob {
  new ArrayBuffer(bytes.byteLength);
  return new Blob([bytes]);
}
