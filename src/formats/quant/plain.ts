/** F32 and F16: weights as they are, without scales. A "block" is 32 of them, for the sake of the common layout. */

import { float16ToNumber } from '../../base/float16.ts';
import { type BlockFormat, viewOf } from './block-format.ts';

function plainFormat(
  name: 'f32' | 'f16',
  blockBytes: number,
  readWeight: (view: DataView, index: number) => number,
): BlockFormat {
  return {
    name,
    ggufBlockBytes: blockBytes,
    quantBytes: blockBytes,
    scaleBytes: 0,
    repack(blocks, quants) {
      quants.set(blocks);
    },
    unpack(quants, _scales, blocks) {
      blocks.set(quants);
    },
    dequantise(quants, _scales, weights) {
      const view = viewOf(quants);
      for (let index = 0; index < weights.length; index++) weights[index] = readWeight(view, index);
    },
  };
}

export const f32 = plainFormat('f32', 128, (view, index) => view.getFloat32(index * 4, true));
export const f16 = plainFormat('f16', 64, (view, index) => float16ToNumber(view.getUint16(index * 2, true)));
