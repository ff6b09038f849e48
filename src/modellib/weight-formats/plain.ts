/** Weights as they are. */
import { consecutiveQuants, type FormatCode, halfAt, quantWords } from './format-code.ts';

const unscaled = { scales: null, prepare: '', columnFactors: null, scale: null, bias: null } as const;

/** The words of each four columns of 16 bits. */
const wordPairs = Array.from({ length: 8 }, (_, i) => quantWords(4).slice(i * 2, i * 2 + 2));

const scratch = new DataView(new ArrayBuffer(4));

export const plainFormats = {
  f32: {
    ...unscaled,
    quantLoads: consecutiveQuants(8),
    quants: Array.from({ length: 8 }, (_, i) => `bitcast<vec4<f32>>(q${i})`),
    decode: ({ quants }, block, column) => quants.getFloat32((block * 32 + column) * 4, true),
    testData: { quants: 'f32', halves: [] },
  },
  f16: {
    ...unscaled,
    quantLoads: consecutiveQuants(4),
    quants: wordPairs.map(([a, b]) => `vec4<f32>(unpack2x16float(${a}), unpack2x16float(${b}))`),
    decode: ({ quants }, block, column) => halfAt(quants, block * 32 + column),
    testData: { quants: 'f16', halves: [] },
  },
  bf16: {
    ...unscaled,
    quantLoads: consecutiveQuants(4),
    // The upper half of an f32.
    quants: wordPairs.map(
      ([a, b]) =>
        `bitcast<vec4<f32>>(vec4<u32>(${a} << 16u, ${a} & 0xffff0000u, ${b} << 16u, ${b} & 0xffff0000u))`,
    ),
    decode: ({ quants }, block, column) => {
      scratch.setUint16(0, quants.getUint16((block * 32 + column) * 2, true));
      return scratch.getFloat32(0);
    },
    testData: { quants: 'bf16', halves: [] },
  },
} as const satisfies Record<string, FormatCode>;
