/**
 * The kernel view: where the time of a decoded token and of a prefill chunk goes. On a device of its own it runs the
 * plans that the engine runs, over random weights; each kernel is timed in batches that go through all layers' weights
 * in turn, so that caches hold no more of them than they do in use.
 */
import type { LoadOptions } from '../../engine/api.ts';
import { lower } from '../../modellib/lower.ts';
import type { ModelDescription } from '../../models/model-description.ts';
import { type BusyProbe, blindProbe, type Disturber } from '../busy-probe.ts';
import { type BenchDevice, openBenchDevice } from './bench-device.ts';
import { createDeviceModel, type DeviceModel } from './device-model.ts';
import { forwardClock, type GpuClock, openClock } from './gpu-clock.ts';
import type { KernelDisturbance, KernelReport, Phase } from './kernel-report.ts';
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
  /** Watches each round of samples. Default: nothing is known of other programs. */
  probe?: BusyProbe;
  /** Default: timestamp queries where the device has them, unless they contradict the time that passed. */
  clock?: GpuClock['kind'];
  /** Most bytes of weights and KV caches. Default: what the device grants; in software 2 GiB. */
  maxBytes?: number;
  /** Most layers to measure. Default: all; in software 4. */
  maxLayers?: number;
  /** Makes the plans. Tests of the instrument pass altered ones. */
  lower?: typeof lower;
  /** Other plans, to be measured in turns with these: samples of the same index are of the same round. */
  before?: typeof lower;
  signal?: AbortSignal;
  onProgress?: (progress: KernelProgress) => void;
}

const SOFTWARE_BYTES = 2 ** 31;
/** A processor computes for so long that its caches matter little: a few layers tell as much as all. */
const SOFTWARE_LAYERS = 4;

/** Disturbed rounds are taken again, where the probe knows when that is over: so many are taken for each asked for. */
const MOST_ROUNDS = 2;

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
  const {
    depth,
    prefillTokens,
    repetitions,
    probe = blindProbe,
    signal,
    onProgress = () => undefined,
  } = options;

  onProgress({ stage: 'roofs', done: 0, total: 1 });
  const roofWork = await prepareRoofs(bench, own);
  const word = bench.device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
  const nothing = await own.bind(nothingStep(), { word });
  const opened = await openClock(bench, nothing, roofWork.copies, options.clock);
  let clockFaults = 0;
  const clock = forwardClock(opened.clock, () => clockFaults++);
  const roofs = await measureRoofs(roofWork, clock);
  // Room for the weights.
  roofWork.destroy();
  onProgress({ stage: 'roofs', done: 1, total: 1 });
  signal?.throwIfAborted();

  const maxLayers = options.maxLayers ?? (bench.adapter.isSoftware ? SOFTWARE_LAYERS : Infinity);
  const measured: { deviceModel: DeviceModel; prefill: PhaseTimer; decode: PhaseTimer }[] = [];
  const pipelines = new Map<string, GPUComputePipeline>();
  for (const variant of [options.lower ?? lower, ...(options.before === undefined ? [] : [options.before])]) {
    const deviceModel = await createDeviceModel(bench, own, model, {
      lower: variant,
      depth,
      prefillTokens,
      maxBytes: options.maxBytes ?? (bench.adapter.isSoftware ? SOFTWARE_BYTES : Infinity),
      maxLayers,
      pipelines,
      signal,
      onLayer: (done, total) => onProgress({ stage: 'weights', done, total }),
      onPipeline: (done, total) => onProgress({ stage: 'kernels', done, total }),
    });
    const timer = (phase: Phase) => new PhaseTimer(bench, clock, deviceModel[phase]);
    measured.push({ deviceModel, prefill: timer('prefill'), decode: timer('decode') });
  }
  const phases = measured.flatMap(({ prefill, decode }) => [prefill, decode]);
  const roundSteps = phases.reduce((sum, { count }) => sum + count, 0);
  let total = (repetitions + 1) * roundSteps;
  let done = 0;
  const step = () => {
    signal?.throwIfAborted();
    onProgress({ stage: 'timing', done: ++done, total });
  };
  for (const phase of phases) await phase.calibrate(step);
  // Rounds: what changes over time (heat, other programs) changes every figure alike.
  const disturbers: Disturber[] = [];
  const mostRounds = repetitions * (probe.repeats ? MOST_ROUNDS : 1);
  for (let round = 0, counted = 0; counted < repetitions && round < mostRounds; round++) {
    const watch = await probe.start();
    let disturber: Disturber | null = null;
    const forget: (() => void)[] = [];
    try {
      // Back and forth: neither of two variants is always the later one.
      for (const phase of round % 2 === 0 ? phases : phases.toReversed())
        forget.push(await phase.sample(step));
    } finally {
      disturber = await watch.stop();
    }
    if (disturber === null) counted++;
    const left = Math.min(repetitions - counted, mostRounds - round - 1);
    // With the calibration.
    total = (round + 2 + left) * roundSteps;
    if (disturber === null) continue;
    disturbers.push(disturber);
    for (const forgetSamples of forget) forgetSamples();
  }
  clock.destroy();

  const [now, before] = measured.map(({ prefill, decode }) => ({
    decode: decode.report(roofs),
    prefill: prefill.report(roofs),
  }));
  const { decode, prefill } = now!;
  const reached = [...decode.kernels, ...prefill.kernels].map(({ gflopsPerSecond }) => gflopsPerSecond ?? 0);
  const { deviceModel } = measured[0]!;
  return {
    clock: clock.kind,
    adapter: bench.adapter,
    copyGigabytesPerSecond: roofs.copyGigabytesPerSecond,
    peakGflopsPerSecond: Math.max(roofs.arithmeticGflopsPerSecond, ...reached),
    layers: deviceModel.layers,
    weightBytes: deviceModel.weightBytes,
    decode,
    prefill,
    before: before ?? null,
    disturbances: describeDisturbances(disturbers, clockFaults),
    notes: [...opened.notes, ...modelNotes(deviceModel, maxLayers)],
  };
}

function describeDisturbances(disturbers: readonly Disturber[], clockFaults: number): KernelDisturbance[] {
  const found: KernelDisturbance[] = (['busy', 'stolen'] as const).flatMap((kind) => {
    const [first, ...others] = disturbers.filter((disturber) => disturber.kind === kind);
    return first === undefined ? [] : [{ kind, count: 1 + others.length, text: first.text }];
  });
  if (clockFaults > 0)
    found.push({ kind: 'clock', count: clockFaults, text: 'the clock of the GPU went backwards' });
  return found;
}

function modelNotes({ layers, decode, prefill }: DeviceModel, maxLayers: number): string[] {
  if (layers.measured === layers.total) return [];
  const missing = [decode, prefill].flatMap(({ steps, wholeModel }) => {
    const measured = new Set(steps.map(({ step }) => step.kernel.name));
    return [...wholeModel.keys()].filter((name) => !measured.has(name));
  });
  return [
    `${layers.measured} of ${layers.total} layers ${layers.measured < maxLayers ? 'fit the memory' : 'were measured'}; times of whole steps are extrapolated.`,
    ...(missing.length > 0 ? [`Not measured: ${[...new Set(missing)].join(', ')}.`] : []),
  ];
}
