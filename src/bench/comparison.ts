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
}

export interface ComparedEngine {
  name: string;
  version: string;
  /** Submissions to the GPU's queue while it answered: without any, what was measured is a CPU. */
  gpuSubmissions: number;
  loadMs: number;
  /** From the abort of an answer to the end of its stream. */
  abortMs: number;
  /** GPU buffers that it holds when loaded. */
  gpuBufferBytes: number;
  /** What the browser's processes grew by when it was loaded; null where the system does not tell. */
  residentBytes: number | null;
  /** Interleaved with the other's; the warm-up is not among them. */
  turns: ComparedTurn[];
}

/** How many times as fast the first engine is as the second, turn by turn. */
export interface Ratio {
  metric: 'prefill' | 'decode';
  mean: number;
  /** Of the pairs of turns. */
  standardDeviation: number;
  min: number;
  max: number;
}

export interface ComparisonReport {
  model: string;
  adapter: AdapterReport;
  engines: readonly [ComparedEngine, ComparedEngine];
  /** Null where either engine did not run on the GPU: then there is nothing to compare. */
  ratios: readonly Ratio[] | null;
  notes: readonly string[];
}

export function backendOf({ gpuSubmissions }: ComparedEngine): 'webgpu' | 'cpu' {
  return gpuSubmissions > 0 ? 'webgpu' : 'cpu';
}

/** Tokens a second; the first token comes with the prompt. */
const rates: Record<Ratio['metric'], (turn: ComparedTurn) => number> = {
  prefill: ({ promptTokens, firstTokenMs }) => (promptTokens / firstTokenMs) * 1000,
  decode: ({ outputTokens, decodeMs }) => ((outputTokens - 1) / decodeMs) * 1000,
};

export function rateOf(metric: Ratio['metric'], turn: ComparedTurn): number {
  return rates[metric](turn);
}

/** @throws RangeError where the engines did not take the same number of turns, or fewer than two */
export function compareEngines(
  model: string,
  adapter: AdapterReport,
  engines: readonly [ComparedEngine, ComparedEngine],
): ComparisonReport {
  const [ours, theirs] = engines;
  if (ours.turns.length !== theirs.turns.length || ours.turns.length < 2) {
    throw new RangeError(`${ours.turns.length} and ${theirs.turns.length} turns cannot be compared in pairs`);
  }
  const notes: string[] = [];
  for (const engine of engines) {
    if (backendOf(engine) === 'cpu') {
      notes.push(
        `${engine.name} sent nothing to the GPU: its figures are a processor's, and no ratio is given.`,
      );
    }
  }
  if (adapter.isSoftware) {
    notes.push(
      "The GPU is emulated on the processor: the ratios tell of the kernels' shape, not of a real GPU.",
    );
  }
  if (
    ours.turns.some(({ promptTokens }, i) => promptTokens !== (theirs.turns[i] as ComparedTurn).promptTokens)
  ) {
    notes.push('The engines counted different numbers of prompt tokens.');
  }
  const comparable = engines.every((engine) => backendOf(engine) === 'webgpu');
  const metrics: Ratio['metric'][] = ['prefill', 'decode'];
  return {
    model,
    adapter,
    engines,
    ratios: comparable ? metrics.map((metric) => ratioOf(metric, ours.turns, theirs.turns)) : null,
    notes,
  };
}

function ratioOf(
  metric: Ratio['metric'],
  ours: readonly ComparedTurn[],
  theirs: readonly ComparedTurn[],
): Ratio {
  const values = ours.map((turn, i) => rateOf(metric, turn) / rateOf(metric, theirs[i] as ComparedTurn));
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

const METRIC_NAMES: Record<Ratio['metric'], string> = {
  prefill: 'prompt, tokens/s',
  decode: 'answer, tokens/s',
};

/** The comparison as a Markdown table, a column an engine. */
export function comparisonToMarkdown({ model, adapter, engines, ratios, notes }: ComparisonReport): string {
  const mebibytes = (byteLength: number | null) =>
    byteLength === null ? '–' : (byteLength / 2 ** 20).toFixed(0);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const metrics: Ratio['metric'][] = ['prefill', 'decode'];
  const rows: [name: string, value: (engine: ComparedEngine) => string, ratio: string][] = [
    ...metrics.map((metric): (typeof rows)[number] => {
      const ratio = ratios?.find((entry) => entry.metric === metric);
      return [
        METRIC_NAMES[metric],
        ({ turns }) => mean(turns.map((turn) => rateOf(metric, turn))).toFixed(2),
        ratio === undefined
          ? '–'
          : `${ratio.mean.toFixed(2)} ± ${ratio.standardDeviation.toFixed(2)} (${ratio.min.toFixed(2)} – ${ratio.max.toFixed(2)})`,
      ];
    }),
    ['load, ms', ({ loadMs }) => loadMs.toFixed(0), ''],
    ['abort, ms', ({ abortMs }) => abortMs.toFixed(0), ''],
    ['GPU buffers, MiB', ({ gpuBufferBytes }) => mebibytes(gpuBufferBytes), ''],
    ['memory of the browser, MiB', ({ residentBytes }) => mebibytes(residentBytes), ''],
    ['backend', (engine) => `${backendOf(engine)} (${engine.gpuSubmissions} submissions)`, ''],
  ];
  const lines = [
    `| ${model} | ${engines.map(({ name, version }) => `${name} ${version}`).join(' | ')} | times as fast |`,
    '|---|---:|---:|---:|',
    ...rows.map(([name, value, ratio]) => `| ${name} | ${engines.map(value).join(' | ')} | ${ratio} |`),
    '',
    `- GPU: ${[adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(' ') || 'not named'}`,
    `- ${engines[0].turns.length} turns of each, in turns; prompts of ${engines[0].turns[0]?.promptTokens} tokens`,
    ...notes.map((note) => `- ${note}`),
  ];
  return `${lines.join('\n')}\n`;
}
