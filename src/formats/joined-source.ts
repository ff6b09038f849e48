import { type ByteSource, checkRange } from './byte-source.ts';

/** Several sources read as one, in order: the splits of a model, the shards of a folder, a file kept in parts. */
export function joinSources(sources: readonly ByteSource[]): ByteSource {
  const starts = startsOf(sources);
  const byteLength = sources.reduce((sum, source) => sum + source.byteLength, 0);
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
      for (const [index, source] of sources.entries()) {
        const start = starts[index]!;
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + source.byteLength);
        if (from < to) bytes.set(await source.read(from - start, to - from, signal), from - offset);
      }
      return bytes;
    },
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
