/** The benchmark as `npm run bench` runs it in a page: what only Node knows or does comes through calls. */
import { createTimerProbe } from '../bench/busy-probe.ts';
import type { BenchCaller, BenchRequest } from '../bench/command-calls.ts';
import { GOLDENS } from '../bench/goldens.ts';
import { readBrowserHost } from '../bench/machine.ts';
import type { BenchReport } from '../bench/report.ts';
import { runBenchmark } from '../bench/run.ts';
import type { BenchmarkEngine } from '../engine/api.ts';
import { measureInWorker } from './bench/measure-in-worker.ts';

export async function runBenchForCommand(
  engine: BenchmarkEngine,
  request: BenchRequest,
  call: BenchCaller,
  signal: AbortSignal,
): Promise<BenchReport> {
  const { depths, repetitions, machine, hasProbe } = request;
  const adapter = await engine.getAdapter();
  return runBenchmark(engine, request.source, {
    suites: request.suites,
    size: request.size,
    load: request.load,
    coldLoad: request.coldLoad,
    version: request.version,
    host: { ...(await readBrowserHost()), ...machine },
    probe: hasProbe
      ? {
          repeats: true,
          async start() {
            const watch = await call('watch', null);
            return { stop: () => call('unwatch', watch) };
          },
        }
      : createTimerProbe(adapter?.isSoftware === true),
    measureKernels: measureInWorker,
    readTemperatures: () => call('temperatures', null),
    goldens: GOLDENS,
    firstRuns: {
      read: (key) => call('readFirstRun', key),
      write: async (key, text) => void (await call('writeFirstRun', { key, text })),
    },
    ...(depths === null ? {} : { depths }),
    ...(repetitions === null ? {} : { repetitions }),
    signal,
    onLoadProgress: (progress) => void call('load', progress),
    onEstimate: async (estimate) => void (await call('estimate', estimate)),
    onProgress: (progress) => void call('progress', progress),
    onReport: (report) => void call('report', report),
  });
}
