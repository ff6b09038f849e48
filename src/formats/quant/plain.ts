/** Weights as they are, without scales. A "group" is 32 of them, for the sake of the common layout. */
import { type BlockFormat, blockFormat, type Packing } from './block-format.ts';

const asTheyAre: Packing = {
  repack: (groups, quants) => quants.set(groups),
  unpack: (quants, _scales, groups) => groups.set(quants),
};

export const plainFormats: readonly BlockFormat[] = [
  blockFormat('f32', asTheyAre),
  blockFormat('f16', asTheyAre),
  blockFormat('bf16', asTheyAre),
];
