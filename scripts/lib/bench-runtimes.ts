/** The two places where `npm run bench` runs: the built site in a headless browser, and Dawn in Node. */
import { errorMessage, fromWireError, type WireError } from '../../src/base/errors.ts';
import { type BusyWatch, blindProbe } from '../../src/bench/busy-probe.ts';
import type { BenchCalls, BenchRequest } from '../../src/bench/command-calls.ts';
import { GOLDENS } from '../../src/bench/goldens.ts';
import { measureKernels } from '../../src/bench/kernels/measure-kernels.ts';
import type { BenchReport } from '../../src/bench/report.ts';
import { runBenchmark } from '../../src/bench/run.ts';
import type { BenchmarkEngine } from '../../src/engine/api.ts';
import type { lower } from '../../src/modellib/lower.ts';
import type { BenchOutput } from './bench-output.ts';
import { firstRuns } from './first-runs.ts';
import { openHeadlessSite } from './headless.ts';
import type { ResolvedModel } from './model-argument.ts';
import { readNodeHost } from './node-host.ts';
import { createProcessorProbe } from './processor-probe.ts';
import { readTemperatures } from './temperatures.ts';

/** Everything of a request that does not depend on where it runs. */
export type BenchArguments = Omit<BenchRequest, 'source' | 'machine' | 'hasProbe' | 'coldLoad'>;

/**
 * @throws errors of loading the model. Once there is a report, a browser or GPU process that dies ends in that report.
 */
export async function benchInBrowser(
  model: ResolvedModel,
  request: BenchArguments,
  output: BenchOutput,
  signal: AbortSignal,
): Promise<BenchReport> {
  const site = await openHeadlessSite(model);
  const probe = await createProcessorProbe(true);
  const watches = new Map<number, BusyWatch>();
  let watchCount = 0;
  const answers: { [Name in keyof BenchCalls]: (input: BenchCalls[Name]['input']) => unknown } = {
    load: (progress) => output.load(progress),
    estimate: (estimate) => output.estimate(estimate),
    progress: (progress) => output.progress(progress),
    report: (report) => output.report(report),
    async watch() {
      watches.set(++watchCount, await (probe ?? blindProbe).start());
      return watchCount;
    },
    async unwatch(number) {
      const watch = watches.get(number);
      watches.delete(number);
      return (await watch?.stop()) ?? null;
    },
    temperatures: () => readTemperatures(),
    readFirstRun: (key) => firstRuns.read(key),
    writeFirstRun: ({ key, text }) => firstRuns.write(key, text),
  };
  const stop = () => void site.page.evaluate(stopInPage).catch(() => undefined);
  // The copy in the browser's store can be had again from the folder.
  const coldLoad = request.suites.includes('load');
  try {
    await site.page.exposeFunction('tramontaneCall', async (name: keyof BenchCalls, input: never) =>
      answers[name](input),
    );
    signal.throwIfAborted();
    signal.addEventListener('abort', stop, { once: true });
    const crash = new Promise<never>((_, reject) => {
      site.page.once('crash', () => reject(new Error("the browser's page crashed")));
    });
    // It may never settle, and settles unheard where the benchmark ends first.
    crash.catch(() => undefined);
    const { os, processor, memoryGib, power } = await readNodeHost();
    const pageRequest: BenchRequest = {
      ...request,
      coldLoad,
      source: { id: model.id, url: site.modelUrl },
      machine: { os, processor, memoryGib, power },
      hasProbe: probe !== null,
    };
    const outcome = await Promise.race([site.page.evaluate(benchInPage, pageRequest), crash]);
    if ('error' in outcome) throw fromWireError(outcome.error);
    return outcome;
  } catch (error) {
    if (output.lastReport === null) {
      signal.throwIfAborted();
      throw error;
    }
    const labels = new Set(output.lastReport.labels).add('partial').add('failed');
    return { ...output.lastReport, status: 'partial', labels: [...labels], stoppedBy: errorMessage(error) };
  } finally {
    signal.removeEventListener('abort', stop);
    await site.close();
  }
}

/** Runs in the page; everything it uses comes through its argument or the page's own globals. */
async function benchInPage(request: BenchRequest): Promise<BenchReport | { error: WireError }> {
  const page = globalThis as unknown as {
    tramontane: typeof import('../../src/app/ask-page.ts').commandApi;
    tramontaneCall: import('../../src/bench/command-calls.ts').BenchCaller;
    tramontaneStop?: AbortController;
  };
  const { engine, loadBench, toWireError } = page.tramontane;
  page.tramontaneStop ??= new AbortController();
  try {
    const { runBenchForCommand } = await loadBench();
    return await runBenchForCommand(engine, request, page.tramontaneCall, page.tramontaneStop.signal);
  } catch (error) {
    return { error: toWireError(error) };
  }
}

/** Runs in the page, perhaps before the benchmark does. */
function stopInPage(): void {
  const page = globalThis as unknown as { tramontaneStop?: AbortController };
  page.tramontaneStop ??= new AbortController();
  page.tramontaneStop.abort(new DOMException('Interrupted.', 'AbortError'));
}

/** @param source where the model is, for this engine */
export async function benchOnEngine(
  engine: BenchmarkEngine,
  source: BenchRequest['source'],
  request: BenchArguments & { randomWeights: boolean; before: typeof lower | null },
  output: BenchOutput,
  signal: AbortSignal,
): Promise<BenchReport> {
  const { depths, repetitions, before } = request;
  return runBenchmark(engine, source, {
    suites: request.suites,
    size: request.size,
    load: request.load,
    version: request.version,
    host: await readNodeHost(),
    probe: (await createProcessorProbe(false)) ?? blindProbe,
    measureKernels: (description, kernels) =>
      measureKernels(description, {
        ...kernels,
        ...(before === null ? {} : { before }),
        gpu: globalThis.navigator.gpu,
      }),
    readTemperatures,
    goldens: GOLDENS,
    firstRuns,
    randomWeights: request.randomWeights,
    ...(depths === null ? {} : { depths }),
    ...(repetitions === null ? {} : { repetitions }),
    signal,
    onLoadProgress: (progress) => output.load(progress),
    onEstimate: (estimate) => output.estimate(estimate),
    onProgress: (progress) => output.progress(progress),
    onReport: (report) => output.report(report),
  });
}
