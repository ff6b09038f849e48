/**
 * GGUF's order of 4-bit quants within a block of 32: byte j holds weight j in its low half and weight j + 16 in its
 * high half. Packed, byte j holds weights 2j and 2j + 1, so eight consecutive columns make a u32.
 */
const HALF = 16;

/** Reads 16 bytes in GGUF's order from `source`, writes 16 in column order to `target`. */
export function ggufNibblesToColumns(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
): void {
  for (let pair = 0; pair < HALF; pair += 2) {
    const a = source[sourceOffset + pair] as number;
    const b = source[sourceOffset + pair + 1] as number;
    target[targetOffset + pair / 2] = (a & 0x0f) | ((b & 0x0f) << 4);
    target[targetOffset + (pair + HALF) / 2] = (a >> 4) | (b & 0xf0);
  }
}

/** The inverse of {@link ggufNibblesToColumns}. */
export function columnsToGgufNibbles(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
): void {
  for (let pair = 0; pair < HALF; pair += 2) {
    const low = source[sourceOffset + pair / 2] as number;
    const high = source[sourceOffset + (pair + HALF) / 2] as number;
    target[targetOffset + pair] = (low & 0x0f) | ((high & 0x0f) << 4);
    target[targetOffset + pair + 1] = (low >> 4) | (high & 0xf0);
  }
}
