/**
 * GGUF's formats with blocks of 32 weights that share a scale d, and some a minimum m, both f16. The file has a block's
 * d and m first, then its quants.
 *
 * | type | block                          | weight     |
 * |------|--------------------------------|------------|
 * | Q4_0 | d, 16 bytes of nibbles         | (q - 8) * d |
 * | Q4_1 | d, m, 16 bytes of nibbles      | q * d + m  |
 * | Q8_0 | d, 32 int8                     | q * d      |
 *
 * Source: block_q4_0 and the following in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { WEIGHT_FORMATS } from '../../base/weight-formats.ts';
import { type BlockFormat, blockFormat, wordsOf, writableWordsOf } from './block-format.ts';
import { columnsToGgufNibbles, ggufNibblesToColumns } from './nibbles.ts';

/** Moves the 16-bit words of a block's quants between two arrays, from one order to another. */
type MoveQuants = (
  source: Uint16Array,
  sourceStart: number,
  target: Uint16Array,
  targetStart: number,
) => void;

const copyBytes: MoveQuants = (source, sourceStart, target, targetStart) => {
  for (let word = 0; word < 16; word++) target[targetStart + word] = source[sourceStart + word] as number;
};

/** Formats whose scales are the words before a block's quants. */
function scaledFormat(
  name: 'q4_0' | 'q4_1' | 'q8_0',
  toColumns: MoveQuants,
  toGguf: MoveQuants,
): BlockFormat {
  const quantWords = WEIGHT_FORMATS[name].quantBytes / 2;
  const scaleWords = WEIGHT_FORMATS[name].scaleBytes / 2;
  const sourceWords = scaleWords + quantWords;
  return blockFormat(name, {
    repack(groups, quants, scales) {
      const from = wordsOf(groups);
      const toQuants = writableWordsOf(quants);
      const toScales = writableWordsOf(scales);
      for (let block = 0, start = 0; start < from.length; block++, start += sourceWords) {
        for (let i = 0; i < scaleWords; i++) toScales[block * scaleWords + i] = from[start + i] as number;
        toColumns(from, start + scaleWords, toQuants, block * quantWords);
      }
    },
    unpack(quants, scales, groups) {
      const fromQuants = wordsOf(quants);
      const fromScales = wordsOf(scales);
      const to = writableWordsOf(groups);
      for (let block = 0, start = 0; start < to.length; block++, start += sourceWords) {
        for (let i = 0; i < scaleWords; i++) to[start + i] = fromScales[block * scaleWords + i] as number;
        toGguf(fromQuants, block * quantWords, to, start + scaleWords);
      }
    },
  });
}

export const legacyFormats: readonly BlockFormat[] = [
  scaledFormat('q4_0', ggufNibblesToColumns, columnsToGgufNibbles),
  scaledFormat('q4_1', ggufNibblesToColumns, columnsToGgufNibbles),
  scaledFormat('q8_0', copyBytes, copyBytes),
];
