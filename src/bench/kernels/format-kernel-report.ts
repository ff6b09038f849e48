import type { KernelReport, PhaseReport } from './kernel-report.ts';

/** At least three significant digits, without an exponent. */
function digits(value: number): string {
  const magnitude = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  return value === 0 ? '0' : value.toFixed(Math.min(Math.max(2 - magnitude, 0), 6));
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;

function duration(microseconds: number): string {
  return microseconds >= 1000 ? `${digits(microseconds / 1000)} ms` : `${digits(microseconds)} µs`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  // The last column is text, the others are numbers.
  return all
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padStart(widths[i]!))).join('  '))
    .join('\n');
}

function formatPhase(title: string, phase: PhaseReport): string {
  const { gpuMicroseconds, kernelMicroseconds, cpuMicroseconds, dispatches, kernels } = phase;
  const rate = (phase.tokens / gpuMicroseconds) * 1e6;
  const rows = kernels.map((kernel) => [
    percent(kernel.shareOfTime),
    `${kernel.dispatches}`,
    duration(kernel.microseconds),
    `${duration(Math.min(...kernel.samples))} to ${duration(Math.max(...kernel.samples))}`,
    digits(kernel.gigabytesPerSecond),
    percent(kernel.shareOfCopyBandwidth),
    kernel.gflopsPerSecond === null ? '' : digits(kernel.gflopsPerSecond),
    `${kernel.op} ${kernel.shape} ${kernel.formats}`.trim(),
  ]);
  return `${title}: ${duration(gpuMicroseconds)} on the GPU (${digits(rate)} tokens/s), of which the kernels add up to ${duration(kernelMicroseconds)} (${percent(kernelMicroseconds / gpuMicroseconds)}); ${dispatches} dispatches, ${duration(cpuMicroseconds)} of CPU time to encode and submit.
${table(['share', 'times', 'median', 'samples', 'GB/s', 'of copy', 'GFLOP/s', 'kernel'], rows)}`;
}

/** For a terminal: kernels by their share of the time. */
export function formatKernelReport(report: KernelReport): string {
  const { adapter, layers, decode, prefill, notes } = report;
  const clock = report.clock === 'timestamp-query' ? 'timestamp queries' : 'bracketed batches';
  const head = [
    `${adapter.description || adapter.vendor}, clock: ${clock}`,
    `Copy bandwidth ${digits(report.copyGigabytesPerSecond)} GB/s, best arithmetic ${digits(report.peakGflopsPerSecond)} GFLOP/s (f32)`,
    `Random weights, ${(report.weightBytes / 1e6).toFixed(0)} MB: ${layers.measured} of ${layers.total} layers`,
  ];
  return [
    head.join('\n'),
    formatPhase(`A decoded token at depth ${decode.depth}`, decode),
    formatPhase(`A chunk of ${prefill.tokens} tokens at depth ${prefill.depth}`, prefill),
    ...(notes.length > 0 ? [notes.map((note) => `Note: ${note}`).join('\n')] : []),
  ].join('\n\n');
}
