/** What is said of a row of samples, and which of them not to count. */
import type { Sample, Statistics } from './report.ts';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Of the samples without a mark. */
export function summarise(samples: readonly Sample[]): Statistics {
  const values = samples.filter(({ mark }) => mark === null).map(({ value }) => value);
  const count = values.length;
  if (count === 0) {
    return {
      count,
      mean: null,
      standardDeviation: null,
      minimum: null,
      median: null,
      maximum: null,
      drift: null,
    };
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const first = values[0]!;
  return {
    count,
    mean,
    standardDeviation: count < 2 ? null : Math.sqrt(squares / (count - 1)),
    minimum: Math.min(...values),
    median: median(values),
    maximum: Math.max(...values),
    drift: count < 2 || first === 0 ? null : values[count - 1]! / first - 1,
  };
}

/** One slow sample at the end is an accident; two are a state. */
const LEAST_LATE_SAMPLES = 2;

/** How much longer late samples must take: after a single early sample, which may have been lucky, much longer. */
function throttledRatio(earlySamples: number): number {
  return earlySamples === 1 ? 1.5 : 1.2;
}

/**
 * Where a run became slower for good: the index of the first late sample, or null. Late samples are all slower than
 * any before them, and by a fifth in the median; of several such places the one with the widest step is taken.
 * @param durations of one test's samples, in order
 */
export function findThrottling(durations: readonly number[]): number | null {
  let found: number | null = null;
  let widest = 0;
  for (let start = 1; start <= durations.length - LEAST_LATE_SAMPLES; start++) {
    const early = durations.slice(0, start);
    const late = durations.slice(start);
    const step = Math.min(...late) / Math.max(...early);
    if (step <= 1 || median(late) / median(early) < throttledRatio(start) || step <= widest) continue;
    found = start;
    widest = step;
  }
  return found;
}
