/**
 * Side by side with another engine: the same loads and the same questions to both, in turns, in one browser, and the ratio
 * of each pair of turns. Figures of different runs are never compared: a machine is not as fast now as it was then. The
 * report's published form is docs/bench-comparison.schema.json.
 */
import type { AdapterReport } from '../engine/api.ts';
import { markdownTable } from './markdown-table.ts';

export const COMPARISON_VERSION = 1;

/** Where a turn was disturbed. */
interface Disturbable {
  /** Who had the processor meanwhile, where that disturbs; null otherwise, or where nobody tells. */
  disturbed: string | null;
}

/** One load of the model from where the engine keeps its weights, after it had been unloaded. */
export interface ComparedLoad extends Disturbable {
  /** To where the engine says that it is ready. */
  loadMs: number;
  /** From the load's start to the first piece of a first short answer: what a load puts off is in it. */
  firstAnswerMs: number;
  /** GPU buffers that the engine holds then. */
  gpuBufferBytes: number;
}

/** One question and its answer, timed from outside: the call, the first piece of text, the last one. */
export interface ComparedTurn extends Disturbable {
  promptTokens: number;
  outputTokens: number;
  firstTokenMs: number;
  /** From the first piece to the last: outputTokens - 1 steps. */
  decodeMs: number;
  /** From the abort of a second answer to the end of its stream. */
  abortMs: number;
  /** Submissions to the GPU's queue meanwhile. */
  gpuSubmissions: number;
  /** GPU buffers that the engine holds then. */
  gpuBufferBytes: number;
}

export interface ComparedEngine {
  name: string;
  version: string;
  /** Where its loads take the weights from. */
  weightsIn: string;
  /** The first load, once: with the download and, where the engine does so, checking and storing. */
  firstLoadMs: number;
  /**
   * What the browser's processes had grown by after the first load and a first answer; null where the system does not
   * tell. Once, and in no ratio: what is unloaded is given back late, so that later loads begin with some of it.
   */
  residentBytes: number | null;
  /** Interleaved with the other's. */
  loads: ComparedLoad[];
  /** Interleaved with the other's; the warm-up is not among them. */
  turns: ComparedTurn[];
}

export type TurnMetric = 'prefill' | 'decode' | 'abort';
export type LoadMetric = 'load' | 'first-answer' | 'gpu-buffers';

/** How many times as fast the first engine is as the second, or as small, pair by pair. */
export interface Ratio {
  metric: TurnMetric | LoadMetric;
  mean: number;
  /** Of the pairs. */
  standardDeviation: number;
  min: number;
  max: number;
}

export interface ComparisonReport {
  version: typeof COMPARISON_VERSION;
  model: string;
  /** Of the GGUF. */
  modelBytes: number;
  adapter: AdapterReport;
  engines: readonly [ComparedEngine, ComparedEngine];
  /** Null where either engine did not run on the GPU: then there is nothing to compare. */
  ratios: readonly Ratio[] | null;
  notes: readonly string[];
}

/** Below this share of the model in GPU buffers, some of it was somewhere else. */
const LEAST_ON_GPU = 0.8;

/**
 * Where an engine ran. `webgpu` takes both: a submission or more for every token of every answer, and buffers that the
 * model fits into. `cpu`: nothing was ever sent to the GPU. Anything else is `mixed`, and an engine that
 * took no turn is `unknown`.
 */
export function backendOf(
  { turns }: ComparedEngine,
  modelBytes: number,
): 'webgpu' | 'cpu' | 'mixed' | 'unknown' {
  if (turns.length === 0) return 'unknown';
  if (turns.every(({ gpuSubmissions }) => gpuSubmissions === 0)) return 'cpu';
  const holdsModel = turns.every(({ gpuBufferBytes }) => gpuBufferBytes >= LEAST_ON_GPU * modelBytes);
  const isSteady = turns.every(({ gpuSubmissions, outputTokens }) => gpuSubmissions >= outputTokens);
  return holdsModel && isSteady ? 'webgpu' : 'mixed';
}

/** Below it the page's clock tells nothing. */
const LEAST_ABORT_MS = 1;

/** Tokens a second, of which the first comes with the prompt; aborts a second. */
const rates: Record<TurnMetric, (turn: ComparedTurn) => number> = {
  prefill: ({ promptTokens, firstTokenMs }) => (promptTokens / firstTokenMs) * 1000,
  decode: ({ outputTokens, decodeMs }) => ((outputTokens - 1) / decodeMs) * 1000,
  abort: ({ abortMs }) => 1000 / Math.max(abortMs, LEAST_ABORT_MS),
};

export function rateOf(metric: TurnMetric, turn: ComparedTurn): number {
  return rates[metric](turn);
}

/** The less, the better. */
const amounts: Record<LoadMetric, (load: ComparedLoad) => number> = {
  load: ({ loadMs }) => loadMs,
  'first-answer': ({ firstAnswerMs }) => firstAnswerMs,
  'gpu-buffers': ({ gpuBufferBytes }) => gpuBufferBytes,
};

/**
 * Pairs in which either turn was disturbed are left out of the ratios, if two are left.
 * @param notes what the reader has to know besides
 * @throws RangeError where the engines did not take the same number of turns
 */
export function compareEngines(
  { model, modelBytes, adapter }: Pick<ComparisonReport, 'model' | 'modelBytes' | 'adapter'>,
  engines: readonly [ComparedEngine, ComparedEngine],
  notes: readonly string[] = [],
): ComparisonReport {
  const [ours, theirs] = engines;
  const all = [...notes];
  const backends = engines.map((engine) => backendOf(engine, modelBytes));
  for (const [i, { name }] of engines.entries()) {
    if (backends[i] === 'cpu') {
      all.push(`${name} sent nothing to the GPU: its figures are a processor's, and no ratio is given.`);
    } else if (backends[i] === 'mixed') {
      all.push(`${name} did not run on the GPU alone, so no ratio is given.`);
    } else if (backends[i] === 'unknown') {
      all.push(`${name} took no turn: where it runs is not proven, and no ratio is given.`);
    }
  }
  if (adapter.isSoftware) {
    all.push(
      "The GPU is emulated on the processor: the ratios tell of the kernels' shape, not of a real GPU.",
    );
  }
  const turns = countedPairs('turns', ours.turns, theirs.turns, all);
  const loads = countedPairs('loads', ours.loads, theirs.loads, all);
  if (turns.some(([a, b]) => a.promptTokens !== b.promptTokens)) {
    all.push('The engines counted different numbers of prompt tokens.');
  }
  const comparable = backends.every((backend) => backend === 'webgpu');
  const ratios = [
    ...TURN_METRICS.map((metric) =>
      ratioOf(
        metric,
        turns.map(([a, b]) => rates[metric](a) / rates[metric](b)),
      ),
    ),
    ...LOAD_METRICS.map((metric) =>
      ratioOf(
        metric,
        loads.map(([a, b]) => amounts[metric](b) / amounts[metric](a)),
      ),
    ),
  ].filter((ratio) => ratio !== null);
  return {
    version: COMPARISON_VERSION,
    model,
    modelBytes,
    adapter,
    engines,
    ratios: comparable && ratios.length > 0 ? ratios : null,
    notes: all,
  };
}

const TURN_METRICS: readonly TurnMetric[] = ['prefill', 'decode', 'abort'];
const LOAD_METRICS: readonly LoadMetric[] = ['load', 'first-answer', 'gpu-buffers'];

/** Pairs that nobody disturbed, if there are two; else all. What was left out, and why, is added to the notes. */
function countedPairs<Turn extends Disturbable>(
  what: string,
  ours: readonly Turn[],
  theirs: readonly Turn[],
  notes: string[],
): (readonly [Turn, Turn])[] {
  if (ours.length !== theirs.length) {
    throw new RangeError(`${ours.length} and ${theirs.length} ${what} cannot be compared in pairs`);
  }
  const pairs = ours.map((turn, i) => [turn, theirs[i]!] as const);
  const quiet = pairs.filter((pair) => pair.every(({ disturbed }) => disturbed === null));
  if (quiet.length === pairs.length) return pairs;
  const isEnough = quiet.length >= LEAST_PAIRS;
  const cause = pairs.flat().find(({ disturbed }) => disturbed !== null)!.disturbed;
  const consequence = isEnough ? 'they are not in the ratios' : 'too few are left without them';
  notes.push(
    `Disturbed: ${pairs.length - quiet.length} of ${pairs.length} ${what} (${cause}); ${consequence}.`,
  );
  return isEnough ? quiet : pairs;
}

/** One pair has no spread. */
const LEAST_PAIRS = 2;

/** @returns null where there are too few, or where one is no ratio: an engine without GPU buffers */
function ratioOf(metric: Ratio['metric'], values: readonly number[]): Ratio | null {
  if (values.length < LEAST_PAIRS || !values.every((value) => value > 0 && Number.isFinite(value)))
    return null;
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    metric,
    mean,
    standardDeviation: Math.sqrt(squares / (values.length - 1)),
    min: Math.min(...values),
    max: Math.max(...values),
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const mebibytes = (byteLength: number): number => byteLength / 2 ** 20;

/** How a metric is shown: the mean of all turns or loads. */
const SHOWN_TURNS: Record<TurnMetric, { name: string; value(turn: ComparedTurn): number; digits: number }> = {
  prefill: { name: 'prompt, tokens/s', value: rates.prefill, digits: 2 },
  decode: { name: 'answer, tokens/s', value: rates.decode, digits: 2 },
  abort: { name: 'abort, ms', value: ({ abortMs }) => abortMs, digits: 0 },
};
const SHOWN_LOADS: Record<LoadMetric, { name: string; value(load: ComparedLoad): number }> = {
  load: { name: 'load, ms', value: amounts.load },
  'first-answer': { name: 'load and first token, ms', value: amounts['first-answer'] },
  'gpu-buffers': { name: 'GPU buffers, MiB', value: (load) => mebibytes(load.gpuBufferBytes) },
};

/** The comparison as a Markdown table, a column an engine. */
export function comparisonToMarkdown(report: ComparisonReport): string {
  const { model, modelBytes, adapter, engines, ratios, notes } = report;
  const shown = (values: readonly number[], digits: number) =>
    values.length === 0 ? '–' : meanOf(values).toFixed(digits);
  const ratio = (metric: Ratio['metric']) => {
    const found = ratios?.find((entry) => entry.metric === metric);
    if (found === undefined) return '–';
    const [mean, deviation, min, max] = [found.mean, found.standardDeviation, found.min, found.max].map(
      (value) => value.toFixed(2),
    );
    return `${mean} ± ${deviation} (${min} – ${max})`;
  };
  const submissions = ({ turns }: ComparedEngine) =>
    turns.reduce((sum, { gpuSubmissions }) => sum + gpuSubmissions, 0);
  const rows: [name: string, value: (engine: ComparedEngine) => string, ratio: string][] = [
    ...TURN_METRICS.map((metric): (typeof rows)[number] => {
      const { name, value, digits } = SHOWN_TURNS[metric];
      return [name, ({ turns }) => shown(turns.map(value), digits), ratio(metric)];
    }),
    ...LOAD_METRICS.map((metric): (typeof rows)[number] => {
      const { name, value } = SHOWN_LOADS[metric];
      return [name, ({ loads }) => shown(loads.map(value), 0), ratio(metric)];
    }),
    [
      'memory of the browser after the first, MiB',
      ({ residentBytes }) => (residentBytes === null ? '–' : mebibytes(residentBytes).toFixed(0)),
      '',
    ],
    ['first load, ms', ({ firstLoadMs }) => firstLoadMs.toFixed(0), ''],
    ['loads from', ({ weightsIn }) => weightsIn, ''],
    ['backend', (engine) => `${backendOf(engine, modelBytes)} (${submissions(engine)} submissions)`, ''],
  ];
  const [{ turns, loads }] = engines;
  const gpu = [adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(' ');
  const table = markdownTable(
    [
      [model, 'left'],
      ...engines.map(({ name, version }) => [`${name} ${version}`, 'right'] as const),
      ['times as fast, or as small', 'right'],
    ],
    rows.map(([name, value, text]) => [name, ...engines.map(value), text]),
  );
  const facts = [
    `GPU: ${gpu || 'not named'}`,
    `${loads.length} loads and ${turns.length} turns of each, in turns; prompts of ${turns[0]?.promptTokens ?? 0} tokens`,
    ...notes,
  ];
  return `${table}\n\n${facts.map((fact) => `- ${fact.replace(/\s+/g, ' ').replaceAll('|', '\\|')}`).join('\n')}\n`;
}
