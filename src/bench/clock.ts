/**
 * Whether a measured time can be believed. Two clocks are read around every sample: one that should never go
 * backwards (`performance.now`) and the calendar's (`Date.now`). Where they disagree the machine slept, or somebody set
 * a clock; where parts of a sample take negative or absurd times the engine's own clock is at fault.
 */
import { median } from './statistics.ts';

export interface Clock {
  /** Milliseconds from some start; should never go backwards. */
  now(): number;
  /** Unix milliseconds. */
  wall(): number;
}

export const systemClock: Clock = { now: () => performance.now(), wall: () => Date.now() };

/** The calendar clock ticks in milliseconds, may be slewed a little, and is not read at the same instant. */
const DISAGREEMENT_MS = 100;
const DISAGREEMENT_SHARE = 0.02;
/** A sample is this many ticks of the clock or more, so that a tick is at most a fiftieth of it. */
const LEAST_TICKS = 50;
/** A part that takes over a second, and as long as so many others, is a pause and not work. */
const PAUSE_MS = 1000;
const PAUSE_PARTS = 20;

const RESOLUTION_STEPS = 5;
const RESOLUTION_READINGS = 1_000_000;

/** The smallest step of the clock that was seen, in milliseconds. Browsers coarsen it; 0 if it did not move at all. */
export function measureResolution(clock: Pick<Clock, 'now'>): number {
  let smallest = Number.POSITIVE_INFINITY;
  let last = clock.now();
  for (let steps = 0, readings = 0; steps < RESOLUTION_STEPS && readings < RESOLUTION_READINGS; readings++) {
    const time = clock.now();
    if (time > last) {
      smallest = Math.min(smallest, time - last);
      steps++;
    }
    last = time;
  }
  return Number.isFinite(smallest) ? smallest : 0;
}

export interface MeasuredTime {
  /** As the engine measured it. */
  ms: number;
  /** Steps or chunks of it, where the engine tells. */
  parts: readonly number[];
  /** Around the engine's call, by both clocks. */
  elapsedMs: number;
  wallMs: number;
  resolutionMs: number;
}

export interface ClockFault {
  kind: 'clock' | 'coarse-clock';
  /** As the second half of a sentence. */
  text: string;
}

/** @returns what is wrong with a measured time, or null */
export function findClockFault(time: MeasuredTime): ClockFault | null {
  const text = findFault(time);
  if (text !== null) return { kind: 'clock', text };
  const { ms, resolutionMs } = time;
  if (!isTooCoarse(ms, resolutionMs)) return null;
  return {
    kind: 'coarse-clock',
    text: `the clock is too coarse (steps of ${format(resolutionMs)}) for ${format(ms)}`,
  };
}

/** How long a sample has to be at the least. */
export function leastMs(resolutionMs: number): number {
  return resolutionMs * LEAST_TICKS;
}

export function isTooCoarse(ms: number, resolutionMs: number): boolean {
  return ms < leastMs(resolutionMs);
}

function findFault(time: MeasuredTime): string | null {
  const { ms, parts, elapsedMs, wallMs } = time;
  const backwards = [ms, elapsedMs, ...parts].find((value) => !(value >= 0));
  if (backwards !== undefined) return `the clock went backwards (a time of ${format(backwards)})`;
  if (ms === 0) return 'the clock stood still';
  const allowed = Math.max(DISAGREEMENT_MS, DISAGREEMENT_SHARE * Math.max(elapsedMs, wallMs));
  if (Math.abs(wallMs - elapsedMs) > allowed) {
    return `the clocks disagree (${format(elapsedMs)} and ${format(wallMs)}): the machine slept, or a clock was set`;
  }
  if (ms > elapsedMs + allowed) {
    return `the engine's clock jumped (${format(ms)} of ${format(elapsedMs)})`;
  }
  const longest = Math.max(0, ...parts);
  if (longest > PAUSE_MS && longest > PAUSE_PARTS * median(parts)) {
    return `there was a pause of ${format(longest)}`;
  }
  return null;
}

function format(ms: number): string {
  return `${Number(ms.toPrecision(3))} ms`;
}
