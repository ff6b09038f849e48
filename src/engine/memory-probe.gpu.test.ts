import { expect, test } from 'vitest';
import { probeGpuMemory } from './memory-probe.ts';

const MIB = 2 ** 20;
/** A machine that does other things besides may take its time. */
const stepLimitMs = 300_000;

interface Watched {
  gpu: GPU;
  devices: GPUDevice[];
  buffers: GPUBuffer[];
}

/** The real GPU, whose devices and buffers are noted; `onBuffer` is called with the number of each new buffer. */
function watch(onBuffer: (count: number, device: GPUDevice) => void = () => {}): Watched {
  const watched: Watched = { gpu: navigator.gpu, devices: [], buffers: [] };
  watched.gpu = {
    requestAdapter: async (options: GPURequestAdapterOptions) => {
      const adapter = await navigator.gpu.requestAdapter(options);
      if (adapter === null) throw new Error('no WebGPU adapter');
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (descriptor) => {
        const device = await requestDevice(descriptor);
        watched.devices.push(device);
        const createBuffer = device.createBuffer.bind(device);
        device.createBuffer = (bufferDescriptor) => {
          const buffer = createBuffer(bufferDescriptor);
          watched.buffers.push(buffer);
          onBuffer(watched.buffers.length, device);
          return buffer;
        };
        return device;
      };
      return adapter;
    },
  } as unknown as GPU;
  return watched;
}

test('what is there is granted, in steps of at most 256 MiB, and freed afterwards', async () => {
  const watched = watch();
  const wantedBytes = 300 * MIB + 1;
  expect(await probeGpuMemory(wantedBytes, { gpu: watched.gpu, stepLimitMs })).toEqual({
    wantedBytes,
    grantedBytes: wantedBytes,
  });
  expect(watched.buffers.map(({ size }) => size)).toEqual([256 * MIB, 44 * MIB + 4]);
  expect((await watched.devices[0]!.lost).reason).toBe('destroyed');
});

test('a GPU without memory left ends it at what was granted', async () => {
  // Software drivers have all of the system's memory, which a test must not use up: the refusal is put in.
  const watched = watch((count, device) => {
    if (count !== 2) return;
    const popErrorScope = device.popErrorScope.bind(device);
    device.popErrorScope = async () => {
      device.popErrorScope = popErrorScope;
      return (await popErrorScope()) ?? new GPUOutOfMemoryError('no memory left');
    };
  });
  expect(await probeGpuMemory(600 * MIB, { gpu: watched.gpu, stepLimitMs })).toEqual({
    wantedBytes: 600 * MIB,
    grantedBytes: 256 * MIB,
  });
  expect((await watched.devices[0]!.lost).reason).toBe('destroyed');
});

test('a device that is lost meanwhile ends it too', async () => {
  const watched = watch((count, device) => {
    if (count === 2) device.destroy();
  });
  const { grantedBytes } = await probeGpuMemory(600 * MIB, { gpu: watched.gpu, stepLimitMs });
  expect(grantedBytes).toBe(256 * MIB);
});

test('a step that takes too long counts as refused', async () => {
  const { grantedBytes } = await probeGpuMemory(64 * MIB, { gpu: watch().gpu, stepLimitMs: 0 });
  expect(grantedBytes).toBe(0);
});

test('aborting frees everything and throws the reason', async () => {
  const aborting = new AbortController();
  const reason = new DOMException('Enough.', 'AbortError');
  const watched = watch(() => aborting.abort(reason));
  await expect(
    probeGpuMemory(600 * MIB, { gpu: watched.gpu, stepLimitMs, signal: aborting.signal }),
  ).rejects.toBe(reason);
  expect(watched.buffers).toHaveLength(1);
  expect((await watched.devices[0]!.lost).reason).toBe('destroyed');
});

test('without an adapter it is a typed error', async () => {
  const gpu = { requestAdapter: async () => null } as unknown as GPU;
  await expect(probeGpuMemory(1, { gpu })).rejects.toMatchObject({ code: 'webgpu-unavailable' });
});
