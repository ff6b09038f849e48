import type { GpuCaps } from '../../gpu-caps.ts';

/** Subgroups of GPUs have 16 lanes and more at their widest; a processor's vectors have 4 or 8. */
const WIDEST_PROCESSOR_SUBGROUP = 8;

/** True for a processor that poses as a GPU: its kernels avoid workgroup memory and loads, and few lanes are enough. */
export function hasNarrowSubgroups({ subgroups, subgroupMaxSize }: GpuCaps): boolean {
  return subgroups && subgroupMaxSize > 0 && subgroupMaxSize <= WIDEST_PROCESSOR_SUBGROUP;
}
