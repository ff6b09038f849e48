/** The device's variants that choose between matrix kernels. */
import type { GpuCaps } from '../../src/modellib/gpu-caps.ts';

export interface MatrixVariant {
  name: string;
  caps: GpuCaps;
  /** The device as it is: every case. The others run the essential ones, for software drivers compile slowly. */
  thorough: boolean;
}

export function matrixVariants(caps: GpuCaps): MatrixVariant[] {
  const variants = [{ name: 'full', caps, thorough: true }];
  const add = (name: string, changes: Partial<GpuCaps>) =>
    variants.push({ name, caps: { ...caps, ...changes }, thorough: false });
  const software = caps.subgroups && caps.subgroupMaxSize <= 8;
  // Software drivers have kernels of their own; this brings out those of real GPUs.
  if (software) add('wide subgroups', { subgroupMaxSize: 32 });
  // The software driver with f16 takes seconds to compile a kernel; the one without covers the rest.
  if (software && caps.shaderF16) return variants;
  if (caps.subgroups) add('no subgroups', { subgroups: false });
  if (caps.shaderF16) {
    add('no f16', { shaderF16: false });
    add('neither', { shaderF16: false, subgroups: false });
  }
  return variants;
}
