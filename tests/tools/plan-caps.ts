/** Devices to plan for, without a GPU. */
import type { GpuCaps } from '../../src/modellib/gpu-caps.ts';

const common = {
  maxInvocationsPerWorkgroup: 256,
  maxWorkgroupStorageBytes: 32768,
  maxStorageBindingBytes: 128 * 2 ** 20,
  maxStorageBuffersPerStage: 10,
};

/** WebLLM's least device, the same with each feature, and a software driver. */
export const planCaps: Readonly<Record<'least' | 'f16' | 'subgroups' | 'best' | 'software', GpuCaps>> = {
  least: { ...common, shaderF16: false, subgroups: false, subgroupMinSize: 0, subgroupMaxSize: 0 },
  f16: { ...common, shaderF16: true, subgroups: false, subgroupMinSize: 0, subgroupMaxSize: 0 },
  subgroups: { ...common, shaderF16: false, subgroups: true, subgroupMinSize: 8, subgroupMaxSize: 32 },
  best: { ...common, shaderF16: true, subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 64 },
  software: { ...common, shaderF16: false, subgroups: true, subgroupMinSize: 4, subgroupMaxSize: 4 },
};

/** Facts of a kernel's text that a plan must respect. */
export function kernelFacts(wgsl: string): { invocations: number; workgroupBytes: number } {
  const sizes: Record<string, number> = { 'vec4<f32>': 16, 'vec4<f16>': 8, f32: 4, u32: 4, i32: 4 };
  let workgroupBytes = 0;
  for (const [, type, count] of wgsl.matchAll(/var<workgroup> \w+: array<(.+), (\d+)>;/g)) {
    workgroupBytes += sizes[type!]! * Number(count);
  }
  return { invocations: Number(/@workgroup_size\((\d+)\)/.exec(wgsl)![1]), workgroupBytes };
}
