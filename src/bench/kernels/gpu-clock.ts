/**
 * How long GPU work takes. Two clocks: timestamps that the GPU writes at the ends of passes, and the time from submitting
 * a batch to word of its end, less that of an empty batch. Browsers round timestamps to 100 µs, and word of the end takes
 * its time, so either clock measures batches that are long against that: see {@link calibrate}.
 */
import { TramontaneError } from '../../base/errors.ts';
import { type BoundStep, dispatchStep } from '../../modellib/bind-step.ts';
import type { BenchDevice } from './bench-device.ts';
import { median } from './kernel-report.ts';

/** Compute passes in order, each of one or more dispatches; in as many submissions as there are lists. */
export type Batch = readonly (readonly (readonly BoundStep[])[])[];

export interface GpuClock {
  kind: 'timestamp-query' | 'batches';
  /** Batches should last this long for an error below 2 %. */
  batchMicroseconds: number;
  /** Runs a batch. @returns microseconds from the start of its first pass to the end of its last */
  time(batch: Batch): Promise<number>;
  destroy(): void;
}

type PassEnds = (submission: number, pass: number) => GPUComputePassTimestampWrites | undefined;

function encode(device: GPUDevice, batch: Batch, ends: PassEnds = () => undefined): GPUCommandBuffer[] {
  return batch.map((passes, submission) => {
    const encoder = device.createCommandEncoder();
    for (const [i, steps] of passes.entries()) {
      const timestampWrites = ends(submission, i);
      const pass = encoder.beginComputePass(timestampWrites === undefined ? {} : { timestampWrites });
      for (const step of steps) dispatchStep(pass, step);
      pass.end();
    }
    return encoder.finish();
  });
}

/** Rounded to 100 µs at either end: 200 µs in 12 ms. */
const TIMESTAMP_BATCH = 12_000;
const TIMESTAMP_BYTES = 16;

export function timestampClock({ device, wait }: BenchDevice): GpuClock {
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
  const resolved = device.createBuffer({
    size: TIMESTAMP_BYTES,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const readable = device.createBuffer({
    size: TIMESTAMP_BYTES,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  return {
    kind: 'timestamp-query',
    batchMicroseconds: TIMESTAMP_BATCH,
    async time(batch) {
      const lastSubmission = batch.length - 1;
      const lastPass = batch[lastSubmission]!.length - 1;
      const commands = encode(device, batch, (submission, pass) => {
        const first = submission === 0 && pass === 0;
        const last = submission === lastSubmission && pass === lastPass;
        if (!first && !last) return undefined;
        return {
          querySet,
          ...(first ? { beginningOfPassWriteIndex: 0 } : {}),
          ...(last ? { endOfPassWriteIndex: 1 } : {}),
        };
      });
      const encoder = device.createCommandEncoder();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, readable, 0, TIMESTAMP_BYTES);
      for (const command of [...commands, encoder.finish()]) device.queue.submit([command]);
      await wait(readable.mapAsync(GPUMapMode.READ));
      const [start, end] = new BigUint64Array(readable.getMappedRange());
      const nanoseconds = Number(end! - start!);
      readable.unmap();
      return nanoseconds / 1000;
    },
    destroy() {
      querySet.destroy();
      resolved.destroy();
      readable.destroy();
    },
  };
}

/** Word of the end arrives some 0.1 ms late, give or take, and a browser's clock may tick as slowly. */
const BRACKETED_BATCH = 50_000;
const EMPTY_BATCHES = 15;

/** @param nothing a step of next to no work, which makes the empty batch one that the GPU has to see */
export async function batchClock({ device, wait }: BenchDevice, nothing: BoundStep): Promise<GpuClock> {
  const bracket = async (batch: Batch) => {
    const commands = encode(device, batch);
    const start = performance.now();
    for (const command of commands) device.queue.submit([command]);
    await wait(device.queue.onSubmittedWorkDone());
    return (performance.now() - start) * 1000;
  };
  const empty: number[] = [];
  for (let i = 0; i < EMPTY_BATCHES; i++) empty.push(await bracket([[[nothing]]]));
  const overhead = median(empty);
  return {
    kind: 'batches',
    batchMicroseconds: Math.max(BRACKETED_BATCH, overhead * 50),
    time: async (batch) => Math.max(0, (await bracket(batch)) - overhead),
    destroy() {},
  };
}

/** How often a batch is timed again whose end the clock puts before its beginning. */
const CLOCK_TRIES = 4;

/**
 * Times batches whose clock went backwards once more: some drivers set timestamps back when the GPU changes its power.
 * @param onFault is told of each
 * @returns a clock that throws TramontaneError `feature-missing` where it happens again and again
 */
export function forwardClock(clock: GpuClock, onFault: () => void): GpuClock {
  return {
    ...clock,
    async time(batch) {
      for (let tries = 0; tries < CLOCK_TRIES; tries++) {
        const microseconds = await clock.time(batch);
        if (microseconds >= 0) return microseconds;
        onFault();
      }
      throw new TramontaneError('feature-missing', 'The clock of this GPU goes backwards.', {
        nextStep: 'Update the graphics driver, and measure again.',
      });
    },
  };
}

/** One pass in which `steps` take turns, `count` dispatches in all, from step number `first` on. */
export function repeated(steps: readonly BoundStep[], count: number, first = 0): Batch {
  return [[Array.from({ length: count }, (_, i) => steps[(first + i) % steps.length]!)]];
}

/** So many dispatches that a command buffer stays small; a kernel of 2 µs then fills 16 ms. */
const MOST_REPEATS = 8192;
const GROWTH = 16;

/** Work that is timed again and again, so many repeats of it at a time that the clock is precise. */
export interface Timed {
  batchOf(repeats: number): Batch;
  repeats: number;
  /** Microseconds of one repetition, from the calibration. */
  estimate: number;
  /** Microseconds of one repetition. */
  samples: number[];
  /** Those of disturbed rounds. */
  uncounted: number[];
}

export function timed(batchOf: Timed['batchOf']): Timed {
  return { batchOf, repeats: 1, estimate: 0, samples: [], uncounted: [] };
}

function moreRepeats(clock: GpuClock, repeats: number, microseconds: number): number {
  const wanted = Math.ceil((repeats * clock.batchMicroseconds) / Math.max(microseconds, 1));
  return Math.min(MOST_REPEATS, wanted, repeats * GROWTH);
}

/** Finds how often to repeat work so that a batch of it is long enough for the clock. */
export async function calibrate(clock: GpuClock, work: Timed): Promise<void> {
  // First runs take long.
  await clock.time(work.batchOf(1));
  for (;;) {
    const once = () => clock.time(work.batchOf(work.repeats));
    let microseconds = await once();
    const enough = 0.85 * clock.batchMicroseconds;
    // Once more where it is only just enough: something else may have held it up.
    if (microseconds >= enough && microseconds < 4 * enough) {
      microseconds = Math.min(microseconds, await once());
    }
    work.estimate = microseconds / work.repeats;
    if (microseconds >= enough || work.repeats >= MOST_REPEATS) return;
    work.repeats = moreRepeats(clock, work.repeats, microseconds);
  }
}

/** Adds a sample. Work that has become much faster gets longer batches, and its samples are taken anew. */
export async function addSample(clock: GpuClock, work: Timed): Promise<void> {
  for (const wanted = work.samples.length + 1; work.samples.length < wanted; ) {
    const microseconds = await clock.time(work.batchOf(work.repeats));
    if (microseconds >= clock.batchMicroseconds / 3 || work.repeats >= MOST_REPEATS) {
      work.samples.push(microseconds / work.repeats);
    } else {
      work.repeats = moreRepeats(clock, work.repeats, microseconds);
      work.samples.length = 0;
    }
  }
}

/** How long to run before anything is timed: GPUs raise their clocks under load. */
const WARM_UP_MS = 200;

/**
 * Warms the device up and chooses the clock: timestamps where the device has them, unless they contradict the other one.
 * @param wanted takes this clock, whatever the timestamps say
 * @throws TramontaneError `feature-missing` for timestamps on a device without them
 */
export async function openClock(
  bench: BenchDevice,
  nothing: BoundStep,
  work: readonly BoundStep[],
  wanted: GpuClock['kind'] | undefined,
): Promise<{ clock: GpuClock; notes: string[] }> {
  const start = performance.now();
  const outside = await batchClock(bench, nothing);
  const warmUp = timed((repeats) => repeated(work, repeats));
  await calibrate(outside, warmUp);
  do await addSample(outside, warmUp);
  while (performance.now() - start < WARM_UP_MS);
  if (wanted === 'batches') return { clock: outside, notes: [] };
  if (!bench.hasTimestamps) {
    if (wanted === undefined) return { clock: outside, notes: [] };
    throw new TramontaneError('feature-missing', 'This GPU grants no timestamp queries.', {
      nextStep: 'Measure with bracketed batches.',
    });
  }
  const inside = timestampClock(bench);
  const batch = repeated(work, warmUp.repeats);
  const bracketed = await outside.time(batch);
  const stamped = await inside.time(batch);
  const agrees = stamped > bracketed / 4 && stamped < bracketed * 2;
  if (wanted === undefined && !agrees) {
    inside.destroy();
    const note = `Timestamp queries say ${stamped.toFixed(0)} µs where ${bracketed.toFixed(0)} µs passed, so batches were bracketed instead.`;
    return { clock: outside, notes: [note] };
  }
  return { clock: inside, notes: [] };
}
