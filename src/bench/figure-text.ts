/** Figures with as many digits as mean something, for tables on a page and in Markdown. */
import type { BenchTest } from './report.ts';

function digitsOf(value: number): number {
  const size = Math.abs(value);
  return size < 10 ? 2 : size < 1000 ? 1 : 0;
}

export function formatFigure(value: number | null): string {
  return value === null ? '–' : value.toFixed(digitsOf(value));
}

/** `21.4 ± 0.30`: mean and standard deviation. */
export function formatSpread({ statistics: { mean, standardDeviation } }: BenchTest): string {
  if (mean === null) return '–';
  return standardDeviation === null
    ? formatFigure(mean)
    : `${formatFigure(mean)} ± ${formatFigure(standardDeviation)}`;
}
