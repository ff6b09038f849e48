/** A report as others read it: JSON, CSV, and Markdown with llama-bench's columns. */
import { formatMemory } from '../base/number-text.ts';
import { formatSpread } from './figure-text.ts';
import { kernelTables } from './kernels/kernel-tables.ts';
import { markdownTable } from './markdown-table.ts';
import type { BenchReport, BenchTest, Label } from './report.ts';
import { summarise } from './statistics.ts';

export function toJson(report: BenchReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** `94 MiB`, `12.3 GiB`: as llama-bench gives sizes. */
function size(byteLength: number): string {
  const [unit, name] = byteLength >= 2 ** 30 ? [2 ** 30, 'GiB'] : [2 ** 20, 'MiB'];
  return `${(byteLength / unit).toFixed(2)} ${name}`;
}

function parameters(count: number | null): string {
  if (count === null) return '';
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)} B` : `${(count / 1e6).toFixed(2)} M`;
}

/** llama-bench's own precision. */
function rate({ statistics: { mean, standardDeviation } }: BenchTest): string {
  return mean === null ? '–' : `${mean.toFixed(2)} ± ${(standardDeviation ?? 0).toFixed(2)}`;
}

const LABELS: Record<Label, string> = {
  partial: 'partial: not everything that was asked for was measured',
  aborted: 'stopped by hand',
  'device-lost': 'the GPU was lost',
  failed: 'a test failed',
  short: 'short tests: not comparable with pp512 and tg128',
  software: 'software adapter: a CPU played the GPU',
  'random-weights': 'random weights: speed only',
  busy: 'other programs used the processor',
  stolen: 'the host of this virtual machine took processor time',
  clock: 'the clock was at fault',
  'coarse-clock': 'the clock is too coarse',
  throttled: 'throttled: late samples are much slower',
  'self-check-failed': 'the self-check failed: a kernel computes wrongly',
};

export function describeLabel(label: Label): string {
  return LABELS[label];
}

/** The tables, and below them what has to be known to read them. */
export function toMarkdown(report: BenchReport): string {
  const { model, machine, software, selfCheck } = report;
  const rates = report.tests.filter(({ suite }) => suite === 'standard');
  const others = report.tests.filter(({ suite }) => suite !== 'standard');
  const sections: string[] = [];
  if (rates.length > 0) {
    const head = [
      `${model.name} ${model.quantization}`,
      size(model.weightBytes),
      parameters(model.parameterCount),
      'WebGPU',
      // Layers on the GPU: all, which llama-bench writes so.
      '99',
    ];
    sections.push(
      markdownTable(
        [
          ['model', 'left'],
          ['size', 'right'],
          ['params', 'right'],
          ['backend', 'left'],
          ['ngl', 'right'],
          ['test', 'right'],
          ['t/s', 'right'],
        ],
        rates.map((test) => [...head, test.id, rate(test)]),
      ),
    );
  }
  if (others.length > 0) {
    sections.push(
      markdownTable(
        [
          ['test', 'left'],
          ['mean ± sd', 'right'],
          ['unit', 'left'],
        ],
        others.map((test) => [test.id, formatSpread(test), test.unit]),
      ),
    );
  }
  if (report.kernels) sections.push(kernelTables(report.kernels));
  const { adapter } = machine;
  const gpu = [adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(' ');
  const facts = [
    ...(report.labels.length > 0 ? [`**${report.labels.map(describeLabel).join('; ')}**`] : []),
    `GPU: ${gpu || 'not named'}, ${software.library}`,
    `Machine: ${[machine.processor, `${machine.cores} threads`, machine.memoryGib === null ? null : formatMemory(machine.memoryGib * 2 ** 30), machine.os, machine.program, machine.power].filter(Boolean).join(', ')}`,
    `Tramontane ${software.tramontane}, WebLLM ${software.webLlm}, library ${software.librarySha256.slice(0, 12)}, weights ${model.tensorCacheSha256.slice(0, 12)}, ${report.startedAt}`,
    ...(selfCheck === null
      ? []
      : [
          `Self-check: ${selfCheck.agreement.toFixed(1)} % of ${selfCheck.positions} tokens agree (${REFERENCES[selfCheck.reference]})`,
        ]),
    `Warmth: ${report.thermal.note}`,
    ...(report.stoppedBy === null ? [] : [report.stoppedBy]),
    ...report.notes,
  ];
  sections.push(facts.map((fact) => `- ${fact.replace(/\s+/g, ' ')}`).join('\n'));
  return `${sections.join('\n\n')}\n`;
}

const REFERENCES = {
  golden: 'with stored tokens of another implementation',
  'first-run': "with what this machine's first run generated",
  'own-prefill': 'decode steps with prefill',
} as const;

/**
 * Columns: llama-bench's names where it has the same (times in nanoseconds, rates in tokens per second), then ours.
 * A row a test.
 */
export function toCsv(report: BenchReport): string {
  const { model, machine, software } = report;
  const header = [
    'build_commit',
    'backends',
    'cpu_info',
    'gpu_info',
    'model_filename',
    'model_type',
    'model_size',
    'model_n_params',
    'n_prompt',
    'n_gen',
    'n_depth',
    'test_time',
    'avg_ns',
    'stddev_ns',
    'avg_ts',
    'stddev_ts',
    'test',
    'suite',
    'unit',
    'mean',
    'sd',
    'min',
    'median',
    'max',
    'drift',
    'samples',
    'marks',
    'labels',
  ];
  const gpu = [machine.adapter.vendor, machine.adapter.architecture, machine.adapter.description];
  const rows = report.tests.map((test) => {
    const { statistics: s, samples, suite } = test;
    const isStandard = suite === 'standard';
    const nanoseconds = summariseNanoseconds(test);
    const isPrompt = test.id.startsWith('pp');
    const count = (of: boolean) => (isStandard ? ((of ? test.tokens : 0) ?? 0) : null);
    return [
      software.tramontane,
      'WebGPU',
      machine.processor,
      gpu.filter(Boolean).join(' '),
      model.id,
      `${model.name} ${model.quantization}`,
      model.weightBytes,
      model.parameterCount,
      count(isPrompt),
      count(!isPrompt),
      test.depth,
      report.startedAt,
      isStandard ? nanoseconds.mean : null,
      isStandard ? nanoseconds.standardDeviation : null,
      isStandard ? s.mean : null,
      isStandard ? s.standardDeviation : null,
      test.id,
      suite,
      test.unit,
      s.mean,
      s.standardDeviation,
      s.minimum,
      s.median,
      s.maximum,
      s.drift,
      samples.map(({ value }) => value).join(' '),
      samples.map(({ mark }) => mark ?? 'counted').join(' '),
      report.labels.join(' '),
    ];
  });
  return `${[header, ...rows].map((row) => row.map(csvCell).join(',')).join('\r\n')}\r\n`;
}

function summariseNanoseconds({ samples }: BenchTest): {
  mean: number | null;
  standardDeviation: number | null;
} {
  const inNanoseconds = samples.map(({ ms, mark }) => ({ value: Math.round(ms * 1e6), ms, mark }));
  const { mean, standardDeviation } = summarise(inNanoseconds);
  return {
    mean: mean === null ? null : Math.round(mean),
    standardDeviation: standardDeviation === null ? null : Math.round(standardDeviation),
  };
}

/** RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe before it. */
function csvCell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
