/** What `npm run bench` and the page that it drives say to each other. Types only: one runs in Node, one in a browser. */
import type { LoadOptions, ModelSource, Progress } from '../engine/api.ts';
import type { Disturber } from './busy-probe.ts';
import type { HostFacts } from './machine.ts';
import type { BenchReport, SuiteName } from './report.ts';
import type { BenchEstimate, BenchProgress } from './run.ts';
import type { GoldenText } from './suites/selfcheck.ts';
import type { Temperatures } from './thermal.ts';

/** What the command asks of the page. */
export interface BenchRequest {
  source: ModelSource;
  load: LoadOptions;
  /** Delete the stored weights first. */
  coldLoad: boolean;
  suites: readonly SuiteName[];
  size: 'auto' | 'full' | 'short';
  depths: readonly number[] | null;
  repetitions: number | null;
  version: string;
  /** What a page cannot know of the machine, or only coarsely. */
  machine: Pick<HostFacts, 'os' | 'processor' | 'memoryGib' | 'power'>;
  /** True where Node can tell what other programs use; else the page does with its timers. */
  hasProbe: boolean;
}

/** Calls from the page to the command, and what they are answered with. */
export interface BenchCalls {
  load: { input: Progress; output: null };
  estimate: { input: BenchEstimate; output: null };
  progress: { input: BenchProgress; output: null };
  report: { input: BenchReport; output: null };
  /** Begins to watch the processor; answered by the watch's number. */
  watch: { input: null; output: number };
  /** Ends watch `input`; answered by what was seen. */
  unwatch: { input: number; output: Disturber | null };
  temperatures: { input: null; output: Temperatures };
  readFirstRun: { input: string; output: GoldenText | null };
  writeFirstRun: { input: { key: string; text: GoldenText }; output: null };
}

export type BenchCaller = <Name extends keyof BenchCalls>(
  name: Name,
  input: BenchCalls[Name]['input'],
) => Promise<BenchCalls[Name]['output']>;
