/**
 * The benchmark's report: plain data, the same from the page, the element and the command. Its published form is
 * docs/bench-report.schema.json, which a test holds every report to.
 */
import type { AdapterReport, MemoryPlan } from '../engine/api.ts';
import type { KernelReport } from './kernels/kernel-report.ts';

export const REPORT_VERSION = 2;

/** Why a sample is kept but not counted. */
export type Mark =
  /** Other programs used the processor while it was taken. */
  | 'busy'
  /** The host of this virtual machine did. */
  | 'stolen'
  /** The clock went backwards, jumped, or is too coarse for it. */
  | 'clock'
  /** It is one of the late samples of a run that became much slower for good. */
  | 'throttled'
  /** Taken before the others on purpose. */
  | 'warm-up';

export interface Sample {
  /** In the test's unit. */
  value: number;
  /** How long it took; the mean, where it was done several times for the clock's sake. */
  ms: number;
  mark: Mark | null;
}

/** Of the samples without a mark; null where there are none (standard deviation and drift: fewer than two). */
export interface Statistics {
  count: number;
  mean: number | null;
  /** Of the sample: divided by n - 1. */
  standardDeviation: number | null;
  minimum: number | null;
  median: number | null;
  maximum: number | null;
  /** Last value against the first: 0.1 is a tenth more. */
  drift: number | null;
}

/** Suites of tests, and `kernels`: the kernel view, which has a part of the report to itself. */
export type SuiteName = 'standard' | 'chat' | 'followup' | 'json' | 'load' | 'selfcheck' | 'kernels';

export type Unit = 'tokens/s' | 'ms' | 'MB/s' | '%' | 'ratio';

export interface BenchTest {
  /** `pp512`, `tg128 @ d2048`, `chat 1k: time to first token`. */
  id: string;
  suite: SuiteName;
  unit: Unit;
  /** Tokens that one sample is about, where it is about tokens. */
  tokens: number | null;
  /** Tokens in the KV cache before. */
  depth: number;
  /** In the order in which they were taken. */
  samples: Sample[];
  statistics: Statistics;
}

/** What a reader has to know before comparing this report with another. */
export type Label =
  /** Something that was asked for is missing; `stoppedBy` and `notes` tell why. */
  | 'partial'
  | 'aborted'
  | 'device-lost'
  | 'failed'
  /** Smaller tests than the standard's, since those would have taken too long. */
  | 'short'
  /** A CPU played the GPU. */
  | 'software'
  | 'random-weights'
  | 'busy'
  | 'stolen'
  | 'clock'
  | 'coarse-clock'
  | 'throttled'
  /** The model's tokens were not those they should be: the figures are of a faulty computation. */
  | 'self-check-failed';

/** The machine, as far as a page (or Node) can see it. */
export interface MachineCard {
  adapter: AdapterReport;
  /** Of the device that the model ran on. */
  deviceLimits: Readonly<Record<string, number>>;
  deviceFeatures: readonly string[];
  runtime: 'browser' | 'dawn';
  /** `Chromium 141.0.7390.65`, `Node 22.1.0, webgpu 0.6.2`. */
  program: string;
  userAgent: string | null;
  os: string;
  /** Threads that the processor runs at once. */
  cores: number;
  /** Name of the processor; a page cannot know it. */
  processor: string | null;
  /** As the browser tells it, rounded and cut off; in Node what the machine has. */
  memoryGib: number | null;
  clockResolutionMs: number;
  crossOriginIsolated: boolean;
  /** `mains`, `battery 80 %, discharging`; null where nothing tells. */
  power: string | null;
}

export interface BenchSoftware {
  tramontane: string;
  webLlm: string;
  /** As in LoadedModel: `generated:f16,subgroups`. */
  library: string;
  libraryByteLength: number;
  librarySha256: string;
  /** Hash of the generated library's runtime; null for a prebuilt library. */
  runtime: string | null;
}

export interface BenchModel {
  id: string;
  name: string;
  quantization: string;
  parameterCount: number | null;
  weightBytes: number;
  sourceSha256: string | null;
  tensorCacheSha256: string;
  contextLength: number;
  memory: MemoryPlan | null;
}

/** How the self-check was done, and what it found. */
export interface SelfCheck {
  /** Stored with the program, from another implementation; from this machine's first run; or none but the engine's own. */
  reference: 'golden' | 'first-run' | 'own-prefill';
  positions: number;
  agreement: number;
}

export interface ThermalReport {
  /** What is known, in sentences. */
  note: string;
  /** How much longer the first standard test took at the end than in the mean before: 0.1 is a tenth; null: not known. */
  slowdownAtEnd: number | null;
  /** Before the first test and after the last; empty where nothing can be read, as in a page. */
  sensors: readonly { name: string; beforeCelsius: number; afterCelsius: number }[];
}

export interface BenchSettings {
  suites: readonly SuiteName[];
  /** Suites that ran in their short form. */
  shortSuites: readonly SuiteName[];
  depths: readonly number[];
  repetitions: number;
  /** What was thought, before it started, that it would take. */
  estimateMs: number | null;
}

export interface BenchReport {
  version: typeof REPORT_VERSION;
  status: 'complete' | 'partial';
  labels: Label[];
  /** What ended it early, as a sentence. */
  stoppedBy: string | null;
  /** ISO 8601. */
  startedAt: string;
  durationMs: number;
  settings: BenchSettings;
  machine: MachineCard;
  software: BenchSoftware;
  model: BenchModel;
  tests: BenchTest[];
  selfCheck: SelfCheck | null;
  /** How warm the machine got, and whether that showed. */
  thermal: ThermalReport;
  /** Where the time goes, kernel by kernel; null where that was not asked for, or not reached. */
  kernels: KernelReport | null;
  notes: string[];
}
