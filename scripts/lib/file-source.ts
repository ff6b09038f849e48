/** Files as byte sources, for the commands. */
import { open } from 'node:fs/promises';
import { type ByteSource, checkRange, shortRead } from '../../src/formats/byte-source.ts';

export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** Opens a file for reading by ranges. The caller closes it. @throws Error of the system where it cannot be opened. */
export async function openFileSource(path: string): Promise<FileSource> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  return {
    byteLength: size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(size, offset, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw shortRead(offset, length, done);
        done += bytesRead;
        signal?.throwIfAborted();
      }
      return bytes;
    },
    close: () => file.close(),
  };
}

/** Several files read as one, in order: a file that was committed in parts. The caller closes it. */
export async function openJoinedFileSource(paths: readonly string[]): Promise<FileSource> {
  const parts: { source: FileSource; start: number }[] = [];
  let byteLength = 0;
  try {
    for (const path of paths) {
      const source = await openFileSource(path);
      parts.push({ source, start: byteLength });
      byteLength += source.byteLength;
    }
  } catch (error) {
    await Promise.all(parts.map(({ source }) => source.close()));
    throw error;
  }
  return {
    byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(byteLength, offset, length);
      const bytes = new Uint8Array(length);
      for (const { source, start } of parts) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + source.byteLength);
        if (from < to) bytes.set(await source.read(from - start, to - from, signal), from - offset);
      }
      return bytes;
    },
    async close() {
      await Promise.all(parts.map(({ source }) => source.close()));
    },
  };
}
