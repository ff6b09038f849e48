/** MLC's q4f16_1, and GGUF's formats with a scale for each block of 32. */
import {
  consecutiveQuants,
  type FormatCode,
  halfAt,
  halfPair,
  halfScale,
  quantWords,
} from './format-code.ts';
import { nibbleAt, nibbles } from './nibbles.ts';

/** q - offset, times a scale. */
function centredNibbles(offset: number): FormatCode {
  return {
    ...nibbles,
    scales: halfScale,
    prepare: '',
    scale: 'scale',
    bias: `${-offset}.0 * scale`,
    decode: ({ quants, scales }, block, column) =>
      (nibbleAt(quants, block, column) - offset) * halfAt(scales, block),
    testData: { quants: 'bits', halves: [0] },
  };
}

/**
 * Signed bytes where they stand: the highest as it is, the others made unsigned by adding 128, which is taken off again
 * after the conversion. Exact, and without the shifts by different amounts that some processors lack.
 */
const BYTE_FACTORS = [1, 2 ** -8, 2 ** -16, 2 ** -24] as const;
const BYTE_MASK = 'vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u)';
const BYTE_OFFSETS = 'vec4<f32>(128.0, 32768.0, 8388608.0, 0.0)';

export const legacyFormats = {
  q4f16_1: centredNibbles(7),
  q4_0: centredNibbles(8),
  q4_1: {
    ...nibbles,
    scales: halfPair,
    prepare: '',
    scale: 'pair.x',
    bias: 'pair.y',
    decode: ({ quants, scales }, block, column) =>
      nibbleAt(quants, block, column) * halfAt(scales, block * 2) + halfAt(scales, block * 2 + 1),
    testData: { quants: 'bits', halves: [0, 1] },
  },
  q8_0: {
    quantLoads: consecutiveQuants(2),
    scales: halfScale,
    prepare: '',
    quants: quantWords(2).map(
      (word) => `(vec4<f32>(vec4<i32>(vec4<u32>(${word} ^ 0x808080u) & ${BYTE_MASK})) - ${BYTE_OFFSETS})`,
    ),
    columnFactors: BYTE_FACTORS,
    scale: 'scale',
    bias: null,
    decode: ({ quants, scales }, block, column) =>
      quants.getInt8(block * 32 + column) * halfAt(scales, block),
    testData: { quants: 'bits', halves: [0] },
  },
} as const satisfies Record<string, FormatCode>;
