/**
 * Side by side with another engine: the same questions to both, in turns, in one browser, and the ratio of each pair of
 * turns. Figures of different runs are never compared: a machine is not as fast now as it was then.
 */
import type { AdapterReport } from '../engine/api.ts';

/** One question and its answer, timed from outside: the call, the first piece of text, the last one. */
export interface ComparedTurn {
  promptTokens: number;
  outputTokens: number;
  firstTokenMs: number;
  /** From the first piece to the last: outputTokens - 1 steps. */
  decodeMs: number;
  /** From the abort of a second answer to the end of its stream. */
  abortMs: number;
  /** Submissions to the GPU's queue meanwhile. */
  gpuSubmissions: number;
  /** What other programs did meanwhile, where that disturbs; null otherwise, or where nobody tells. */
  disturbed: string | null;
}

export interface ComparedEngine {
  name: string;
  version: string;
  /** Once, the first time: to where the model could answer. */
  loadMs: number;
  /** GPU buffers that it holds when loaded. */
  gpuBufferBytes: number;
  /** What the browser's processes grew by when it was loaded; null where the system does not tell. */
  residentBytes: number | null;
  /** Interleaved with the other's; the warm-up is not among them. */
  turns: ComparedTurn[];
}

/** How many times as fast the first engine is as the second, turn by turn. */
export interface Ratio {
  metric: 'prefill' | 'decode' | 'abort';
  mean: number;
  /** Of the pairs of turns. */
  standardDeviation: number;
  min: number;
  max: number;
}

export interface ComparisonReport {
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
 * Where an engine ran. `webgpu` takes all three: a submission or more for every token of every answer, and buffers that
 * the model fits into. `cpu`: nothing was ever sent to the GPU. Anything else is `mixed`.
 */
export function backendOf(
  { turns, gpuBufferBytes }: ComparedEngine,
  modelBytes: number,
): 'webgpu' | 'cpu' | 'mixed' {
  if (turns.every(({ gpuSubmissions }) => gpuSubmissions === 0)) return 'cpu';
  const holdsModel = gpuBufferBytes >= LEAST_ON_GPU * modelBytes;
  const isSteady = turns.every(({ gpuSubmissions, outputTokens }) => gpuSubmissions >= outputTokens);
  return holdsModel && isSteady ? 'webgpu' : 'mixed';
}

/** Tokens a second, of which the first comes with the prompt; aborts a second. */
/** Below it the page's clock tells nothing. */
const LEAST_ABORT_MS = 1;

const rates: Record<Ratio['metric'], (turn: ComparedTurn) => number> = {
  prefill: ({ promptTokens, firstTokenMs }) => (promptTokens / firstTokenMs) * 1000,
  decode: ({ outputTokens, decodeMs }) => ((outputTokens - 1) / decodeMs) * 1000,
  abort: ({ abortMs }) => 1000 / Math.max(abortMs, LEAST_ABORT_MS),
};

export function rateOf(metric: Ratio['metric'], turn: ComparedTurn): number {
  return rates[metric](turn);
}

/**
 * Pairs in which other programs disturbed either turn are left out of the ratios, if two are left.
 * @param notes what the reader has to know besides
 * @throws RangeError where the engines did not take the same number of turns
 */
export function compareEngines(
  { model, modelBytes, adapter }: Pick<ComparisonReport, 'model' | 'modelBytes' | 'adapter'>,
  engines: readonly [ComparedEngine, ComparedEngine],
  notes: readonly string[] = [],
): ComparisonReport {
  const [ours, theirs] = engines;
  if (ours.turns.length !== theirs.turns.length) {
    throw new RangeError(`${ours.turns.length} and ${theirs.turns.length} turns cannot be compared in pairs`);
  }
  const all = [...notes];
  const backends = engines.map((engine) => backendOf(engine, modelBytes));
  for (const [i, { name }] of engines.entries()) {
    if (backends[i] === 'cpu') {
      all.push(`${name} sent nothing to the GPU: its figures are a processor's, and no ratio is given.`);
    } else if (backends[i] === 'mixed') {
      all.push(`${name} did not run on the GPU alone, so no ratio is given.`);
    }
  }
  if (adapter.isSoftware) {
    all.push(
      "The GPU is emulated on the processor: the ratios tell of the kernels' shape, not of a real GPU.",
    );
  }
  const pairs = ours.turns.map((turn, i): Pair => [turn, theirs.turns[i]!]);
  if (pairs.some(([a, b]) => a.promptTokens !== b.promptTokens)) {
    all.push('The engines counted different numbers of prompt tokens.');
  }
  const quiet = pairs.filter((pair) => pair.every(({ disturbed }) => disturbed === null));
  const counted = quiet.length >= 2 ? quiet : pairs;
  if (quiet.length < pairs.length) {
    const cause = pairs.flat().find(({ disturbed }) => disturbed !== null)!.disturbed;
    const consequence = counted === quiet ? 'they are not in the ratios' : 'too few are left without them';
    all.push(
      `Other programs disturbed ${pairs.length - quiet.length} of ${pairs.length} turns (${cause}): ${consequence}.`,
    );
  }
  const comparable = counted.length >= 2 && backends.every((backend) => backend === 'webgpu');
  return {
    model,
    modelBytes,
    adapter,
    engines,
    ratios: comparable ? METRICS.map((metric) => ratioOf(metric, counted)) : null,
    notes: all,
  };
}

type Pair = readonly [ours: ComparedTurn, theirs: ComparedTurn];

const METRICS: readonly Ratio['metric'][] = ['prefill', 'decode', 'abort'];

function ratioOf(metric: Ratio['metric'], pairs: readonly Pair[]): Ratio {
  const values = pairs.map(([ours, theirs]) => rateOf(metric, ours) / rateOf(metric, theirs));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    metric,
    mean,
    standardDeviation: Math.sqrt(squares / (values.length - 1)),
    min: Math.min(...values),
    max: Math.max(...values),
  };
}

/** How a metric is shown: mean of all turns. */
const SHOWN: Record<Ratio['metric'], { name: string; value(turn: ComparedTurn): number; digits: number }> = {
  prefill: { name: 'prompt, tokens/s', value: rates.prefill, digits: 2 },
  decode: { name: 'answer, tokens/s', value: rates.decode, digits: 2 },
  abort: { name: 'abort, ms', value: ({ abortMs }) => abortMs, digits: 0 },
};

/** The comparison as a Markdown table, a column an engine. */
export function comparisonToMarkdown(report: ComparisonReport): string {
  const { model, modelBytes, adapter, engines, ratios, notes } = report;
  const mebibytes = (byteLength: number | null) =>
    byteLength === null ? '–' : (byteLength / 2 ** 20).toFixed(0);
  const mean = (values: readonly number[]) =>
    values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
  const submissions = ({ turns }: ComparedEngine) =>
    turns.reduce((sum, { gpuSubmissions }) => sum + gpuSubmissions, 0);
  const rows: [name: string, value: (engine: ComparedEngine) => string, ratio: string][] = [
    ...METRICS.map((metric): (typeof rows)[number] => {
      const { name, value, digits } = SHOWN[metric];
      const ratio = ratios?.find((entry) => entry.metric === metric);
      return [
        name,
        ({ turns }) => (turns.length === 0 ? '–' : mean(turns.map(value)).toFixed(digits)),
        ratio === undefined
          ? '–'
          : `${ratio.mean.toFixed(2)} ± ${ratio.standardDeviation.toFixed(2)} (${ratio.min.toFixed(2)} – ${ratio.max.toFixed(2)})`,
      ];
    }),
    ['load, ms', ({ loadMs }) => loadMs.toFixed(0), ''],
    ['GPU buffers, MiB', ({ gpuBufferBytes }) => mebibytes(gpuBufferBytes), ''],
    ['memory of the browser, MiB', ({ residentBytes }) => mebibytes(residentBytes), ''],
    ['backend', (engine) => `${backendOf(engine, modelBytes)} (${submissions(engine)} submissions)`, ''],
  ];
  const text = (value: string) => value.replace(/\s+/g, ' ').replaceAll('|', '\\|');
  const lines = [
    `| ${text(model)} | ${engines.map(({ name, version }) => `${name} ${version}`).join(' | ')} | times as fast |`,
    '|---|---:|---:|---:|',
    ...rows.map(([name, value, ratio]) => `| ${name} | ${engines.map(value).join(' | ')} | ${ratio} |`),
    '',
    `- GPU: ${text([adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(' ')) || 'not named'}`,
    `- ${engines[0].turns.length} turns of each, in turns; prompts of ${engines[0].turns[0]?.promptTokens ?? 0} tokens`,
    ...notes.map((note) => `- ${text(note)}`),
  ];
  return `${lines.join('\n')}\n`;
}
