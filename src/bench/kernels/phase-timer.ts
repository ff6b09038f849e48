/** Times the kernels of one phase, its steps as a whole, and the processor's part in them. */
import { type BoundStep, dispatchStep } from '../../modellib/bind-step.ts';
import { evaluateAmount, type StepWork } from '../../modellib/library-spec.ts';
import type { BenchDevice } from './bench-device.ts';
import type { DevicePhase, DeviceStep } from './device-model.ts';
import { addSample, type Batch, calibrate, type GpuClock, repeated, type Timed, timed } from './gpu-clock.ts';
import { type KernelTiming, median, type PhaseReport } from './kernel-report.ts';
import type { Roofs } from './roofs.ts';

/** Submissions of a whole step are cut at about this: drivers kill work that takes two seconds. */
const SUBMISSION_MICROSECONDS = 400_000;
/** Work that has had this long, and two samples, sits out further rounds. */
const ENOUGH_MICROSECONDS = 3e6;
/** Long against the tick of a browser's clock. */
const CPU_SAMPLE_MS = 5;
const CPU_SAMPLE_STEPS = 16;

/** One kernel at one shape, in all layers that have it. */
interface TimedKernel extends Timed {
  name: string;
  work: StepWork;
  bound: BoundStep[];
}

function timedKernel({ kernel, work }: DeviceStep['step']): TimedKernel {
  const bound: BoundStep[] = [];
  let next = 0;
  const takeTurns = (repeats: number) => {
    // From batch to batch too.
    const first = next;
    next = (first + repeats) % bound.length;
    return repeated(bound, repeats, first);
  };
  return { ...timed(takeTurns), name: kernel.name, work, bound };
}

/** A step as the engine runs it, a pass for each dispatch, cut into submissions by what its kernels take. */
function stepPasses(steps: readonly DeviceStep[], kernels: ReadonlyMap<string, Timed>): Batch {
  const submissions: BoundStep[][][] = [[]];
  let microseconds = 0;
  for (const { step, bound } of steps) {
    const { estimate } = kernels.get(step.kernel.name)!;
    if (microseconds + estimate > SUBMISSION_MICROSECONDS && submissions.at(-1)!.length > 0) {
      submissions.push([]);
      microseconds = 0;
    }
    submissions.at(-1)!.push([bound]);
    microseconds += estimate;
  }
  return submissions;
}

export class PhaseTimer {
  readonly #bench: BenchDevice;
  readonly #clock: GpuClock;
  readonly #phase: DevicePhase;
  readonly #kernels = new Map<string, TimedKernel>();
  readonly #step: Timed;
  readonly #cpu = { samples: [] as number[], uncounted: [] as number[] };

  constructor(bench: BenchDevice, clock: GpuClock, phase: DevicePhase) {
    this.#bench = bench;
    this.#clock = clock;
    this.#phase = phase;
    for (const { step, bound } of phase.steps) {
      const { name } = step.kernel;
      const kernel = this.#kernels.get(name) ?? timedKernel(step);
      this.#kernels.set(name, kernel);
      kernel.bound.push(bound);
    }
    let passes: Batch | null = null;
    this.#step = timed((repeats) => {
      passes ??= stepPasses(phase.steps, this.#kernels);
      const all = Array.from({ length: repeats }, () => passes!);
      // Short steps follow one another within a submission, long ones have several.
      return passes.length === 1 ? [all.flat(2)] : all.flat();
    });
  }

  /** In the order in which they are timed: the whole step knows its kernels' times. */
  #all(): Timed[] {
    return [...this.#kernels.values(), this.#step];
  }

  /** How many times `onDone` is called by {@link calibrate}, and by each {@link sample}. */
  get count(): number {
    return this.#kernels.size + 1;
  }

  async calibrate(onDone: () => void): Promise<void> {
    for (const work of this.#all()) {
      await calibrate(this.#clock, work);
      onDone();
    }
  }

  /**
   * One sample of everything.
   * @returns what takes them out of the figures again
   */
  async sample(onDone: () => void): Promise<() => void> {
    const rows = [...this.#all(), this.#cpu];
    const before = rows.map(({ samples }) => samples.length);
    for (const work of this.#all()) {
      const { repeats, samples, estimate } = work;
      const enough = samples.length >= 2 && samples.length * repeats * estimate > ENOUGH_MICROSECONDS;
      if (!enough) await addSample(this.#clock, work);
      onDone();
    }
    this.#cpu.samples.push(this.#timeEncoding());
    await this.#bench.wait(this.#bench.device.queue.onSubmittedWorkDone());
    return () => {
      for (const [i, { samples, uncounted }] of rows.entries()) {
        // Fewer than before: all were taken anew.
        const first = samples.length < before[i]! ? 0 : before[i]!;
        uncounted.push(...samples.splice(first));
      }
    };
  }

  /** Microseconds to encode and submit a step as WebLLM's runtime does: uniforms and bind groups anew, many passes. */
  #timeEncoding(): number {
    const { device } = this.#bench;
    const most = Math.min(CPU_SAMPLE_STEPS, 1 + Math.floor(SUBMISSION_MICROSECONDS / this.#step.estimate));
    const start = performance.now();
    let steps = 0;
    let elapsed = 0;
    while (steps < most && elapsed < CPU_SAMPLE_MS) {
      const encoder = device.createCommandEncoder();
      for (const { rebind } of this.#phase.steps) {
        const pass = encoder.beginComputePass();
        dispatchStep(pass, rebind());
        pass.end();
      }
      device.queue.submit([encoder.finish()]);
      steps++;
      elapsed = performance.now() - start;
    }
    return (elapsed * 1000) / steps;
  }

  /** Where nothing counts, everything does: a figure with a warning is better than none. */
  #settle(): void {
    for (const row of [...this.#all(), this.#cpu]) {
      if (row.samples.length === 0) row.samples.push(...row.uncounted.splice(0));
    }
  }

  report(roofs: Roofs): PhaseReport {
    this.#settle();
    const { phase, tokens, depth, variables, steps, wholeModel } = this.#phase;
    const timings = [...this.#kernels.values()].map(({ name, work, bound, samples, uncounted }) => {
      const dispatches = wholeModel.get(name)!;
      const microseconds = median(samples);
      const bytes = evaluateAmount(work.bytes, variables);
      const flops = work.flops === null ? null : evaluateAmount(work.flops, variables);
      const gigabytesPerSecond = bytes / microseconds / 1000;
      const timing: KernelTiming = {
        name,
        op: work.op,
        formats: work.formats.join(' + '),
        shape: work.shape,
        phase,
        dispatches,
        microseconds,
        bytes,
        gigabytesPerSecond,
        shareOfCopyBandwidth: gigabytesPerSecond / roofs.copyGigabytesPerSecond,
        flops,
        gflopsPerSecond: flops === null ? null : flops / microseconds / 1000,
        shareOfTime: 0,
        samples: [...samples],
        uncounted: [...uncounted],
      };
      return { timing, missing: dispatches - bound.length };
    });
    const sum = (each: (entry: (typeof timings)[number]) => number) =>
      timings.reduce((total, entry) => total + each(entry), 0);
    const kernelMicroseconds = sum(({ timing }) => timing.dispatches * timing.microseconds);
    // What layers that did not fit would add.
    const missing = sum((entry) => entry.missing * entry.timing.microseconds);
    const dispatches = [...wholeModel.values()].reduce((total, count) => total + count, 0);
    return {
      tokens,
      depth,
      dispatches,
      cpuMicroseconds: (median(this.#cpu.samples) * dispatches) / steps.length,
      gpuMicroseconds: median(this.#step.samples) + missing,
      kernelMicroseconds,
      kernels: timings
        .map(({ timing }) => ({
          ...timing,
          shareOfTime: (timing.dispatches * timing.microseconds) / kernelMicroseconds,
        }))
        .sort((a, b) => b.shareOfTime - a.shareOfTime),
    };
  }
}
