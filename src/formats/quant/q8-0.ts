/**
 * Q8_0: w = q * d. GGUF block of 34 bytes: f16 d, 32 int8.
 * Source: block_q8_0 in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */

import { float16ToNumber } from '../../base/float16.ts';
import { BLOCK_WEIGHTS, type BlockFormat, viewOf } from './block-format.ts';

const GGUF_BYTES = 34;
const QUANT_BYTES = 32;
const SCALE_BYTES = 2;

export const q8_0: BlockFormat = {
  name: 'q8_0',
  ggufBlockBytes: GGUF_BYTES,
  quantBytes: QUANT_BYTES,
  scaleBytes: SCALE_BYTES,
  repack(blocks, quants, scales) {
    const count = blocks.byteLength / GGUF_BYTES;
    for (let block = 0; block < count; block++) {
      const start = block * GGUF_BYTES;
      scales[block * 2] = blocks[start] as number;
      scales[block * 2 + 1] = blocks[start + 1] as number;
      for (let byte = 0; byte < QUANT_BYTES; byte++) {
        quants[block * QUANT_BYTES + byte] = blocks[start + SCALE_BYTES + byte] as number;
      }
    }
  },
  unpack(quants, scales, blocks) {
    const count = blocks.byteLength / GGUF_BYTES;
    for (let block = 0; block < count; block++) {
      const start = block * GGUF_BYTES;
      blocks[start] = scales[block * 2] as number;
      blocks[start + 1] = scales[block * 2 + 1] as number;
      for (let byte = 0; byte < QUANT_BYTES; byte++) {
        blocks[start + SCALE_BYTES + byte] = quants[block * QUANT_BYTES + byte] as number;
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
