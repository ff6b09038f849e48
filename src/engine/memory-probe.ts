/**
 * How much memory a GPU really grants. WebGPU's limits tell what one buffer may hold, not what there is; so this
 * allocates, buffer by buffer, until it is refused or has what it wanted, and gives everything back.
 *
 * Each buffer is filled before the next is asked for: drivers promise memory that they only look for when it is
 * written. What is granted may include memory of the system that a driver lends to the GPU; lending is slow, and a
 * step that takes too long counts as refused. The device is the probe's own: a model that is loaded elsewhere keeps
 * its device, but not necessarily its share of a full GPU.
 */
import { TramontaneError } from '../base/errors.ts';
import type { CallOptions, GpuMemoryProbe } from './api.ts';

/** The largest buffer that every WebGPU device allows. */
const STEP_BYTES = 256 * 2 ** 20;
/** Filling takes a few ms from the GPU's own memory; whoever needs this long is swapping. */
const STEP_LIMIT_MS = 5000;

export interface MemoryProbeOptions extends CallOptions {
  /** Default: the browser's. */
  gpu?: GPU;
  /** How long filling one buffer may take. */
  stepLimitMs?: number;
}

/**
 * Allocates up to `wantedBytes` and frees it again.
 * @throws TramontaneError `webgpu-unavailable`; `signal.reason` when aborted, with everything freed
 */
export async function probeGpuMemory(
  wantedBytes: number,
  { signal, gpu = globalThis.navigator?.gpu, stepLimitMs = STEP_LIMIT_MS }: MemoryProbeOptions = {},
): Promise<GpuMemoryProbe> {
  signal?.throwIfAborted();
  const adapter = (await gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
  if (adapter === null) {
    throw new TramontaneError('webgpu-unavailable', 'This browser offers no WebGPU adapter to test.', {
      nextStep: 'Use a current Chrome or Edge on a computer with a GPU.',
    });
  }
  const device = await adapter.requestDevice();
  let isLost = false;
  const lost = device.lost.then(() => {
    isLost = true;
  });
  const buffers: GPUBuffer[] = [];
  let grantedBytes = 0;
  try {
    while (grantedBytes < wantedBytes) {
      const byteLength = Math.min(STEP_BYTES, wantedBytes - grantedBytes);
      const isGranted = await allocate(device, Math.ceil(byteLength / 4) * 4, buffers, lost, stepLimitMs);
      signal?.throwIfAborted();
      if (!isGranted || isLost) break;
      grantedBytes += byteLength;
    }
  } finally {
    for (const buffer of buffers) buffer.destroy();
    device.destroy();
  }
  return { wantedBytes, grantedBytes };
}

/** @returns whether one more buffer could be had and filled, in time. */
async function allocate(
  device: GPUDevice,
  size: number,
  buffers: GPUBuffer[],
  lost: Promise<void>,
  limitMs: number,
): Promise<boolean> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const buffer = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  buffers.push(buffer);
  const encoder = device.createCommandEncoder();
  encoder.clearBuffer(buffer);
  device.queue.submit([encoder.finish()]);
  // A buffer that could not be had is an error of the first kind, filling it one of the second.
  const errors = Promise.all([device.popErrorScope(), device.popErrorScope()]);
  const work = Promise.all([errors, device.queue.onSubmittedWorkDone()]).then(([found]) =>
    found.every((error) => error === null),
  );
  // A lost device may reject what was asked of it.
  const refused = () => false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  try {
    return await Promise.race([work.catch(refused), lost.then(refused), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
