/** Files as byte sources, for the commands. */
import { open } from 'node:fs/promises';
import { type ByteSource, checkRange, shortRead } from '../../src/formats/byte-source.ts';
import { joinSources } from '../../src/formats/joined-source.ts';

export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** Opens a file for reading by ranges. The caller closes it. @throws Error of the system where it cannot be opened. */
export async function openFileSource(path: string): Promise<FileSource> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  const readInto = async (offset: number, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    const length = target.byteLength;
    checkRange(size, offset, length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(target, done, length - done, offset + done);
      if (bytesRead === 0) throw shortRead(offset, length, done);
      done += bytesRead;
      signal?.throwIfAborted();
    }
  };
  return {
    byteLength: size,
    async read(offset, length, signal) {
      checkRange(size, offset, length);
      const bytes = new Uint8Array(length);
      await readInto(offset, bytes, signal);
      return bytes;
    },
    readInto,
    close: () => file.close(),
  };
}

/** Several files read as one, in order: a file that was committed in parts. The caller closes it. */
export async function openJoinedFileSource(paths: readonly string[]): Promise<FileSource> {
  const parts: FileSource[] = [];
  const close = async () => {
    await Promise.all(parts.map((part) => part.close()));
  };
  try {
    for (const path of paths) parts.push(await openFileSource(path));
  } catch (error) {
    await close();
    throw error;
  }
  return { ...joinSources(parts), close };
}
