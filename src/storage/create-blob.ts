/**
 * A Blob of bytes that are to be stored. Its bytes are the browser's, and are freed when its handle is collected as
 * garbage; V8 does not count them, and would leave gigabytes of them until it has garbage of its own to collect. So it
 * gets some to count; memory that nobody touches is not resident.
 */
export function createBlob(bytes: Uint8Array<ArrayBuffer>): Blob {
  try {
    new ArrayBuffer(bytes.byteLength);
  } catch (error) {
    // No room for the hint, which nothing depends on.
    if (!(error instanceof RangeError)) throw error;
  }
  return new Blob([bytes]);
}
