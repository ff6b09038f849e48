/**
 * Runs the benchmark on an engine, in a page or in Node alike. Whatever happens on the way, what was measured comes
 * back: a lost device, an abort or a failed test end in a report that says so.
 */
import { errorMessage, isTramontaneError, TramontaneError } from '../base/errors.ts';
import type {
  BenchmarkEngine,
  LoadedModel,
  LoadedModelFacts,
  LoadOptions,
  ModelSource,
  Progress,
} from '../engine/api.ts';
import { usualPrefillChunk } from '../engine/prefill-chunk.ts';
import type { ModelDescription } from '../models/model-description.ts';
import type { BusyProbe } from './busy-probe.ts';
import { type Clock, findClockFault, leastMs, measureResolution, systemClock } from './clock.ts';
import type { KernelReport } from './kernels/kernel-report.ts';
import type { MeasureKernelsOptions } from './kernels/measure-kernels.ts';
import { type LoadTiming, timeLoad, withoutDownload } from './load-timing.ts';
import { buildMachineCard, type HostFacts } from './machine.ts';
import { NO_WORK, type PlannedTest, type SuiteContext, type TakenSample } from './planned-test.ts';
import { type Disturbance, percent, Recorder } from './recorder.ts';
import {
  type BenchReport,
  type BenchSettings,
  type Mark,
  REPORT_VERSION,
  type SelfCheck,
  type SuiteName,
} from './report.ts';
import { planChat } from './suites/chat.ts';
import { planFollowup } from './suites/followup.ts';
import { planJson } from './suites/json.ts';
import { loadSample, loadSeries, planLoad } from './suites/load.ts';
import { type FirstRunStore, type Goldens, LEAST_AGREEMENT, planSelfCheck } from './suites/selfcheck.ts';
import { planStandard } from './suites/standard.ts';
import { reportThermal, type Temperatures, type ThermalFacts } from './thermal.ts';
import {
  BUDGET_MS,
  FULL,
  fillerTokens,
  LEAST_SAMPLE_MS,
  REPEATS_PER_SAMPLE,
  SHORT,
  SUITES,
  TRIAL,
  type WorkloadSize,
} from './workloads.ts';

/** How much of the whole an estimate is trusted for before what has passed says otherwise. */
const ETA_TRUST = 0.2;

/** What the kernel view takes on a fast GPU: until it times, and for a round of batches of the kernels of a phase. */
const KERNELS = { startMs: 3000, batchesMs: 300 };

const KERNEL_STAGES = {
  roofs: 'limits of this GPU',
  weights: 'weights',
  kernels: 'compiling',
  timing: 'timing',
} as const;

/** Only a clear difference: the single sample at the end has no spread of its own. */
const THROTTLED_AT_END = 1.2;

export interface BenchProgress {
  suite: SuiteName;
  test: string;
  /** From 1; warm-ups and repeated samples are counted. */
  repetition: number;
  of: number;
  elapsedMs: number;
  /** Null while unknown. */
  etaMs: number | null;
}

/** `measureKernels` of ./kernels, wherever it runs: it brings a device of its own. */
export type MeasureKernels = (
  model: ModelDescription,
  options: Pick<
    MeasureKernelsOptions,
    'disable' | 'depth' | 'prefillTokens' | 'repetitions' | 'probe' | 'signal' | 'onProgress'
  >,
) => Promise<KernelReport>;

export interface BenchEstimate {
  durationMs: number;
  /** Suites that will run in their short form, since the full one would take over ten minutes. */
  shortSuites: readonly SuiteName[];
}

export interface BenchOptions {
  suites: readonly SuiteName[];
  host: HostFacts;
  /** Of this program. */
  version: string;
  probe: BusyProbe;
  /** For the suite `kernels`. */
  measureKernels: MeasureKernels;
  /** Where temperatures can be read. */
  readTemperatures?: () => Promise<Temperatures>;
  load?: LoadOptions;
  /** Delete the stored weights first. Only for models that can be had again from where they came. */
  coldLoad?: boolean;
  /** `auto`: full, and short where a trial says that a suite would take over ten minutes. Default: auto. */
  size?: 'auto' | 'full' | 'short';
  /** In place of those of the workload. */
  depths?: readonly number[];
  repetitions?: number;
  goldens?: readonly Goldens[];
  firstRuns?: FirstRunStore;
  /** The weights are random: nothing that is generated means anything. */
  randomWeights?: boolean;
  clock?: Clock;
  signal?: AbortSignal;
  onLoadProgress?: (progress: Progress) => void;
  /** Called before the tests begin; they wait for it, so that a person can be asked. */
  onEstimate?: (estimate: BenchEstimate) => void | Promise<void>;
  onProgress?: (progress: BenchProgress) => void;
  /** Called after each test with the report as it stands, for whoever may not see the end. */
  onReport?: (report: BenchReport) => void;
}

/**
 * @throws what `loadModel` throws, and the signal's reason where it aborts before the model is loaded: nothing has
 *   been measured then. Later failures are in the report.
 */
export async function runBenchmark(
  engine: BenchmarkEngine,
  source: ModelSource,
  options: BenchOptions,
): Promise<BenchReport> {
  const clock = options.clock ?? systemClock;
  const signal = options.signal ?? new AbortController().signal;
  const start = { ms: clock.now(), wall: clock.wall() };
  signal.throwIfAborted();
  if (options.coldLoad === true) await engine.deleteModel(source.id);
  const { model, timing } = await timeLoad(
    engine,
    source,
    { ...options.load, signal, onProgress: options.onLoadProgress },
    clock,
  );
  const facts = await engine.describeModel();
  return new Run(engine, source, options, { clock, signal, start, model, facts, firstLoad: timing }).finish();
}

interface Circumstances {
  clock: Clock;
  signal: AbortSignal;
  start: { ms: number; wall: number };
  model: LoadedModel;
  facts: LoadedModelFacts;
  firstLoad: LoadTiming;
}

/** Milliseconds that work takes, as far as the trial tells. */
interface Rates {
  prefillTokenMs: number;
  decodeTokenMs: number;
  loadMs: number;
}

class Run {
  readonly #engine: BenchmarkEngine;
  readonly #source: ModelSource;
  readonly #options: BenchOptions;
  readonly #at: Circumstances;
  readonly #resolutionMs: number;
  readonly #recorder: Recorder;
  readonly #suites: readonly SuiteName[];
  #shortSuites: SuiteName[] = [];
  #estimateMs: number | null = null;
  #selfCheck: SelfCheck | null = null;
  #kernels: KernelReport | null = null;
  #temperatures: Pick<ThermalFacts, 'before' | 'after'> = { before: {}, after: {} };
  #atEnd: ThermalFacts['atEnd'] = null;
  #stoppedBy: string | null = null;
  /** What marked every sample of a test, repeated ones too, and has not been absent since: repeating does not help. */
  readonly #lasting = new Set<Mark>();
  /** Something that was asked for by hand was left out. */
  #isIncomplete = false;
  #rates: Rates;

  constructor(engine: BenchmarkEngine, source: ModelSource, options: BenchOptions, at: Circumstances) {
    this.#engine = engine;
    this.#source = source;
    this.#options = options;
    this.#at = at;
    this.#resolutionMs = measureResolution(at.clock);
    this.#recorder = new Recorder(this.#resolutionMs);
    this.#suites = SUITES.filter((suite) => options.suites.includes(suite));
    this.#rates = { prefillTokenMs: 0, decodeTokenMs: 0, loadMs: withoutDownload(at.firstLoad) };
    if (at.model.adapter.isSoftware) this.#recorder.label('software');
    if (options.randomWeights === true) this.#recorder.label('random-weights');
  }

  async finish(): Promise<BenchReport> {
    const before = await this.#readTemperatures();
    try {
      this.#recordFirstLoad();
      await this.#runTrial();
      const plan = this.#plan();
      this.#estimateMs = this.#estimate(plan) + this.#kernelsEstimate();
      await this.#options.onEstimate?.({ durationMs: this.#estimateMs, shortSuites: this.#shortSuites });
      await this.#runTests(plan);
      if (this.#suites.includes('kernels')) await this.#measureKernels();
    } catch (error) {
      this.#stop(error);
    }
    this.#temperatures = { before, after: await this.#readTemperatures() };
    return this.#report();
  }

  /** Nothing that was measured is to be lost for want of a thermometer. */
  async #readTemperatures(): Promise<Temperatures> {
    return (await this.#options.readTemperatures?.().catch(() => ({}))) ?? {};
  }

  /** Cold, if weights had to be downloaded: then it is a measurement, which cannot be repeated without doing so again. */
  #recordFirstLoad(): void {
    const { firstLoad, start, clock } = this.#at;
    const download = firstLoad.phases.get('download');
    if (!this.#suites.includes('load')) return;
    if (download === undefined || download.amount === 0) {
      if (this.#options.randomWeights !== true)
        this.#recorder.note('No cold load: the weights were on this device already.');
      return;
    }
    const test: PlannedTest = {
      suite: 'load',
      series: loadSeries('cold'),
      repetitions: 1,
      warmUps: 0,
      setUpWork: NO_WORK,
      work: NO_WORK,
      take: async () => loadSample(firstLoad),
    };
    this.#recorder.begin(test);
    const elapsed = { elapsedMs: clock.now() - start.ms, wallMs: clock.wall() - start.wall };
    this.#recorder.add(loadSample(firstLoad), { ...elapsed, disturber: null }, false);
    this.#recorder.end();
  }

  /** Twice, since what runs first pays for what is prepared then. A long prompt, where there is time, tells more. */
  async #runTrial(): Promise<void> {
    const { model, signal } = this.#at;
    const engine = this.#engine;
    const tokens = fillerTokens(TRIAL.longPromptTokens, model.vocabularySize);
    const request = { firstToken: tokens[0]!, count: TRIAL.outputTokens };
    for (let round = 0; round < 2; round++) {
      const prefill = await engine.fillContext(tokens.slice(0, TRIAL.promptTokens), { signal });
      const decode = await engine.timeDecode(request, { signal });
      this.#rates.prefillTokenMs = positive(prefill.ms) / TRIAL.promptTokens;
      this.#rates.decodeTokenMs = positive(decode.ms) / TRIAL.outputTokens;
    }
    const longMs = this.#rates.prefillTokenMs * TRIAL.longPromptTokens;
    if (longMs > TRIAL.longPromptMs || TRIAL.longPromptTokens > model.contextLength) return;
    const prefill = await engine.fillContext(tokens, { signal });
    this.#rates.prefillTokenMs = positive(prefill.ms) / TRIAL.longPromptTokens;
  }

  /** Each suite in full, or in its short form where that would take too long. */
  #plan(): PlannedTest[] {
    const { size = 'auto' } = this.#options;
    return this.#suites.flatMap((suite) => {
      const notes: string[] = [];
      const full = this.#planSuite(suite, FULL, (text) => notes.push(text));
      const short = size === 'short' || (size === 'auto' && this.#estimate(full) > BUDGET_MS);
      if (!short) {
        for (const text of notes) this.#recorder.note(text);
        return full;
      }
      // A suite without a smaller form of its own is not short.
      const plan = this.#planSuite(suite, SHORT, (text) => this.#recorder.note(text));
      if (this.#estimate(plan) < this.#estimate(full)) {
        this.#shortSuites.push(suite);
        this.#recorder.label('short');
      }
      return plan;
    });
  }

  #planSuite(suite: SuiteName, workload: WorkloadSize, note: (text: string) => void): PlannedTest[] {
    const { depths, repetitions, goldens = [], firstRuns = null, load = {}, randomWeights } = this.#options;
    const { model, facts, clock, firstLoad } = this.#at;
    const size: WorkloadSize = {
      ...workload,
      ...(depths === undefined ? {} : { depths }),
      ...(repetitions === undefined
        ? {}
        : {
            repetitions,
            chat: { ...workload.chat, repetitions },
            followup: { ...workload.followup, repetitions },
            json: { ...workload.json, repetitions },
            load: { repetitions },
          }),
    };
    const context: SuiteContext = {
      engine: this.#engine,
      model,
      facts,
      size,
      clock,
      leastMs: Math.max(leastMs(this.#resolutionMs), LEAST_SAMPLE_MS),
      note,
      leaveOut: (text) => {
        note(text);
        if (depths !== undefined) this.#isIncomplete = true;
      },
      reportSelfCheck: (check) => {
        this.#selfCheck = check;
        if (check.agreement < LEAST_AGREEMENT) this.#recorder.label('self-check-failed');
      },
    };
    switch (suite) {
      case 'selfcheck':
        return planSelfCheck(context, goldens, firstRuns);
      case 'load':
        return planLoad(context, this.#source, load, firstLoad, randomWeights !== true);
      case 'standard':
        return planStandard(context);
      case 'followup':
        return planFollowup(context);
      case 'chat':
        return planChat(context);
      case 'json':
        return planJson(context);
      case 'kernels':
        return [];
    }
  }

  /** Milliseconds. Attention's growth with depth is not in it. */
  #estimate(tests: readonly PlannedTest[]): number {
    return tests.reduce((sum, test) => {
      const samples = test.repetitions + test.warmUps;
      return sum + this.#cost(test.setUpWork) + samples * this.#cost(test.work);
    }, 0);
  }

  #cost({ prefillTokens, decodeTokens, loads }: PlannedTest['work']): number {
    const { prefillTokenMs, decodeTokenMs, loadMs } = this.#rates;
    return prefillTokens * prefillTokenMs + decodeTokens * decodeTokenMs + loads * loadMs;
  }

  async #runTests(plan: readonly PlannedTest[]): Promise<void> {
    const { clock, signal } = this.#at;
    const startMs = clock.now();
    for (const [i, test] of plan.entries()) {
      const etaMs = (samples: number) => this.#eta(plan, i, samples, clock.now() - startMs);
      try {
        await this.#runTest(test, startMs, etaMs);
      } catch (error) {
        if (signal.aborted || this.#engine.getLoadedModel() === null) throw error;
        // A test that fails takes only itself with it.
        this.#recorder.label('failed');
        this.#recorder.note(`${test.series[0]!.id} failed: ${errorMessage(error)}`);
      }
      this.#options.onReport?.(this.#report('running'));
    }
    await this.#checkDrift(plan);
  }

  #kernelsSize(): WorkloadSize['kernels'] {
    const { size = 'auto', depths = [], repetitions } = this.#options;
    const { isSoftware } = this.#at.model.adapter;
    const usual = (size === 'short' || (size === 'auto' && isSoftware) ? SHORT : FULL).kernels;
    return {
      depth: depths.length > 0 ? Math.max(...depths) : usual.depth,
      repetitions: repetitions ?? usual.repetitions,
    };
  }

  /** Milliseconds: rounds of a token, a chunk and batches of each kernel, and what comes before them. */
  #kernelsEstimate(): number {
    if (!this.#suites.includes('kernels')) return 0;
    const { prefillTokenMs, decodeTokenMs, loadMs } = this.#rates;
    const chunk = usualPrefillChunk(this.#at.model.adapter);
    // Beside the samples, calibration takes about three rounds.
    const rounds = this.#kernelsSize().repetitions + 3;
    return (
      KERNELS.startMs + loadMs + rounds * 2 * (KERNELS.batchesMs + decodeTokenMs + chunk * prefillTokenMs)
    );
  }

  /** Last, and without the engine's model: a GPU may have room for one copy of the weights only. */
  async #measureKernels(): Promise<void> {
    const { clock, signal, model, facts } = this.#at;
    const { disable } = this.#options.load ?? {};
    if (facts.description === null) {
      throw new TramontaneError(
        'request-invalid',
        'This model has no kernels of ours that could be measured.',
        {
          nextStep: 'Import the model from GGUF.',
        },
      );
    }
    await this.#engine.unloadModel();
    const startMs = clock.now();
    let stage = '';
    let stageMs = startMs;
    this.#kernels = await this.#options.measureKernels(facts.description, {
      ...(disable === undefined ? {} : { disable }),
      ...this.#kernelsSize(),
      prefillTokens: usualPrefillChunk(model.adapter),
      probe: this.#options.probe,
      signal,
      onProgress: (progress) => {
        const now = clock.now();
        if (progress.stage !== stage) stageMs = now;
        stage = progress.stage;
        const { done, total } = progress;
        const isTiming = stage === 'timing' && done > 0;
        this.#options.onProgress?.({
          suite: 'kernels',
          test: `kernels: ${KERNEL_STAGES[progress.stage]}`,
          repetition: done,
          of: total,
          elapsedMs: now - startMs,
          etaMs: isTiming ? ((now - stageMs) / done) * (total - done) : null,
        });
      },
    });
    for (const { kind, count, text } of this.#kernels.disturbances) {
      this.#recorder.label(kind);
      const what = kind === 'clock' ? 'batches taken again' : 'rounds of samples disturbed';
      this.#recorder.note(`kernels: ${what}: ${count}, since ${text}.`);
    }
  }

  async #runTest(test: PlannedTest, startMs: number, etaMs: (samples: number) => number): Promise<void> {
    const { signal, clock } = this.#at;
    this.#recorder.begin(test);
    try {
      signal.throwIfAborted();
      await test.setUp?.({ signal });
      let counted = 0;
      let attempts = 0;
      const marks = new Set<Mark | null>();
      const most = test.repetitions * (1 + REPEATS_PER_SAMPLE);
      for (let sample = 0; counted < test.repetitions && attempts < most; sample++) {
        const isWarmUp = sample < test.warmUps;
        this.#options.onProgress?.({
          suite: test.suite,
          test: test.series[0]!.id,
          repetition: sample + 1,
          of: Math.max(test.warmUps + test.repetitions, sample + 1),
          elapsedMs: clock.now() - startMs,
          etaMs: etaMs(sample),
        });
        const mark = await this.#takeSample(test, sample, isWarmUp);
        if (isWarmUp) continue;
        attempts++;
        marks.add(mark);
        if (mark === null) this.#lasting.clear();
        if (!this.#isWorthRepeating(mark)) counted++;
      }
      if (!marks.has(null)) for (const mark of marks) this.#lasting.add(mark!);
    } finally {
      this.#recorder.end();
    }
  }

  #isWorthRepeating(mark: Mark | null): boolean {
    if (mark === null || this.#lasting.has(mark)) return false;
    return mark === 'clock' || this.#options.probe.repeats;
  }

  async #takeSample(test: PlannedTest, index: number, isWarmUp: boolean) {
    const { taken, disturbance } = await this.#takeWatched(test, index);
    return this.#recorder.add(taken, disturbance, isWarmUp);
  }

  /** With both clocks read around it, and the processor watched. */
  async #takeWatched(
    test: PlannedTest,
    index: number,
  ): Promise<{ taken: TakenSample; disturbance: Disturbance }> {
    const { clock, signal } = this.#at;
    signal.throwIfAborted();
    const watch = await this.#options.probe.start();
    const before = { ms: clock.now(), wall: clock.wall() };
    try {
      const taken = await test.take({ signal }, index);
      const elapsedMs = clock.now() - before.ms;
      const wallMs = clock.wall() - before.wall;
      return { taken, disturbance: { elapsedMs, wallMs, disturber: await watch.stop() } };
    } catch (error) {
      await watch.stop();
      throw error;
    }
  }

  /** What is left, by the estimate, corrected by how wrong it has been so far: little at the beginning, more later. */
  #eta(plan: readonly PlannedTest[], index: number, samples: number, elapsedMs: number): number {
    const totalMs = this.#estimate(plan);
    if (totalMs === 0) return 0;
    const doneMs = this.#estimate(plan.slice(0, index)) + samples * this.#cost(plan[index]!.work);
    const trustMs = ETA_TRUST * totalMs;
    return (Math.max(0, totalMs - doneMs) * (elapsedMs + trustMs)) / (doneMs + trustMs);
  }

  /** The first standard test once more, at the end: was the machine still what it was at the beginning? */
  async #checkDrift(plan: readonly PlannedTest[]): Promise<void> {
    const test = plan.find(({ suite }) => suite === 'standard');
    const before = test === undefined ? [] : this.#recorder.durations(test);
    // A single sample may have been lucky.
    if (before.length < 2) return;
    const { signal } = this.#at;
    const size = this.#shortSuites.includes('standard') ? SHORT : FULL;
    const again = this.#planSuite('standard', size, () => undefined)[0]!;
    await again.setUp?.({ signal });
    const { taken, disturbance } = await this.#takeWatched(again, 0);
    const { ms, parts, times = 1 } = taken;
    const { disturber, ...clocks } = disturbance;
    const fault = findClockFault({ ms, parts, ...clocks, resolutionMs: this.#resolutionMs });
    if (disturber !== null || fault !== null) return;
    const meanMs = before.reduce((sum, value) => sum + value, 0) / before.length;
    this.#atEnd = { id: again.series[0]!.id, slowdown: ms / times / meanMs - 1 };
    const ratio = ms / times / Math.max(...before);
    if (ratio < THROTTLED_AT_END) return;
    this.#recorder.label('throttled');
    this.#recorder.note(
      `At the end ${again.series[0]!.id} took ${percent(ratio)} longer than its slowest sample at the beginning.`,
    );
  }

  #stop(error: unknown): void {
    const { signal } = this.#at;
    const isAborted = signal.aborted;
    this.#recorder.label(
      isAborted
        ? 'aborted'
        : isTramontaneError(error) && error.code === 'device-lost'
          ? 'device-lost'
          : 'failed',
    );
    this.#stoppedBy = isAborted ? 'It was stopped by hand.' : errorMessage(error);
  }

  #report(state: 'running' | 'ended' = 'ended'): BenchReport {
    const { clock, start, model, facts } = this.#at;
    const recorder = this.#recorder;
    const isPartial =
      state === 'running' ||
      this.#stoppedBy !== null ||
      this.#isIncomplete ||
      recorder.labels.includes('failed');
    const labels = recorder.labels;
    const settings: BenchSettings = {
      suites: this.#suites,
      shortSuites: [...this.#shortSuites],
      depths: this.#options.depths ?? (this.#shortSuites.includes('standard') ? SHORT : FULL).depths,
      repetitions:
        this.#options.repetitions ?? (this.#shortSuites.includes('standard') ? SHORT : FULL).repetitions,
      estimateMs: this.#estimateMs,
    };
    return {
      version: REPORT_VERSION,
      status: isPartial ? 'partial' : 'complete',
      labels: isPartial ? ['partial', ...labels] : labels,
      stoppedBy: this.#stoppedBy,
      startedAt: new Date(start.wall).toISOString(),
      durationMs: Math.max(0, clock.now() - start.ms),
      settings,
      machine: buildMachineCard(this.#options.host, model.adapter, facts, this.#resolutionMs),
      software: {
        tramontane: this.#options.version,
        webLlm: facts.webLlm,
        library: model.library,
        libraryByteLength: facts.library.byteLength,
        librarySha256: facts.library.sha256,
        runtime: facts.runtime,
      },
      model: {
        id: model.id,
        name: facts.name,
        quantization: facts.quantization,
        parameterCount: facts.parameterCount,
        weightBytes: facts.weightBytes,
        sourceSha256: facts.sourceSha256,
        tensorCacheSha256: facts.tensorCacheSha256,
        contextLength: model.contextLength,
        memory: model.memory,
      },
      tests: recorder.tests,
      selfCheck: this.#selfCheck,
      thermal: reportThermal({
        ...this.#temperatures,
        atEnd: this.#atEnd,
        throttled: recorder.tests
          .filter(({ samples }) => samples.some(({ mark }) => mark === 'throttled'))
          .map(({ id }) => id),
        hasTests: recorder.tests.some(({ suite }) => suite !== 'selfcheck'),
      }),
      kernels: this.#kernels,
      notes: recorder.notes,
    };
  }
}

/** A faulty clock must not make an estimate of nothing, or of less. */
function positive(ms: number): number {
  return ms > 0 ? ms : 1;
}
