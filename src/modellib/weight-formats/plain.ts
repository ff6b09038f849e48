/** Weights as they are. */
import { consecutiveQuants, type FormatCode, halfAt, quantWords } from './format-code.ts';

const unscaled = { scales: null, prepare: '', columnFactors: null, scale: null, bias: null } as const;

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
    quants: Array.from({ length: 8 }, (_, i) => quantWords(4).slice(i * 2, i * 2 + 2)).map(
      ([a, b]) => `vec4<f32>(unpack2x16float(${a}), unpack2x16float(${b}))`,
    ),
    decode: ({ quants }, block, column) => halfAt(quants, block * 32 + column),
    testData: { quants: 'f16', halves: [] },
  },
} as const satisfies Record<string, FormatCode>;
