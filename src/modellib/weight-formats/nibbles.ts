/** Quants of 4 bits: 32 nibbles in the four words of q0. */
import { consecutiveQuants, type FormatCode, quantWords } from './format-code.ts';

const NIBBLE_MASK = 'vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)';

export const NIBBLE_FACTORS = [1, 1 / 16, 1 / 256, 1 / 4096] as const;

/** Eight vec4<u32> of nibbles, masked where they stand. */
const maskedNibbles = quantWords(1).flatMap((word) =>
  [word, `${word} >> 16u`].map((bits) => `vec4<u32>(${bits}) & ${NIBBLE_MASK}`),
);

/** vec4<f32> of a vec4<u32>. Signed conversion: it is one instruction everywhere, and the values stay below 2^18. */
export function toFloats(bits: string): string {
  return `vec4<f32>(vec4<i32>(${bits}))`;
}

export const nibbles = {
  quantLoads: consecutiveQuants(1),
  quants: maskedNibbles.map(toFloats),
  columnFactors: NIBBLE_FACTORS,
} as const satisfies Partial<FormatCode>;

export function nibbleAt(quants: DataView, block: number, column: number): number {
  return (quants.getUint8(block * 16 + (column >> 1)) >> ((column & 1) * 4)) & 15;
}
