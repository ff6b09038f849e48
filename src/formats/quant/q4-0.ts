/**
 * Q4_0: w = (q - 8) * d. GGUF block of 18 bytes: f16 d, 16 bytes of nibbles.
 * Source: block_q4_0 in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */

import { float16ToNumber } from '../../base/float16.ts';
import { BLOCK_WEIGHTS, type BlockFormat, viewOf } from './block-format.ts';
import { columnsToGgufNibbles, ggufNibblesToColumns } from './nibbles.ts';

const GGUF_BYTES = 18;
const QUANT_BYTES = 16;
const SCALE_BYTES = 2;

export const q4_0: BlockFormat = {
  name: 'q4_0',
  ggufBlockBytes: GGUF_BYTES,
  quantBytes: QUANT_BYTES,
  scaleBytes: SCALE_BYTES,
  repack(blocks, quants, scales) {
    const count = blocks.byteLength / GGUF_BYTES;
    for (let block = 0; block < count; block++) {
      const start = block * GGUF_BYTES;
      scales[block * 2] = blocks[start] as number;
      scales[block * 2 + 1] = blocks[start + 1] as number;
      ggufNibblesToColumns(blocks, start + SCALE_BYTES, quants, block * QUANT_BYTES);
    }
  },
  unpack(quants, scales, blocks) {
    const count = blocks.byteLength / GGUF_BYTES;
    for (let block = 0; block < count; block++) {
      const start = block * GGUF_BYTES;
      blocks[start] = scales[block * 2] as number;
      blocks[start + 1] = scales[block * 2 + 1] as number;
      columnsToGgufNibbles(quants, block * QUANT_BYTES, blocks, start + SCALE_BYTES);
    }
  },
  dequantise(quants, scales, weights) {
    const scaleView = viewOf(scales);
    for (let column = 0; column < weights.length; column++) {
      const scale = float16ToNumber(scaleView.getUint16(Math.floor(column / BLOCK_WEIGHTS) * 2, true));
      const byte = quants[column >> 1] as number;
      weights[column] = ((column & 1 ? byte >> 4 : byte & 0x0f) - 8) * scale;
    }
  },
};
