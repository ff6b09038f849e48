/**
 * UTF-8 of short strings. What a browser's TextDecoder gives it keeps in memory of its own, with a handle to find it by:
 * the 400,000 strings of a vocabulary took 120 MiB in Chromium, which stayed when they had gone.
 */

/** Few strings of a header are longer. */
const MOST_BYTES = 256;
const units = new Uint16Array(MOST_BYTES);

/** @returns null for what a TextDecoder is to judge: what is long, not well-formed, or beyond U+FFFF */
export function decodeShortUtf8(bytes: Uint8Array, start: number, end: number): string | null {
  if (end - start > MOST_BYTES) return null;
  let count = 0;
  for (let at = start; at < end; ) {
    const first = bytes[at++]!;
    let unit = first;
    if (first >= 0x80) {
      const continuations = first < 0xe0 ? 1 : 2;
      if (first < 0xc2 || first > 0xef || end - at < continuations) return null;
      unit &= continuations === 1 ? 0x1f : 0x0f;
      for (const stop = at + continuations; at < stop; at++) {
        if ((bytes[at]! & 0xc0) !== 0x80) return null;
        unit = (unit << 6) | (bytes[at]! & 0x3f);
      }
      const isSurrogate = (unit & 0xf800) === 0xd800;
      if (continuations === 2 && (unit < 0x800 || isSurrogate)) return null;
    }
    units[count++] = unit;
  }
  // Spread as arguments, a typed array would be iterated: three times as long.
  return String.fromCharCode.apply(null, units.subarray(0, count) as unknown as number[]);
}
