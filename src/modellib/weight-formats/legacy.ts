/** MLC's q4f16_1, and GGUF's formats with a scale for each block of 32 and evenly spaced values. */
import {
  consecutiveQuants,
  type FormatCode,
  halfAt,
  halfPair,
  halfScale,
  quantWords,
  type ScalesCode,
  type WeightRecord,
} from './format-code.ts';
import { fifthBit, fiveBits, nibbleAt, nibbles } from './nibbles.ts';

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

/** A block's scales are a word of fifth bits, and two f16. */
const fiveBitScales: ScalesCode = {
  element: () => 'vec2<u32>',
  loads: (array) => [{ name: 'words', type: 'vec2<u32>', value: `${array}[block]` }],
};
const fiveBitPrepare = 'let high = words.x; let pair = unpack2x16float(words.y);';

function fiveBitsAt(record: WeightRecord, block: number, column: number): number {
  const high = record.scales?.getUint32(block * 8, true) ?? 0;
  return nibbleAt(record.quants, block, column) | fifthBit(high, column);
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
  q5_0: {
    ...fiveBits,
    scales: fiveBitScales,
    prepare: fiveBitPrepare,
    scale: 'pair.x',
    bias: '-16.0 * pair.x',
    decode: (record, block, column) =>
      (fiveBitsAt(record, block, column) - 16) * halfAt(record.scales, block * 4 + 2),
    testData: { quants: 'bits', halves: [2] },
  },
  q5_1: {
    ...fiveBits,
    scales: fiveBitScales,
    prepare: fiveBitPrepare,
    scale: 'pair.x',
    bias: 'pair.y',
    decode: (record, block, column) =>
      fiveBitsAt(record, block, column) * halfAt(record.scales, block * 4 + 2) +
      halfAt(record.scales, block * 4 + 3),
    testData: { quants: 'bits', halves: [2, 3] },
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
