/** Figures of the kernel view as text, for tables and pages. */

/** At least three significant digits, without an exponent. */
export function threeDigits(value: number): string {
  if (value === 0) return '0';
  const magnitude = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  return value.toFixed(Math.min(Math.max(2 - magnitude, 0), 6));
}

export function formatPercent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function formatMicroseconds(microseconds: number): string {
  return microseconds >= 1000 ? `${threeDigits(microseconds / 1000)} ms` : `${threeDigits(microseconds)} µs`;
}
