/** The kernel view in Markdown: what a step takes, and its kernels by their share of the time. */
import { formatBytes } from '../../base/number-text.ts';
import { markdownTable } from '../markdown-table.ts';
import { type KernelRatio, kernelRatios } from './kernel-ratios.ts';
import type { KernelReport, PhaseReport } from './kernel-report.ts';
import { formatMicroseconds, formatPercent, threeDigits } from './kernel-text.ts';

const COLUMNS = [
  ['share', 'right'],
  ['times', 'right'],
  ['median', 'right'],
  ['least', 'right'],
  ['most', 'right'],
  ['MB', 'right'],
  ['GB/s', 'right'],
  ['of copy', 'right'],
  ['GFLOP/s', 'right'],
  ['kernel', 'left'],
] as const;

function phaseTable(title: string, phase: PhaseReport): string {
  const { tokens, gpuMicroseconds, kernelMicroseconds, cpuMicroseconds, dispatches } = phase;
  const rate = (tokens / gpuMicroseconds) * 1e6;
  const rows = phase.kernels.map((kernel) => [
    formatPercent(kernel.shareOfTime),
    `${kernel.dispatches}`,
    formatMicroseconds(kernel.microseconds),
    formatMicroseconds(Math.min(...kernel.samples)),
    formatMicroseconds(Math.max(...kernel.samples)),
    threeDigits(kernel.bytes / 1e6),
    threeDigits(kernel.gigabytesPerSecond),
    formatPercent(kernel.shareOfCopyBandwidth),
    kernel.gflopsPerSecond === null ? '' : threeDigits(kernel.gflopsPerSecond),
    `${kernel.op} ${kernel.shape} ${kernel.formats}`.trim(),
  ]);
  return `${title}: ${formatMicroseconds(gpuMicroseconds)} on the GPU (${threeDigits(rate)} tokens/s), of which the kernels add up to ${formatMicroseconds(kernelMicroseconds)} (${formatPercent(kernelMicroseconds / gpuMicroseconds)}); ${dispatches} dispatches, ${formatMicroseconds(cpuMicroseconds / tokens)} of CPU time a token to encode and submit.

${markdownTable(COLUMNS, rows)}`;
}

function ratioTable(ratios: readonly KernelRatio[]): string {
  return `Before and after, in turns within this run:

${markdownTable(
  [
    ['phase', 'left'],
    ['kernels before', 'left'],
    ['kernels after', 'left'],
    ['time before', 'right'],
    ['time after', 'right'],
    ['ratio', 'right'],
    ['least', 'right'],
    ['most', 'right'],
  ],
  ratios.map(({ phase, before, after, beforeMicroseconds, afterMicroseconds, ratio, least, most }) => [
    phase,
    before,
    after,
    formatMicroseconds(beforeMicroseconds),
    formatMicroseconds(afterMicroseconds),
    ratio.toFixed(2),
    least.toFixed(2),
    most.toFixed(2),
  ]),
)}`;
}

export function kernelTables(report: KernelReport): string {
  const { layers, decode, prefill, weightBytes, notes } = report;
  const clock = report.clock === 'timestamp-query' ? 'timestamp queries' : 'bracketed batches';
  const head = [
    `Kernel view, by ${clock}, over ${formatBytes(weightBytes)} of random weights (${layers.measured} of ${layers.total} layers).`,
    `Copy bandwidth ${threeDigits(report.copyGigabytesPerSecond)} GB/s, best arithmetic ${threeDigits(report.peakGflopsPerSecond)} GFLOP/s (f32).`,
    ...notes,
  ].join(' ');
  const ratios = report.before === null ? [] : kernelRatios(report.before, report);
  return [
    head,
    phaseTable(`A decoded token at depth ${decode.depth}`, decode),
    phaseTable(`A chunk of ${prefill.tokens} tokens at depth ${prefill.depth}`, prefill),
    ...(ratios.length > 0 ? [ratioTable(ratios)] : []),
  ].join('\n\n');
}
