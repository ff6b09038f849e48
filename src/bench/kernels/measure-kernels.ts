/**
 * The kernel view: where the time of a decoded token and of a prefill chunk goes. On a device of its own it runs the
 * plans that the engine runs, over random weights; each kernel is timed in batches that go through all layers' weights
 * in turn, so that caches hold no more of them than they do in use.
 */
import type { LoadOptions } from '../../engine/api.ts';
import { lower } from '../../modellib/lower.ts';
import type { ModelDescription } from '../../models/model-description.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';
import { createDeviceModel, type DeviceModel } from './device-model.ts';
import { type GpuClock, openClock } from './gpu-clock.ts';
import type { KernelReport } from './kernel-report.ts';
import { nothingStep, OwnKernels } from './own-kernels.ts';
import { PhaseTimer } from './phase-timer.ts';
import { measureRoofs, prepareRoofs } from './roofs.ts';

/** Roofs, then the model's weights and kernels, then the timing. */
export interface KernelProgress {
  stage: 'roofs' | 'weights' | 'kernels' | 'timing';
  done: number;
  total: number;
}

export interface MeasureKernelsOptions {
  /** `navigator.gpu`. */
  gpu: GPU | undefined;
  /** Features and kernels to do without, as in loading a model. */
  disable?: LoadOptions['disable'];
  /** Positions in the KV cache before a decoded token. */
  depth: number;
  /** Tokens of a prefill chunk. */
  prefillTokens: number;
  /** Samples of each time. */
  repetitions: number;
  /** Default: timestamp queries where the device has them, unless they contradict the time that passed. */
  clock?: GpuClock['kind'];
  /** Most bytes of weights and KV caches. Default: what the device grants; in software 2 GiB. */
  maxBytes?: number;
  /** Makes the plans. Tests of the instrument pass altered ones. */
  lower?: typeof lower;
  signal?: AbortSignal;
  onProgress?: (progress: KernelProgress) => void;
}

const SOFTWARE_BYTES = 2 ** 31;

/**
 * @throws TramontaneError `webgpu-unavailable`, `adapter-limits`, `out-of-memory` where not one layer fits,
 *   `feature-missing` for a clock that the device lacks, `device-lost`, `config-invalid`, `shader-invalid`; the
 *   signal's reason
 */
export async function measureKernels(
  model: ModelDescription,
  options: MeasureKernelsOptions,
): Promise<KernelReport> {
  options.signal?.throwIfAborted();
  const bench = await openBenchDevice(options.gpu, options.disable);
  const own = new OwnKernels(bench);
  try {
    return await measure(bench, own, model, options);
  } finally {
    own.destroy();
    bench.destroy();
  }
}

async function measure(
  bench: BenchDevice,
  own: OwnKernels,
  model: ModelDescription,
  options: MeasureKernelsOptions,
): Promise<KernelReport> {
  const { depth, prefillTokens, repetitions, signal, onProgress = () => undefined } = options;

  onProgress({ stage: 'roofs', done: 0, total: 1 });
  const roofWork = await prepareRoofs(bench, own);
  const word = bench.device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
  const nothing = await own.bind(nothingStep(), { word });
  const { clock, notes } = await openClock(bench, nothing, roofWork.copies, options.clock);
  const roofs = await measureRoofs(roofWork, clock);
  // Room for the weights.
  roofWork.destroy();
  onProgress({ stage: 'roofs', done: 1, total: 1 });
  signal?.throwIfAborted();

  const deviceModel = await createDeviceModel(bench, own, model, {
    lower: options.lower ?? lower,
    depth,
    prefillTokens,
    maxBytes: options.maxBytes ?? (bench.adapter.isSoftware ? SOFTWARE_BYTES : Infinity),
    signal,
    onLayer: (done, total) => onProgress({ stage: 'weights', done, total }),
    onPipeline: (done, total) => onProgress({ stage: 'kernels', done, total }),
  });
  const phases = (['prefill', 'decode'] as const).map(
    (phase) => new PhaseTimer(bench, clock, deviceModel[phase]),
  );
  const total = (repetitions + 1) * phases.reduce((sum, { count }) => sum + count, 0);
  let done = 0;
  const step = () => {
    signal?.throwIfAborted();
    onProgress({ stage: 'timing', done: ++done, total });
  };
  for (const phase of phases) await phase.calibrate(step);
  // Rounds: what changes over time (heat, other programs) changes every figure alike.
  for (let round = 0; round < repetitions; round++) {
    for (const phase of phases) await phase.sample(step);
  }
  clock.destroy();

  const [prefill, decode] = phases.map((phase) => phase.report(roofs));
  const reached = [...decode!.kernels, ...prefill!.kernels].map(
    ({ gflopsPerSecond }) => gflopsPerSecond ?? 0,
  );
  return {
    clock: clock.kind,
    adapter: bench.adapter,
    copyGigabytesPerSecond: roofs.copyGigabytesPerSecond,
    peakGflopsPerSecond: Math.max(roofs.arithmeticGflopsPerSecond, ...reached),
    layers: deviceModel.layers,
    weightBytes: deviceModel.weightBytes,
    decode: decode!,
    prefill: prefill!,
    notes: [...notes, ...modelNotes(deviceModel)],
  };
}

function modelNotes({ layers, decode, prefill }: DeviceModel): string[] {
  if (layers.measured === layers.total) return [];
  const missing = [decode, prefill].flatMap(({ steps, wholeModel }) => {
    const measured = new Set(steps.map(({ step }) => step.kernel.name));
    return [...wholeModel.keys()].filter((name) => !measured.has(name));
  });
  return [
    `${layers.measured} of ${layers.total} layers fit the memory; times of whole steps are extrapolated.`,
    ...(missing.length > 0 ? [`Not measured, for lack of memory: ${[...new Set(missing)].join(', ')}.`] : []),
  ];
}
