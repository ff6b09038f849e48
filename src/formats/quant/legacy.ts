/**
 * GGUF's formats of 32 weights that share a scale d, and some a minimum m, both f16. Of 5-bit quants the high bits come
 * in one word of their own. IQ4_NL has nibbles that name values of a table, and is packed like Q4_0.
 *
 * | type   | block                           | weight        |
 * |--------|---------------------------------|---------------|
 * | Q4_0   | d, 16 bytes of nibbles          | (q - 8) * d   |
 * | Q4_1   | d, m, 16 bytes of nibbles       | q * d + m     |
 * | Q5_0   | d, 32 bits, 16 bytes of nibbles | (q - 16) * d  |
 * | Q5_1   | d, m, 32 bits, 16 bytes         | q * d + m     |
 * | Q8_0   | d, 32 int8                      | q * d         |
 * | IQ4_NL | d, 16 bytes of nibbles          | table[q] * d  |
 *
 * Byte j of the nibbles holds column j in its low half and column j + 16 in its high half; bit j of the 32 is the high
 * bit of column j. Source: block_q4_0 and the following in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { copyWords, joinNibbles, splitNibbles, transposeBits } from './bits.ts';
import { type BlockFormat, groupFormat } from './block-format.ts';

/** Bytes of a block's nibbles. */
const NIBBLES = 16;

/** Copies an f16. */
function copyHalf(source: DataView, sourceAt: number, target: DataView, targetAt: number): void {
  target.setUint16(targetAt, source.getUint16(sourceAt, true), true);
}

/** Formats of nibbles after one f16, or two. */
function nibbleFormat(name: 'q4_0' | 'q4_1' | 'iq4_nl', halves: 1 | 2): BlockFormat {
  const nibblesAt = 2 * halves;
  return groupFormat(
    name,
    (block, at, quants, quantAt, scales, scaleAt) => {
      copyHalf(block, at, scales, scaleAt);
      if (halves === 2) copyHalf(block, at + 2, scales, scaleAt + 2);
      splitNibbles(block, at + nibblesAt, NIBBLES, quants, quantAt, quantAt + 8);
    },
    (block, at, quants, quantAt, scales, scaleAt) => {
      copyHalf(scales, scaleAt, block, at);
      if (halves === 2) copyHalf(scales, scaleAt + 2, block, at + 2);
      joinNibbles(quants, quantAt, quantAt + 8, NIBBLES, block, at + nibblesAt);
    },
  );
}

/** The same with 5 bits. A block's scales are its high bits, then d and m (0 where the format has none). */
function fiveBitFormat(name: 'q5_0' | 'q5_1', halves: 1 | 2): BlockFormat {
  const highAt = 2 * halves;
  const nibblesAt = highAt + 4;
  return groupFormat(
    name,
    (block, at, quants, quantAt, scales, scaleAt) => {
      scales.setInt32(scaleAt, transposeBits(block.getInt32(at + highAt, true)), true);
      copyHalf(block, at, scales, scaleAt + 4);
      if (halves === 2) copyHalf(block, at + 2, scales, scaleAt + 6);
      else scales.setUint16(scaleAt + 6, 0, true);
      splitNibbles(block, at + nibblesAt, NIBBLES, quants, quantAt, quantAt + 8);
    },
    (block, at, quants, quantAt, scales, scaleAt) => {
      block.setInt32(at + highAt, transposeBits(scales.getInt32(scaleAt, true)), true);
      copyHalf(scales, scaleAt + 4, block, at);
      if (halves === 2) copyHalf(scales, scaleAt + 6, block, at + 2);
      joinNibbles(quants, quantAt, quantAt + 8, NIBBLES, block, at + nibblesAt);
    },
  );
}

const q8_0 = groupFormat(
  'q8_0',
  (block, at, quants, quantAt, scales, scaleAt) => {
    copyHalf(block, at, scales, scaleAt);
    copyWords(block, at + 2, quants, quantAt, 32);
  },
  (block, at, quants, quantAt, scales, scaleAt) => {
    copyHalf(scales, scaleAt, block, at);
    copyWords(quants, quantAt, block, at + 2, 32);
  },
);

export const legacyFormats: readonly BlockFormat[] = [
  nibbleFormat('q4_0', 1),
  nibbleFormat('q4_1', 2),
  fiveBitFormat('q5_0', 1),
  fiveBitFormat('q5_1', 2),
  q8_0,
  nibbleFormat('iq4_nl', 1),
];
