/** A device of the kernel view's own: as WebLLM would ask for it, and with timestamp queries where there are any. */
import { delay } from '../../base/abort.ts';
import { TramontaneError } from '../../base/errors.ts';
import { describeAdapter, requireCaps } from '../../engine/adapter-report.ts';
import type { AdapterReport, LoadOptions } from '../../engine/api.ts';
import type { GpuCaps } from '../../modellib/gpu-caps.ts';

export interface BenchDevice {
  device: GPUDevice;
  adapter: AdapterReport;
  caps: GpuCaps;
  hasTimestamps: boolean;
  /** Waits for GPU work. @throws TramontaneError `device-lost`, `engine-failed` for an error that the GPU reported */
  wait<T>(work: Promise<T>): Promise<T>;
  destroy(): void;
}

/** How long word of a lost device may take to arrive when work failed without a reason. */
const LOSS_MS = 100;

/** @throws TramontaneError `webgpu-unavailable`, `adapter-limits` */
export async function openBenchDevice(
  gpu: GPU | undefined,
  disable: NonNullable<LoadOptions['disable']> = [],
): Promise<BenchDevice> {
  const adapter = (await gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
  const report = adapter === null ? null : describeAdapter(adapter);
  const caps = requireCaps(report, disable);
  const device = await adapter!.requestDevice({
    requiredFeatures: (['shader-f16', 'subgroups', 'timestamp-query'] as const).filter((feature) =>
      adapter!.features.has(feature),
    ),
    requiredLimits: {
      maxBufferSize: Math.min(adapter!.limits.maxBufferSize, 2 ** 30),
      maxStorageBufferBindingSize: caps.maxStorageBindingBytes,
      maxComputeWorkgroupStorageSize: caps.maxWorkgroupStorageBytes,
      maxStorageBuffersPerShaderStage: caps.maxStorageBuffersPerStage,
      maxComputeInvocationsPerWorkgroup: caps.maxInvocationsPerWorkgroup,
    },
  });

  const state: { lost?: GPUDeviceLostInfo; error?: GPUError; destroyed?: true } = {};
  const loss = device.lost.then((info) => {
    state.lost = info;
  });
  device.addEventListener('uncapturederror', ({ error }) => {
    state.error ??= error;
  });
  const check = () => {
    const { lost, error, destroyed } = state;
    if (lost !== undefined && !destroyed) {
      throw new TramontaneError('device-lost', `The GPU device was lost: ${lost.message || lost.reason}`, {
        nextStep: 'Close other programs that use the GPU, and measure again.',
      });
    }
    if (error !== undefined) {
      throw new TramontaneError('engine-failed', `The GPU reported an error: ${error.message}`);
    }
  };
  return {
    device,
    adapter: report!,
    caps,
    hasTimestamps: device.features.has('timestamp-query'),
    async wait(work) {
      try {
        const result = await work;
        check();
        return result;
      } catch (error) {
        await Promise.race([loss, delay(LOSS_MS)]);
        check();
        throw error;
      }
    },
    destroy() {
      state.destroyed = true;
      device.destroy();
    },
  };
}
