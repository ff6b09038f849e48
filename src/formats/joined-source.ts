import { type ByteSource, checkRange, readWithin } from './byte-source.ts';

/** Several sources read as one, in order: the splits of a model, the shards of a folder, a file kept in parts. */
export function joinSources(sources: readonly ByteSource[]): ByteSource {
  const starts = startsOf(sources);
  const byteLength = sources.reduce((sum, source) => sum + source.byteLength, 0);
  const readInto = async (offset: number, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    checkRange(byteLength, offset, target.byteLength);
    for (const [index, source] of sources.entries()) {
      const start = starts[index]!;
      const from = Math.max(offset, start);
      const to = Math.min(offset + target.byteLength, start + source.byteLength);
      if (from >= to) continue;
      const part = target.subarray(from - offset, to - offset);
      const bytes = await readWithin(source, from - start, to - from, part, signal);
      if (bytes.buffer !== part.buffer) part.set(bytes);
    }
  };
  return {
    byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(byteLength, offset, length);
      const whole = sources.findIndex(
        (source, index) => offset >= starts[index]! && offset + length <= starts[index]! + source.byteLength,
      );
      if (whole >= 0) return sources[whole]!.read(offset - starts[whole]!, length, signal);
      const bytes = new Uint8Array(length);
      await readInto(offset, bytes, signal);
      return bytes;
    },
    ...(sources.every((source) => source.readInto !== undefined) && { readInto }),
  };
}

/** Where each source begins in the joined one. */
export function startsOf(sources: readonly Pick<ByteSource, 'byteLength'>[]): number[] {
  let start = 0;
  return sources.map(({ byteLength }) => {
    const own = start;
    start += byteLength;
    return own;
  });
}
