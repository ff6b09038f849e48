/** The runner on a scripted engine and a clock of its own, where every figure is known beforehand. */
import { describe, expect, test } from 'vitest';
import {
  findSchemaFaults,
  noKernels,
  requireTest,
  TEST_HOST,
  VirtualClock,
} from '../../tests/tools/bench-tools.ts';
import { describeModel, SMALL_SHAPE } from '../../tests/tools/describe-model.ts';
import { kernelReportSample } from '../../tests/tools/kernel-report-sample.ts';
import { TramontaneError } from '../base/errors.ts';
import { createFakeEngine, type FakeEngineOptions } from '../engine/fake-engine.ts';
import type { ModelDescription } from '../models/model-description.ts';
import { type BusyProbe, blindProbe, type Disturber } from './busy-probe.ts';
import { toMarkdown } from './export.ts';
import type { BenchReport, Mark } from './report.ts';
import { type BenchEstimate, type BenchOptions, type BenchProgress, runBenchmark } from './run.ts';
import type { GoldenText } from './suites/selfcheck.ts';
import { SUITES } from './workloads.ts';

const source = { id: 'scripted', url: 'https://models.invalid/scripted/' };

/** 1000 tokens/s of prefill, 50 of decode, unless told otherwise. */
async function run(
  options: Partial<BenchOptions> = {},
  engineOptions: Partial<FakeEngineOptions> = {},
  clock = new VirtualClock(),
): Promise<BenchReport> {
  const engine = createFakeEngine({ clock, rate: 50, prefillRate: 1000, loadMs: 800, ...engineOptions });
  const report = await runBenchmark(engine, source, {
    suites: ['standard'],
    host: TEST_HOST,
    version: '0.0.0',
    probe: blindProbe,
    measureKernels: noKernels,
    clock,
    ...options,
  });
  expect(findSchemaFaults(report)).toEqual([]);
  return report;
}

const marksOf = (report: BenchReport, id: string): (Mark | null)[] =>
  requireTest(report, id).samples.map(({ mark }) => mark);

test('the standard tests of a steady engine: known rates, no spread, no labels', async () => {
  const report = await run();
  expect(report).toMatchObject({ status: 'complete', labels: [], stoppedBy: null, notes: [] });
  expect(report.tests.map(({ id }) => id)).toEqual(['pp512', 'tg128', 'pp512 @ d2048', 'tg128 @ d2048']);
  for (const [id, mean] of [
    ['pp512', 1000],
    ['tg128 @ d2048', 50],
  ] as const) {
    const { statistics } = requireTest(report, id);
    expect(statistics.count).toBe(5);
    expect(statistics.mean).toBeCloseTo(mean, 6);
    expect(statistics.standardDeviation).toBeCloseTo(0, 6);
    expect(marksOf(report, id)).toEqual(['warm-up', null, null, null, null, null]);
  }
});

test('every suite, in one report', async () => {
  const suites = SUITES.filter((suite) => suite !== 'kernels');
  const report = await run({ suites }, { rate: 400, prefillRate: 20_000 });
  expect(report.status).toBe('complete');
  expect(new Set(report.tests.map(({ suite }) => suite))).toEqual(new Set(suites));
  expect(report.kernels).toBeNull();
  expect(report.selfCheck).toEqual({ reference: 'own-prefill', positions: 128, agreement: 100 });
  expect(requireTest(report, 'cold load').samples).toHaveLength(1);
  // 98 MB in half of 800 ms.
  expect(requireTest(report, 'cold load: download').statistics.mean).toBeCloseTo(245, 0);
  expect(requireTest(report, 'warm load').statistics.count).toBe(3);
  expect(requireTest(report, 'warm load').statistics.mean).toBeCloseTo(400, 6);
  expect(requireTest(report, 'warm load: read / stored').statistics.mean).toBe(1);
  // One read takes 0.15 of 800 ms.
  expect(requireTest(report, 'warm load: time / raw read').statistics.mean).toBeCloseTo(400 / 120, 6);
  expect(requireTest(report, 'chat 1k: time to first token').statistics.mean).toBeCloseTo(120, 6);
  expect(requireTest(report, 'chat short: time per output token').statistics.mean).toBeCloseTo(2.5, 6);
  expect(requireTest(report, 'follow-up: time to first token, warm').samples).toHaveLength(3);
});

describe('the kernel view', () => {
  const model = describeModel(SMALL_SHAPE, 'q4_0');

  async function runKernels(
    options: Partial<BenchOptions>,
    description: ModelDescription | null = model,
  ): Promise<{ report: BenchReport; wasLoaded: boolean | null }> {
    const clock = new VirtualClock();
    const engine = createFakeEngine({ clock, rate: 50, prefillRate: 1000 });
    let wasLoaded: boolean | null = null;
    const measure = options.measureKernels ?? noKernels;
    const describeModel = engine.describeModel.bind(engine);
    engine.describeModel = async () => ({ ...(await describeModel()), description });
    const report = await runBenchmark(engine, source, {
      suites: ['kernels'],
      host: TEST_HOST,
      version: '0.0.0',
      probe: blindProbe,
      clock,
      ...options,
      measureKernels: (...input) => {
        wasLoaded = engine.getLoadedModel() !== null;
        return measure(...input);
      },
    });
    expect(findSchemaFaults(report)).toEqual([]);
    return { report, wasLoaded };
  }

  test('runs last and without the model, and has its part of the report', async () => {
    const asked: unknown[] = [];
    const seen: BenchProgress[] = [];
    const estimates: BenchEstimate[] = [];
    const { report, wasLoaded } = await runKernels({
      suites: ['standard', 'kernels'],
      measureKernels: async (description, { onProgress, signal, probe, ...options }) => {
        asked.push(description, options);
        onProgress?.({ stage: 'timing', done: 5, total: 20 });
        return kernelReportSample;
      },
      onEstimate: (estimate) => void estimates.push(estimate),
      onProgress: (progress) => seen.push(progress),
    });
    expect(asked).toEqual([model, { depth: 2048, repetitions: 5, prefillTokens: 256 }]);
    expect(wasLoaded).toBe(false);
    expect(report).toMatchObject({ status: 'complete', kernels: kernelReportSample });
    expect(report.tests.some(({ id }) => id === 'tg128 @ d2048')).toBe(true);
    expect(seen.at(-1)).toMatchObject({ suite: 'kernels', test: 'kernels: timing', repetition: 5, of: 20 });
    expect(estimates[0]!.durationMs).toBeGreaterThan(38_912 + 8 * 2 * 256);
    expect(toMarkdown(report)).toContain('A decoded token at depth 128: 2.50 ms');
  });

  test('takes depth and repetitions from the request, and its features', async () => {
    let asked: unknown;
    await runKernels({
      depths: [0, 96],
      repetitions: 2,
      load: { disable: ['subgroups'] },
      measureKernels: async (_, { onProgress, signal, probe, ...options }) => {
        asked = options;
        return kernelReportSample;
      },
    });
    expect(asked).toEqual({ depth: 96, repetitions: 2, prefillTokens: 256, disable: ['subgroups'] });
  });

  test('that was disturbed says so', async () => {
    const { report } = await runKernels({
      measureKernels: async () => ({
        ...kernelReportSample,
        disturbances: [
          { kind: 'stolen', count: 2, text: 'the host took 40 % of a core' },
          { kind: 'clock', count: 1, text: 'the clock of the GPU went backwards' },
        ],
      }),
    });
    expect(report.labels).toEqual(expect.arrayContaining(['stolen', 'clock']));
    expect(report.notes).toEqual([
      'kernels: rounds of samples disturbed: 2, since the host took 40 % of a core.',
      'kernels: batches taken again: 1, since the clock of the GPU went backwards.',
    ]);
  });

  test('that fails leaves what was measured before, and says why', async () => {
    const { report } = await runKernels({
      suites: ['selfcheck', 'kernels'],
      measureKernels: async () => {
        throw new TramontaneError('device-lost', 'The GPU device was lost: pulled out');
      },
    });
    expect(report).toMatchObject({ status: 'partial', kernels: null });
    expect(report.labels).toContain('device-lost');
    expect(report.stoppedBy).toContain('pulled out');
    expect(report.selfCheck?.agreement).toBe(100);
  });

  test('cancelled: the report is partial and says so', async () => {
    const abort = new AbortController();
    const { report } = await runKernels({
      signal: abort.signal,
      measureKernels: async (_, { signal }) => {
        abort.abort(new DOMException('Enough.', 'AbortError'));
        throw signal!.reason;
      },
    });
    expect(report.labels).toEqual(expect.arrayContaining(['partial', 'aborted']));
  });

  test('of a model without kernels of ours is refused', async () => {
    const { report } = await runKernels({}, null);
    expect(report).toMatchObject({ status: 'partial', kernels: null });
    expect(report.stoppedBy).toContain('no kernels of ours');
  });
});

test('progress goes forward, and its estimate ends near nothing', async () => {
  const seen: BenchProgress[] = [];
  const estimates: BenchEstimate[] = [];
  const report = await run({
    onProgress: (progress) => seen.push(progress),
    onEstimate: (estimate) => void estimates.push(estimate),
  });
  expect(
    seen.filter(({ test: id }) => id === 'pp512').map(({ repetition, of }) => `${repetition}/${of}`),
  ).toEqual(['1/6', '2/6', '3/6', '4/6', '5/6', '6/6']);
  const elapsed = seen.map(({ elapsedMs }) => elapsedMs);
  expect(elapsed).toEqual([...elapsed].sort((a, b) => a - b));
  expect(seen.at(-1)!.etaMs).toBeLessThan(0.1 * estimates[0]!.durationMs);
  // At each of two depths six prompts of 512 and six answers of 128; and the depth itself.
  expect(estimates).toEqual([{ durationMs: expect.closeTo(38_912, 0), shortSuites: [] }]);
  expect(report.settings.estimateMs).toBe(estimates[0]!.durationMs);
});

test('where the full suite would take over ten minutes, it is short and says so', async () => {
  const estimates: BenchEstimate[] = [];
  const report = await run(
    { onEstimate: (estimate) => void estimates.push(estimate) },
    { rate: 2, prefillRate: 30 },
  );
  expect(report.labels).toEqual(['short']);
  expect(estimates[0]!.shortSuites).toEqual(['standard']);
  expect(estimates[0]!.durationMs).toBeLessThan(10 * 60_000);
  expect(report.tests.map(({ id }) => id)).toEqual(['pp64', 'tg16', 'pp64 @ d128', 'tg16 @ d128']);
  expect(report.settings).toMatchObject({ repetitions: 3, depths: [0, 128] });
  const forced = await run({ size: 'full', repetitions: 1, depths: [0] }, { rate: 2, prefillRate: 30 });
  expect(forced.labels).toEqual([]);
  expect(forced.tests.map(({ id }) => id)).toEqual(['pp512', 'tg128']);
});

test('what does not fit the context is left out, and said', async () => {
  const report = await run({ suites: ['standard', 'chat', 'followup'] }, { contextLength: 2048, rate: 400 });
  expect(report.tests.some(({ depth }) => depth === 2048)).toBe(false);
  expect(report.tests.some(({ id }) => id.startsWith('chat 4k'))).toBe(false);
  expect(report.notes.join(' ')).toContain('Depth 2048 was left out');
  expect(report.notes.join(' ')).toContain('Chat 4k was left out');
});

test('a depth that was asked for by hand and does not fit makes the report partial', async () => {
  const report = await run({ depths: [0, 2048] }, { contextLength: 2048 });
  expect(report).toMatchObject({ status: 'partial', stoppedBy: null, labels: ['partial'] });
  expect(requireTest(report, 'pp512').statistics.count).toBe(5);
});

test('warm loads are planned by the time of a load without its download', async () => {
  const estimates: BenchEstimate[] = [];
  // Half of it is the download.
  const report = await run(
    { suites: ['load'], onEstimate: (estimate) => void estimates.push(estimate) },
    { loadMs: 30_000 },
  );
  expect(requireTest(report, 'warm load').statistics.count).toBe(3);
  // Three times 15 s, and as long again for the raw reads.
  expect(estimates[0]!.durationMs).toBeCloseTo(90_000, -3);
});

test('nothing is read twice of weights that are made as they are read, and they have no cold load', async () => {
  const report = await run({ suites: ['load'], randomWeights: true });
  expect(report.tests.some(({ id }) => id.startsWith('warm load: read'))).toBe(false);
  expect(requireTest(report, 'warm load').statistics.count).toBe(3);
});

test('a time too short for the clock does not count, though it is within a long sample', async () => {
  const clock = new VirtualClock();
  const exact = clock.now.bind(clock);
  let readings = 0;
  clock.now = () => Math.floor((exact() + readings++ * 0.001) / 5) * 5;
  // The first token takes 120 ms, the answer 1.4 s.
  const report = await run({ suites: ['chat'], repetitions: 2 }, {}, clock);
  expect(marksOf(report, 'chat short: time to first token').slice(1)).toEqual(['clock', 'clock']);
  expect(marksOf(report, 'chat short: end to end').slice(1)).toEqual([null, null]);
  expect(marksOf(report, 'chat short: time per output token').slice(1)).toEqual([null, null]);
});

test('a sample during which the clock went backwards is marked, taken again and not averaged in', async () => {
  const clock = new VirtualClock();
  let jumped = false;
  clock.afterDelay = () => {
    // In the middle of an answer of tg128.
    if (jumped || clock.timeMs < 9000) return;
    jumped = true;
    clock.timeMs -= 3000;
  };
  const report = await run({ depths: [0] }, {}, clock);
  expect(jumped).toBe(true);
  expect(report.labels).toEqual(['clock']);
  const marked = report.tests.filter(({ samples }) => samples.some(({ mark }) => mark === 'clock'));
  expect(marked).toHaveLength(1);
  expect(marked[0]!.statistics.count).toBe(5);
  expect(marked[0]!.samples).toHaveLength(7);
  expect(marked[0]!.statistics.mean).toBeCloseTo(50, 6);
  expect(report.notes.join(' ')).toContain('the clock went backwards');
});

test('a machine that slept in the middle is noticed by its calendar', async () => {
  const clock = new VirtualClock();
  let slept = false;
  clock.afterDelay = () => {
    if (slept || clock.timeMs < 9000) return;
    slept = true;
    clock.wallMs += 3_600_000;
  };
  const report = await run({ depths: [0] }, {}, clock);
  expect(report.labels).toEqual(['clock']);
  expect(report.notes.join(' ')).toContain('the machine slept');
});

test('a run that is throttled is labelled, and its late samples are not averaged in', async () => {
  const clock = new VirtualClock();
  // Where tg128 is at its fourth sample.
  const report = await run({ depths: [0] }, { speed: (nowMs) => (nowMs > 17_500 ? 0.6 : 1) }, clock);
  expect(report.labels).toEqual(['throttled']);
  expect(marksOf(report, 'tg128').at(-1)).toBe('throttled');
  expect(requireTest(report, 'tg128').statistics.mean).toBeGreaterThan(49);
  expect(report.notes.join(' ')).toMatch(/tg128: throttled from sample \d on/);
  expect(report.notes.join(' ')).toMatch(/At the end pp512 took 67 % longer/);
  expect(report.thermal).toMatchObject({
    note: expect.stringMatching(
      /^Slower for good, as when it gets too warm: tg128\. At the end pp512 took 67 % longer/,
    ),
    slowdownAtEnd: expect.closeTo(2 / 3, 2),
  });
});

test('temperatures are read before the first test and after the last, where they can be', async () => {
  const clock = new VirtualClock();
  const readTemperatures = async () => ({ x86_pkg_temp: 40 + clock.timeMs / 1000 });
  const report = await run({ depths: [0], readTemperatures }, {}, clock);
  const [sensor] = report.thermal.sensors;
  expect(sensor?.afterCelsius).toBeGreaterThan(sensor!.beforeCelsius + 10);
  expect(toMarkdown(report)).toMatch(/^- Warmth: No test became slower for good\. .* x86_pkg_temp 4\d to /m);
  const failing = await run({ depths: [0], readTemperatures: () => Promise.reject(new Error('no sensor')) });
  expect(failing).toMatchObject({ status: 'complete', thermal: { sensors: [] } });
});

test('a single sample at the beginning, which may have been lucky, says nothing of the end', async () => {
  const clock = new VirtualClock();
  const report = await run(
    { depths: [0], repetitions: 1 },
    { speed: (nowMs) => (nowMs > 4000 ? 0.5 : 1) },
    clock,
  );
  expect(report).toMatchObject({ labels: [], thermal: { slowdownAtEnd: null } });
});

test('a machine that became slower between tests is told from one that did not', async () => {
  const clock = new VirtualClock();
  const report = await run({ depths: [0] }, { speed: (nowMs) => (nowMs > 7000 ? 0.5 : 1) }, clock);
  expect(report.labels).toEqual(['throttled']);
  expect(report.notes).toEqual([
    'At the end pp512 took 100 % longer than its slowest sample at the beginning.',
  ]);
});

/** Says that others were busy during the samples of these numbers, counted over the whole run. */
function probeBusyAt(
  busySamples: readonly number[],
  repeats: boolean,
  kind: Disturber['kind'] = 'busy',
): BusyProbe {
  let count = 0;
  return {
    repeats,
    async start() {
      const number = count++;
      return {
        stop: async () =>
          busySamples.includes(number) ? { kind, text: 'somebody used 80 % of a core' } : null,
      };
    },
  };
}

test('disturbed samples are marked, and taken again where that can help', async () => {
  const again = await run({ depths: [0], probe: probeBusyAt([2, 3], true) });
  expect(again.labels).toEqual(['busy']);
  expect(marksOf(again, 'pp512')).toEqual(['warm-up', null, 'busy', 'busy', null, null, null, null]);
  expect(requireTest(again, 'pp512').statistics.count).toBe(5);
  const marked = await run({ depths: [0], probe: probeBusyAt([2, 3], false) });
  expect(marksOf(marked, 'pp512')).toEqual(['warm-up', null, 'busy', 'busy', null, null]);
  expect(requireTest(marked, 'pp512').statistics.count).toBe(3);
});

test('a machine that never comes to rest gets no mean, and an end', async () => {
  const everything = Array.from({ length: 1000 }, (_, i) => i);
  const report = await run({ depths: [0], probe: probeBusyAt(everything, true, 'stolen') });
  expect(report.labels).toEqual(['stolen']);
  expect(requireTest(report, 'pp512').statistics).toMatchObject({ count: 0, mean: null });
  expect(requireTest(report, 'pp512').samples).toHaveLength(16);
  expect(report.notes.join(' ')).toContain(
    'pp512: no sample counts; the median of those that do not is 1000',
  );
  // One test has shown that repeating does not help.
  expect(marksOf(report, 'tg128')).toEqual(['warm-up', ...Array(5).fill('stolen')]);
});

test('after a machine has come to rest, disturbed samples are taken again', async () => {
  // All 16 of pp512, the first two of the six of tg128 and, after good ones, one more.
  const busy = Array.from({ length: 18 }, (_, i) => i);
  const report = await run({ depths: [0], probe: probeBusyAt([...busy, 20], true) });
  expect(marksOf(report, 'pp512')).toHaveLength(16);
  expect(marksOf(report, 'tg128')).toEqual(['warm-up', 'busy', null, null, 'busy', null, null]);
});

test('a clock too coarse for its samples is labelled', async () => {
  const clock = new VirtualClock();
  const exact = clock.now.bind(clock);
  let readings = 0;
  // Ticks of 50 ms, which reading alone brings about. A prompt takes 26 ms: fifty are too short, too.
  clock.now = () => Math.floor((exact() + readings++ * 0.01) / 50) * 50;
  const report = await run({ depths: [0], repetitions: 1 }, { prefillRate: 20_000 }, clock);
  expect(report.labels).toContain('coarse-clock');
  expect(report.machine.clockResolutionMs).toBe(50);
});

test('work that is over in milliseconds is done over, and each time is told as one', async () => {
  const report = await run({ depths: [0] }, { prefillRate: 20_000 });
  const { samples, statistics } = requireTest(report, 'pp512');
  expect(statistics.mean).toBeCloseTo(20_000, 3);
  for (const { ms } of samples) expect(ms).toBeCloseTo(25.6, 6);
  // The load; the trial's prompts and answers; six samples and the one at the end of four prompts; six answers.
  const trialMs = 2 * (3.2 + 8 * 20) + 25.6;
  expect(report.durationMs).toBeCloseTo(800 + trialMs + 7 * 4 * 25.6 + 6 * 2560, 6);
});

test('work too short for the clock is done over, until its steps are small beside it', async () => {
  const clock = new VirtualClock();
  const exact = clock.now.bind(clock);
  let readings = 0;
  // Ticks of 5 ms: 250 ms are needed, and a prompt takes 51.
  clock.now = () => Math.floor((exact() + readings++ * 0.001) / 5) * 5;
  const report = await run({ depths: [0] }, { prefillRate: 10_000 }, clock);
  expect(report.labels).toEqual([]);
  const { samples, statistics } = requireTest(report, 'pp512');
  expect(statistics.count).toBe(5);
  expect(Math.abs(statistics.mean! / 10_000 - 1)).toBeLessThan(0.05);
  // Of one prompt, whose time a single reading would give to a tenth.
  for (const { ms } of samples) expect(Math.abs(ms / 51.2 - 1)).toBeLessThan(0.05);
  expect(report.thermal.slowdownAtEnd).toBeCloseTo(0, 1);
  // A raw read takes 120 ms.
  const load = requireTest(await run({ suites: ['load'] }, {}, clock), 'warm load: time / raw read');
  expect(load.statistics.count).toBe(3);
  expect(load.statistics.mean).toBeCloseTo(400 / 120, 0);
});

test('a lost device ends in a partial report with what was measured before', async () => {
  const snapshots: BenchReport[] = [];
  const report = await run(
    { suites: ['standard', 'chat'], onReport: (snapshot) => snapshots.push(snapshot) },
    { fail: 'device-lost', failAt: 'measure', failAfter: 250 },
  );
  expect(report.status).toBe('partial');
  expect(report.labels).toEqual(['partial', 'device-lost']);
  expect(report.stoppedBy).toContain('GPU');
  expect(requireTest(report, 'pp512').statistics.count).toBe(5);
  expect(requireTest(report, 'tg128').samples.length).toBeGreaterThan(0);
  expect(report.tests.some(({ suite }) => suite === 'chat')).toBe(false);
  // Whoever was watching had the same before.
  expect(snapshots.at(-1)!.tests.map(({ id }) => id)).toContain('pp512');
  expect(snapshots.every((snapshot) => findSchemaFaults(snapshot).length === 0)).toBe(true);
});

test('an abort ends in a partial report; before the model is there it is an abort', async () => {
  const stop = new AbortController();
  const report = await run({
    signal: stop.signal,
    onProgress: ({ test: id, repetition }) => {
      if (id === 'tg128' && repetition === 3) stop.abort(new DOMException('enough', 'AbortError'));
    },
  });
  expect(report.labels).toEqual(['partial', 'aborted']);
  expect(requireTest(report, 'pp512').statistics.count).toBe(5);
  expect(requireTest(report, 'tg128').samples).toHaveLength(2);
  const reason = new Error('never mind');
  await expect(run({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test('a test that fails takes only itself with it', async () => {
  const report = await run(
    { suites: ['standard', 'chat'] },
    { fail: 'engine-failed', failAt: 'measure', failAfter: 30, rate: 400 },
  );
  expect(report.labels).toEqual(['partial', 'failed']);
  expect(report.notes.join(' ')).toContain('failed: ');
  expect(requireTest(report, 'tg128 @ d2048').statistics.count).toBe(5);
  expect(requireTest(report, 'chat short: end to end').statistics.count).toBe(3);
});

describe('the self-check', () => {
  const next = (token: number) => (token * 31 + 7) % 49_152;
  const sequence = (first: number, length: number): number[] =>
    Array.from({ length: length - 1 }).reduce<number[]>(
      (tokens) => [...tokens, next(tokens.at(-1)!)],
      [first],
    );

  test('compares with the goldens of the model, if there are any', async () => {
    const tokens = sequence(5, 48);
    const text = { tokens, top: tokens.map(next) };
    const goldens = (sourceSha256: string, top: readonly number[]) => ({
      sourceSha256,
      source: 'test',
      texts: [{ ...text, top }],
    });
    const clock = new VirtualClock();
    const engine = createFakeEngine({ clock });
    const describeModel = engine.describeModel.bind(engine);
    engine.describeModel = async () => ({ ...(await describeModel()), sourceSha256: 'a'.repeat(64) });
    const check = (top: readonly number[]) =>
      runBenchmark(engine, source, {
        suites: ['selfcheck'],
        host: TEST_HOST,
        version: '0',
        probe: blindProbe,
        measureKernels: noKernels,
        clock,
        goldens: [goldens('b'.repeat(64), []), goldens('a'.repeat(64), top)],
      });
    expect((await check(text.top)).selfCheck).toEqual({ reference: 'golden', positions: 48, agreement: 100 });
    const wrong = await check(text.top.map((token, i) => (i % 4 === 0 ? token + 1 : token)));
    expect(wrong.selfCheck?.agreement).toBe(75);
    expect(wrong.labels).toEqual(['self-check-failed']);
    expect(findSchemaFaults(wrong)).toEqual([]);
  });

  test('keeps what the first run generated, and compares later ones with it', async () => {
    const kept = new Map<string, GoldenText>();
    const firstRuns = {
      read: async (key: string) => kept.get(key) ?? null,
      write: async (key: string, text: GoldenText) => void kept.set(key, text),
    };
    const first = await run({ suites: ['selfcheck'], firstRuns });
    expect(first.selfCheck?.reference).toBe('own-prefill');
    expect(kept.size).toBe(1);
    const second = await run({ suites: ['selfcheck'], firstRuns });
    expect(second.selfCheck).toEqual({ reference: 'first-run', positions: 128, agreement: 100 });
    const [key, text] = [...kept][0]!;
    kept.set(key, { ...text, top: text.top.map((token) => (token < 0 ? token : token + 1)) });
    const third = await run({ suites: ['selfcheck'], firstRuns });
    expect(third.labels).toEqual(['self-check-failed']);
  });

  test('the first text stays the first, whatever the length of later runs', async () => {
    const kept = new Map<string, GoldenText>();
    const firstRuns = {
      read: async (key: string) => kept.get(key) ?? null,
      write: async (key: string, text: GoldenText) => void kept.set(key, text),
    };
    await run({ suites: ['selfcheck'], firstRuns, size: 'short' });
    const [text] = kept.values();
    const full = await run({ suites: ['selfcheck'], firstRuns });
    expect(full.selfCheck).toEqual({ reference: 'first-run', positions: 32, agreement: 100 });
    expect([...kept.values()]).toEqual([text]);
  });

  test('a place for it that fails is as good as none', async () => {
    const fails = () => Promise.reject(new Error('full'));
    const report = await run({ suites: ['selfcheck'], firstRuns: { read: fails, write: fails } });
    expect(report.labels).toEqual([]);
    expect(report.selfCheck?.reference).toBe('own-prefill');
  });
});
