/**
 * Q4_1: w = q * d + m. GGUF block of 20 bytes: f16 d, f16 m, 16 bytes of nibbles.
 * Source: block_q4_1 in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */

import { float16ToNumber } from '../../base/float16.ts';
import { BLOCK_WEIGHTS, type BlockFormat, viewOf } from './block-format.ts';
import { columnsToGgufNibbles, ggufNibblesToColumns } from './nibbles.ts';

const GGUF_BYTES = 20;
const QUANT_BYTES = 16;
const SCALE_BYTES = 4;

export const q4_1: BlockFormat = {
  name: 'q4_1',
  ggufBlockBytes: GGUF_BYTES,
  quantBytes: QUANT_BYTES,
  scaleBytes: SCALE_BYTES,
  repack(blocks, quants, scales) {
    const count = blocks.byteLength / GGUF_BYTES;
    for (let block = 0; block < count; block++) {
      const start = block * GGUF_BYTES;
      for (let byte = 0; byte < SCALE_BYTES; byte++) {
        scales[block * SCALE_BYTES + byte] = blocks[start + byte] as number;
      }
      ggufNibblesToColumns(blocks, start + SCALE_BYTES, quants, block * QUANT_BYTES);
    }
  },
  unpack(quants, scales, blocks) {
    const count = blocks.byteLength / GGUF_BYTES;
    for (let block = 0; block < count; block++) {
      const start = block * GGUF_BYTES;
      for (let byte = 0; byte < SCALE_BYTES; byte++) {
        blocks[start + byte] = scales[block * SCALE_BYTES + byte] as number;
      }
      columnsToGgufNibbles(quants, block * QUANT_BYTES, blocks, start + SCALE_BYTES);
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
