/**
 * Q4_1: w = q * d + m. GGUF block of 20 bytes: f16 d, f16 m, 16 bytes of nibbles.
 * Source: block_q4_1 in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */

import { float16ToNumber } from '../../base/float16.ts';
import { BLOCK_WEIGHTS, type BlockFormat, viewOf, wordsOf, writableWordsOf } from './block-format.ts';
import { columnsToGgufNibbles, ggufNibblesToColumns } from './nibbles.ts';

const GGUF_BYTES = 20;
const GGUF_WORDS = GGUF_BYTES / 2;
const QUANT_BYTES = 16;
const QUANT_WORDS = QUANT_BYTES / 2;
const SCALE_BYTES = 4;

export const q4_1: BlockFormat = {
  name: 'q4_1',
  ggufBlockBytes: GGUF_BYTES,
  quantBytes: QUANT_BYTES,
  scaleBytes: SCALE_BYTES,
  repack(blocks, quants, scales) {
    const from = wordsOf(blocks);
    const toQuants = writableWordsOf(quants);
    const toScales = writableWordsOf(scales);
    for (let block = 0; block < from.length / GGUF_WORDS; block++) {
      const start = block * GGUF_WORDS;
      toScales[2 * block] = from[start] as number;
      toScales[2 * block + 1] = from[start + 1] as number;
      ggufNibblesToColumns(from, start + 2, toQuants, block * QUANT_WORDS);
    }
  },
  unpack(quants, scales, blocks) {
    const fromQuants = wordsOf(quants);
    const fromScales = wordsOf(scales);
    const to = writableWordsOf(blocks);
    for (let block = 0; block < to.length / GGUF_WORDS; block++) {
      const start = block * GGUF_WORDS;
      to[start] = fromScales[2 * block] as number;
      to[start + 1] = fromScales[2 * block + 1] as number;
      columnsToGgufNibbles(fromQuants, block * QUANT_WORDS, to, start + 2);
    }
  },
  dequantise(quants, scales, weights) {
    const scaleView = viewOf(scales);
    for (let column = 0; column < weights.length; column++) {
      const start = Math.floor(column / BLOCK_WEIGHTS) * SCALE_BYTES;
      const scale = float16ToNumber(scaleView.getUint16(start, true));
      const min = float16ToNumber(scaleView.getUint16(start + 2, true));
      const byte = quants[column >> 1] as number;
      weights[column] = (column & 1 ? byte >> 4 : byte & 0x0f) * scale + min;
    }
  },
};
