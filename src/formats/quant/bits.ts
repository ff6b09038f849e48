/**
 * Moving small fields of bits between GGUF's orders and ours. GGUF keeps two nibbles of a byte for columns that lie far
 * apart; packed, eight neighbouring columns make a u32.
 *
 * Everything works on 32 bits at a time, read and written through DataViews, which are as fast as typed arrays and take
 * any offset: 14 GB pass through here when Mistral Small is imported. Positions are in bytes.
 */

/** Nibbles in the low halves of eight bytes, moved together into 32 bits. The high halves must be 0. */
export function gatherNibbles(first: number, second: number): number {
  const low = (first | (first >>> 4)) & 0x00ff00ff;
  const high = (second | (second >>> 4)) & 0x00ff00ff;
  return ((low | (low >>> 8)) & 0xffff) | ((high | (high >>> 8)) << 16);
}

/** The inverse of {@link gatherNibbles}, half by half: four bytes of 16 bits. */
export function scatterNibbles(bits: number): number {
  const pairs = (bits | (bits << 8)) & 0x00ff00ff;
  return (pairs | (pairs << 4)) & 0x0f0f0f0f;
}

/** Two bits in each of four bytes, moved together into 8 bits. The other bits must be 0. */
export function gatherPairs(bytes: number): number {
  const near = (bytes | (bytes >>> 6)) & 0x000f000f;
  return (near | (near >>> 12)) & 0xff;
}

/** The inverse of {@link gatherPairs}. */
export function scatterPairs(bits: number): number {
  const near = (bits | (bits << 12)) & 0x000f000f;
  return (near | (near << 6)) & 0x03030303;
}

/** Swaps rows and columns of 4 x 4 bits, in both halves of a word: bit 4a + b becomes bit 4b + a. Its own inverse. */
export function transposeBits(bits: number): number {
  const near = (bits ^ (bits >>> 3)) & 0x0a0a0a0a;
  const half = bits ^ near ^ (near << 3);
  const far = (half ^ (half >>> 6)) & 0x00cc00cc;
  return half ^ far ^ (far << 6);
}

/** Copies `byteLength` bytes, a multiple of 4. */
export function copyWords(
  source: DataView,
  sourceAt: number,
  target: DataView,
  targetAt: number,
  byteLength: number,
): void {
  for (let i = 0; i < byteLength; i += 4) {
    target.setInt32(targetAt + i, source.getInt32(sourceAt + i, true), true);
  }
}

/**
 * Splits `byteLength` bytes, a multiple of 8: their low nibbles become half as many bytes at `lowAt` of the target, in
 * order, the high ones at `highAt`.
 */
export function splitNibbles(
  source: DataView,
  sourceAt: number,
  byteLength: number,
  target: DataView,
  lowAt: number,
  highAt: number,
): void {
  for (let i = 0; i < byteLength; i += 8) {
    const first = source.getInt32(sourceAt + i, true);
    const second = source.getInt32(sourceAt + i + 4, true);
    const to = i >> 1;
    target.setInt32(lowAt + to, gatherNibbles(first & 0x0f0f0f0f, second & 0x0f0f0f0f), true);
    target.setInt32(
      highAt + to,
      gatherNibbles((first >>> 4) & 0x0f0f0f0f, (second >>> 4) & 0x0f0f0f0f),
      true,
    );
  }
}

/** The inverse of {@link splitNibbles}. */
export function joinNibbles(
  source: DataView,
  lowAt: number,
  highAt: number,
  byteLength: number,
  target: DataView,
  targetAt: number,
): void {
  for (let i = 0; i < byteLength; i += 8) {
    const low = source.getInt32(lowAt + (i >> 1), true);
    const high = source.getInt32(highAt + (i >> 1), true);
    target.setInt32(targetAt + i, scatterNibbles(low & 0xffff) | (scatterNibbles(high & 0xffff) << 4), true);
    target.setInt32(targetAt + i + 4, scatterNibbles(low >>> 16) | (scatterNibbles(high >>> 16) << 4), true);
  }
}
