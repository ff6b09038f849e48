/** How long a model takes to be ready: from the store, and (measured by the run's first load) over the network. */
import type { LoadOptions, ModelSource } from '../../engine/api.ts';
import { type LoadTiming, timeLoad, withoutDownload } from '../load-timing.ts';
import { longEnough } from '../long-enough.ts';
import {
  NO_WORK,
  type PlannedTest,
  type Series,
  type SuiteContext,
  type TakenSample,
} from '../planned-test.ts';

/** Loads that take longer from the store are measured once. */
const LONG_LOAD_MS = 20_000;

/** @param withStoreReads also read the stored records once more: worth nothing where they are made as they are read */
export function planLoad(
  { engine, size, clock, leastMs }: SuiteContext,
  source: ModelSource,
  options: LoadOptions,
  firstLoad: LoadTiming,
  withStoreReads: boolean,
): PlannedTest[] {
  return [
    {
      suite: 'load',
      series: [...loadSeries('warm'), ...(withStoreReads ? STORE_SERIES : [])],
      repetitions: withoutDownload(firstLoad) > LONG_LOAD_MS ? 1 : size.load.repetitions,
      warmUps: 0,
      setUpWork: NO_WORK,
      work: { ...NO_WORK, loads: withStoreReads ? 2 : 1 },
      async take({ signal }) {
        await engine.unloadModel();
        const { timing } = await timeLoad(engine, source, { ...options, signal }, clock);
        const sample = loadSample(timing);
        if (!withStoreReads) return sample;
        let share = 0;
        const { ms, times } = await longEnough(leastMs, async () => {
          const raw = await engine.timeStoreReads({ signal });
          share = raw.loadReadBytes / raw.storedBytes;
          return { ms: raw.ms, parts: [] };
        });
        return {
          ...sample,
          values: [...sample.values, share, ms > 0 ? timing.ms / (ms / times) : null],
          spans: [...(sample.spans ?? []), null, ms],
        };
      },
    },
  ];
}

/** Of a warm load: what it read of what is stored, and its time as a multiple of one raw read of the same records. */
const STORE_SERIES: readonly Series[] = ['read / stored', 'time / raw read'].map((what) => ({
  id: `warm load: ${what}`,
  unit: 'ratio',
  tokens: null,
  depth: 0,
}));

export function loadSeries(temperature: 'cold' | 'warm'): Series[] {
  const series = (what: string, unit: Series['unit']) => ({
    id: `${temperature} load${what}`,
    unit,
    tokens: null,
    depth: 0,
  });
  return [
    series('', 'ms'),
    series(': download', 'MB/s'),
    series(': to the GPU', 'MB/s'),
    series(': kernels', 'ms'),
  ];
}

/** In the order of {@link loadSeries}. */
export function loadSample({ ms, phases }: LoadTiming): TakenSample {
  const download = phases.get('download');
  const read = phases.get('read');
  const upload = phases.get('upload');
  const compile = phases.get('compile');
  return {
    values: [
      ms,
      download === undefined ? null : megabytesPerSecond(download.amount, download.ms),
      // Shards are read while others are uploaded: the two are one phase.
      upload === undefined ? null : megabytesPerSecond(upload.amount, upload.ms + (read?.ms ?? 0)),
      compile?.ms ?? null,
    ],
    ms,
    parts: [],
    spans: [
      ms,
      download?.ms ?? null,
      upload === undefined ? null : upload.ms + (read?.ms ?? 0),
      compile?.ms ?? null,
    ],
  };
}

function megabytesPerSecond(bytes: number, ms: number): number | null {
  return ms > 0 && bytes > 0 ? bytes / 1000 / ms : null;
}
