/** The device under test, in Node (Dawn) or in a browser, with the limits and features that WebLLM asks for. */
import type { GpuCaps } from '../../src/modellib/gpu-caps.ts';

export interface TestDevice {
  device: GPUDevice;
  caps: GpuCaps;
}

let cached: Promise<TestDevice> | null = null;

/** @throws Error where there is no adapter: the project's browser or driver is missing, which config reports. */
export function getTestDevice(): Promise<TestDevice> {
  cached ??= createTestDevice();
  return cached;
}

async function createTestDevice(): Promise<TestDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('no WebGPU adapter');
  const wanted = ['shader-f16', 'subgroups'] as const;
  const requiredFeatures = wanted.filter((feature) => adapter.features.has(feature));
  const limit = (name: 'maxBufferSize' | 'maxStorageBufferBindingSize', value: number) =>
    Math.min(adapter.limits[name], value);
  const requiredLimits = {
    maxBufferSize: limit('maxBufferSize', 2 ** 30),
    maxStorageBufferBindingSize: limit('maxStorageBufferBindingSize', 2 ** 30),
    maxComputeWorkgroupStorageSize: 32768,
    maxStorageBuffersPerShaderStage: 10,
  };
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  const info = adapter.info as GPUAdapterInfo & { subgroupMinSize?: number; subgroupMaxSize?: number };
  return {
    device,
    caps: {
      shaderF16: device.features.has('shader-f16'),
      subgroups: device.features.has('subgroups'),
      subgroupMinSize: info.subgroupMinSize ?? 0,
      subgroupMaxSize: info.subgroupMaxSize ?? 0,
      maxInvocationsPerWorkgroup: device.limits.maxComputeInvocationsPerWorkgroup,
      maxWorkgroupStorageBytes: device.limits.maxComputeWorkgroupStorageSize,
      maxStorageBindingBytes: device.limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerStage: device.limits.maxStorageBuffersPerShaderStage,
    },
  };
}

/** The variants of a device: as it is, and with its features taken away, so that every kernel family is tested. */
export function capsVariants(caps: GpuCaps): { name: string; caps: GpuCaps }[] {
  const variants = [{ name: 'full', caps }];
  if (caps.subgroups) variants.push({ name: 'no subgroups', caps: { ...caps, subgroups: false } });
  if (caps.shaderF16) {
    variants.push({ name: 'no f16', caps: { ...caps, shaderF16: false } });
    variants.push({ name: 'neither', caps: { ...caps, shaderF16: false, subgroups: false } });
  }
  return variants;
}
