/**
 * GGUF's order of 4-bit quants within a block of 32: byte j holds weight j in its low half and weight j + 16 in its
 * high half. Packed, byte j holds weights 2j and 2j + 1, so eight consecutive columns make a u32.
 *
 * Both work on 16-bit words, of which a block has eight: 13 GB pass through here when Mistral Small is imported.
 */

/** Reads 8 words in GGUF's order from `source`, writes 8 in column order to `target`. */
export function ggufNibblesToColumns(
  source: Uint16Array,
  sourceStart: number,
  target: Uint16Array,
  targetStart: number,
): void {
  for (let pair = 0; pair < 4; pair++) {
    const a = source[sourceStart + 2 * pair] as number;
    const b = source[sourceStart + 2 * pair + 1] as number;
    target[targetStart + pair] = (a & 0xf) | ((a >> 4) & 0xf0) | ((b & 0xf) << 8) | ((b << 4) & 0xf000);
    target[targetStart + 4 + pair] = ((a >> 4) & 0xf) | ((a >> 8) & 0xf0) | ((b << 4) & 0xf00) | (b & 0xf000);
  }
}

/** The inverse of {@link ggufNibblesToColumns}. */
export function columnsToGgufNibbles(
  source: Uint16Array,
  sourceStart: number,
  target: Uint16Array,
  targetStart: number,
): void {
  for (let pair = 0; pair < 4; pair++) {
    const low = source[sourceStart + pair] as number;
    const high = source[sourceStart + 4 + pair] as number;
    target[targetStart + 2 * pair] =
      (low & 0xf) | ((high & 0xf) << 4) | ((low & 0xf0) << 4) | ((high & 0xf0) << 8);
    target[targetStart + 2 * pair + 1] =
      ((low >> 8) & 0xf) | ((high >> 4) & 0xf0) | ((low >> 4) & 0xf00) | (high & 0xf000);
  }
}
