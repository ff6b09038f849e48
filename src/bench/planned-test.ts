/** A test before it runs: what it will report, what it costs, and how one sample is taken. */
import type { BenchmarkEngine, CallOptions, LoadedModel, LoadedModelFacts } from '../engine/api.ts';
import type { Clock } from './clock.ts';
import type { SelfCheck, SuiteName, Unit } from './report.ts';
import type { WorkloadSize } from './workloads.ts';

/** One row of the report. A test may fill several with each sample: a chat has three times. */
export interface Series {
  id: string;
  unit: Unit;
  tokens: number | null;
  depth: number;
}

export interface TakenSample {
  /** In the order of the test's series; null where this sample has none for it. */
  values: readonly (number | null)[];
  /** The time that the clock's faults are looked for in: as the engine measured it. */
  ms: number;
  /** Parts of it, where the engine tells. */
  parts: readonly number[];
  /** How many times the work was done, where once was too short for the clock. Default 1. */
  times?: number;
  /** How long the clock ran for each value, where that is not all of `ms`. */
  spans?: readonly (number | null)[];
}

/** What the estimate of duration is made of. */
export interface Work {
  prefillTokens: number;
  decodeTokens: number;
  loads: number;
}

export interface PlannedTest {
  suite: SuiteName;
  series: readonly Series[];
  repetitions: number;
  warmUps: number;
  setUpWork: Work;
  /** Of one sample. */
  work: Work;
  /** Done once, before the first sample. */
  setUp?(options: Required<CallOptions>): Promise<void>;
  take(options: Required<CallOptions>, repetition: number): Promise<TakenSample>;
}

/** What suites plan with. */
export interface SuiteContext {
  engine: BenchmarkEngine;
  model: LoadedModel;
  facts: LoadedModelFacts;
  size: WorkloadSize;
  clock: Clock;
  /** How long a sample has to be for its figure to be worth something. */
  leastMs: number;
  /** Adds a sentence to the report. */
  note(text: string): void;
  /** The same, of a test of the KV cache's depths that cannot be run: with depths asked for by hand, something is missing. */
  leaveOut(text: string): void;
  /** Hands in how the self-check was done. */
  reportSelfCheck(check: SelfCheck): void;
}

export const NO_WORK: Work = { prefillTokens: 0, decodeTokens: 0, loads: 0 };

export function work(prefillTokens: number, decodeTokens = 0): Work {
  return { prefillTokens, decodeTokens, loads: 0 };
}
