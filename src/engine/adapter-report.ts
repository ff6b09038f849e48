/** What the visitor's WebGPU adapter can do, read before anything is downloaded. */
import { TramontaneError } from '../base/errors.ts';
import type { GpuCaps } from '../modellib/gpu-caps.ts';
import { bindingBytes, REQUIRED_LIMITS } from '../models/fit.ts';
import type { AdapterReport, LoadOptions } from './api.ts';

/** The adapter that WebLLM will take (it asks for the fastest), or null where there is no WebGPU. */
export async function readAdapter(): Promise<AdapterReport | null> {
  const gpu = globalThis.navigator?.gpu;
  if (gpu === undefined) return null;
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  return adapter === null ? null : describeAdapter(adapter);
}

export function describeAdapter({ info, limits, features }: GPUAdapter): AdapterReport {
  const named = `${info.vendor} ${info.architecture} ${info.description}`.toLowerCase();
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    isSoftware: info.isFallbackAdapter === true || /swiftshader|llvmpipe|software|basic render/.test(named),
    shaderF16: features.has('shader-f16'),
    subgroups: features.has('subgroups'),
    subgroupMinSize: info.subgroupMinSize ?? 0,
    subgroupMaxSize: info.subgroupMaxSize ?? 0,
    maxBufferBytes: limits.maxBufferSize,
    maxStorageBindingBytes: limits.maxStorageBufferBindingSize,
    maxWorkgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
    maxInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxStorageBuffersPerStage: limits.maxStorageBuffersPerShaderStage,
  };
}

/**
 * The device facts that kernels are chosen by, as WebLLM's device will have them.
 * @throws TramontaneError `webgpu-unavailable`, `adapter-limits`
 */
export function requireCaps(
  report: AdapterReport | null,
  disable: NonNullable<LoadOptions['disable']> = [],
): GpuCaps {
  if (report === null) {
    throw new TramontaneError('webgpu-unavailable', 'This browser offers no WebGPU adapter.', {
      nextStep:
        'Use a current Chrome or Edge on a computer with a GPU. On Linux, WebGPU may have to be enabled in chrome://flags.',
    });
  }
  for (const [name, needed, unit] of REQUIRED_LIMITS) {
    const found = report[name];
    if (found < needed) {
      throw new TramontaneError('adapter-limits', `The GPU allows ${found} ${unit}; ${needed} are needed.`, {
        nextStep: 'Update the graphics driver or the browser, or use another GPU.',
        data: { limit: name, found, needed },
      });
    }
  }
  return {
    shaderF16: report.shaderF16 && !disable.includes('shader-f16'),
    subgroups: report.subgroups && !disable.includes('subgroups'),
    subgroupMinSize: report.subgroupMinSize,
    subgroupMaxSize: report.subgroupMaxSize,
    maxInvocationsPerWorkgroup: Math.min(1024, report.maxInvocationsPerWorkgroup),
    maxWorkgroupStorageBytes: 32 * 1024,
    maxStorageBindingBytes: bindingBytes(report),
    maxStorageBuffersPerStage: 10,
    isSoftware: report.isSoftware && !disable.includes('software-kernels'),
  };
}
