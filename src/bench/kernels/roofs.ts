/** What this very GPU can do at most: copy memory, and multiply and add in registers. */
import { TramontaneError } from '../../base/errors.ts';
import type { BoundStep } from '../../modellib/bind-step.ts';
import type { BenchDevice } from './bench-device.ts';
import { DeviceBuffers } from './device-buffers.ts';
import { addSample, calibrate, type GpuClock, repeated, timed } from './gpu-clock.ts';
import { arithmeticStep, copyStep, type OwnKernels } from './own-kernels.ts';

export interface Roofs {
  /** Bytes read plus bytes written. */
  copyGigabytesPerSecond: number;
  /** f32; a multiplication and addition are two operations. */
  arithmeticGflopsPerSecond: number;
}

/** Work that goes to the limit, each entry the whole of it in another shape. */
export interface RoofWork {
  copies: readonly BoundStep[];
  /** Of one copy, read and written. */
  copyBytes: number;
  arithmetic: readonly BoundStep[];
  arithmeticFlops: number;
  destroy(): void;
}

const MIB = 2 ** 20;
/** Caches of 128 MiB are on sale; software has a processor's. */
const COPY_BYTES = 256 * MIB;
const SOFTWARE_COPY_BYTES = 16 * MIB;
const LEAST_COPY_BYTES = 16 * MIB;

/** Lanes of a workgroup, and vec4s of a lane. */
const COPY_SHAPES = [
  [64, 1],
  [256, 1],
  [256, 4],
  [64, 16],
] as const;

/** Enough lanes for any GPU; software has as many as the processor. */
const ARITHMETIC_WORKGROUPS = 8192;
const SOFTWARE_ARITHMETIC_WORKGROUPS = 32;

const SAMPLES = 3;

/** @throws TramontaneError `out-of-memory` */
export async function prepareRoofs(bench: BenchDevice, own: OwnKernels): Promise<RoofWork> {
  const { isSoftware = false, maxStorageBindingBytes } = bench.caps;
  const buffers = new DeviceBuffers(bench, own);
  const workgroups = isSoftware ? SOFTWARE_ARITHMETIC_WORKGROUPS : ARITHMETIC_WORKGROUPS;
  const { step, flops, sumBytes } = arithmeticStep(workgroups);
  let bytes = Math.min(isSoftware ? SOFTWARE_COPY_BYTES : COPY_BYTES, maxStorageBindingBytes);
  const allocate = () =>
    buffers.allocate([
      { key: 'original', byteLength: bytes, contents: { kind: 'bits' } },
      { key: 'copied', byteLength: bytes, contents: null },
      { key: 'factors', byteLength: 32, contents: { kind: 'f32', exponent: 1 } },
      { key: 'sums', byteLength: sumBytes, contents: null },
    ]);
  while (!(await allocate())) {
    bytes /= 2;
    if (bytes < LEAST_COPY_BYTES) {
      throw new TramontaneError('out-of-memory', `The GPU has no room for two buffers of ${bytes} bytes.`, {
        nextStep: 'Close other programs that use the GPU.',
      });
    }
  }
  const named = (...names: string[]) => Object.fromEntries(names.map((name) => [name, buffers.get(name)]));
  return {
    copies: await Promise.all(
      COPY_SHAPES.map(([lanes, each]) =>
        own.bind(copyStep(bytes / 16, lanes, each), named('original', 'copied')),
      ),
    ),
    copyBytes: 2 * bytes,
    arithmetic: [await own.bind(step, named('factors', 'sums'))],
    arithmeticFlops: flops,
    destroy: () => buffers.destroy(),
  };
}

/** The best of several samples of every shape. */
export async function measureRoofs(work: RoofWork, clock: GpuClock): Promise<Roofs> {
  const best = async (steps: readonly BoundStep[]) => {
    let least = Infinity;
    for (const step of steps) {
      const work = timed((repeats) => repeated([step], repeats));
      await calibrate(clock, work);
      for (let i = 0; i < SAMPLES; i++) await addSample(clock, work);
      least = Math.min(least, ...work.samples);
    }
    return least;
  };
  return {
    copyGigabytesPerSecond: work.copyBytes / (await best(work.copies)) / 1000,
    arithmeticGflopsPerSecond: work.arithmeticFlops / (await best(work.arithmetic)) / 1000,
  };
}
