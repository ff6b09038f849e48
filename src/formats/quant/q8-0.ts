/**
 * Q8_0: w = q * d. GGUF block of 34 bytes: f16 d, 32 int8.
 * Source: block_q8_0 in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */

import { float16ToNumber } from '../../base/float16.ts';
import { BLOCK_WEIGHTS, type BlockFormat, viewOf, wordsOf, writableWordsOf } from './block-format.ts';

const GGUF_BYTES = 34;
const GGUF_WORDS = GGUF_BYTES / 2;
const QUANT_BYTES = 32;
const QUANT_WORDS = QUANT_BYTES / 2;
const SCALE_BYTES = 2;

export const q8_0: BlockFormat = {
  name: 'q8_0',
  ggufBlockBytes: GGUF_BYTES,
  quantBytes: QUANT_BYTES,
  scaleBytes: SCALE_BYTES,
  repack(blocks, quants, scales) {
    const from = wordsOf(blocks);
    const toQuants = writableWordsOf(quants);
    const toScales = writableWordsOf(scales);
    for (let block = 0; block < from.length / GGUF_WORDS; block++) {
      const start = block * GGUF_WORDS;
      toScales[block] = from[start] as number;
      for (let word = 0; word < QUANT_WORDS; word++) {
        toQuants[block * QUANT_WORDS + word] = from[start + 1 + word] as number;
      }
    }
  },
  unpack(quants, scales, blocks) {
    const fromQuants = wordsOf(quants);
    const fromScales = wordsOf(scales);
    const to = writableWordsOf(blocks);
    for (let block = 0; block < to.length / GGUF_WORDS; block++) {
      const start = block * GGUF_WORDS;
      to[start] = fromScales[block] as number;
      for (let word = 0; word < QUANT_WORDS; word++) {
        to[start + 1 + word] = fromQuants[block * QUANT_WORDS + word] as number;
      }
    }
  },
  dequantise(quants, scales, weights) {
    const quantView = viewOf(quants);
    const scaleView = viewOf(scales);
    for (let column = 0; column < weights.length; column++) {
      const scale = float16ToNumber(scaleView.getUint16(Math.floor(column / BLOCK_WEIGHTS) * 2, true));
      weights[column] = quantView.getInt8(column) * scale;
    }
  },
};
