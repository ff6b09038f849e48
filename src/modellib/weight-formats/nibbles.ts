/** Quants of 4, 5 and 6 bits. The low four are 32 nibbles in column order, in the four words of q0. */
import { consecutiveQuants, type FormatCode, quantWords } from './format-code.ts';

/** Component j of what follows stands 4j bits too high. */
export const NIBBLE_FACTORS = [1, 1 / 16, 1 / 256, 1 / 4096] as const;

/** vec4<u32> expressions: entry i has the nibbles of columns 4i .. 4i+3, masked where they stand. */
const lowNibbles = quantWords(1).flatMap((word) =>
  [word, `${word} >> 16u`].map((bits) => `vec4<u32>(${bits}) & vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)`),
);

/** vec4<f32> of a vec4<u32>. Signed conversion: it is one instruction everywhere, and the values stay below 2^18. */
function toFloats(bits: string): string {
  return `vec4<f32>(vec4<i32>(${bits}))`;
}

/** `bits` shifted left by `by`, or right where that is negative. */
function shifted(bits: string, by: number): string {
  return by < 0 ? `${bits} >> ${-by}u` : `${bits} << ${by}u`;
}

export const nibbles = {
  quantLoads: consecutiveQuants(1),
  quants: lowNibbles.map(toFloats),
  columnFactors: NIBBLE_FACTORS,
} as const satisfies Partial<FormatCode>;

/** With a fifth bit: that of column 4i + k is bit 16 * (i >> 2) + 4k + (i & 3) of the u32 `high`. */
export const fiveBits = {
  ...nibbles,
  quants: lowNibbles.map((low, i) => {
    const bits = shifted('high', 4 - (i & 3) - 16 * (i >> 2));
    return toFloats(`(${low}) | (vec4<u32>(${bits}) & vec4<u32>(0x10u, 0x100u, 0x1000u, 0x10000u))`);
  }),
} as const satisfies Partial<FormatCode>;

/**
 * vec4<f32> expressions of 6-bit quants: bits 4 and 5 of column 4i + k are bits 16 * ((i >> 1) & 1) + 4k + 2 * (i & 1)
 * and the next of word i >> 2 of the vec2<u32> `high`.
 */
export const sixBits: readonly string[] = lowNibbles.map((low, i) => {
  const bits = shifted(`high.${'xy'[i >> 2]}`, 4 - 2 * (i & 1) - 16 * ((i >> 1) & 1));
  return toFloats(`(${low}) | (vec4<u32>(${bits}) & vec4<u32>(0x30u, 0x300u, 0x3000u, 0x30000u))`);
});

/** The nibble of a column, where that of column 0 of block 0 is the lowest of the byte at `start`. */
export function nibbleAt(quants: DataView, block: number, column: number, start = 0): number {
  return (quants.getUint8(start + block * 16 + (column >> 1)) >> ((column & 1) * 4)) & 15;
}

/** The fifth bit of a column, in place. */
export function fifthBit(high: number, column: number): number {
  const [i, k] = [column >> 2, column & 3];
  return ((high >>> (16 * (i >> 2) + 4 * k + (i & 3))) & 1) << 4;
}
