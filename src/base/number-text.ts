/**
 * Numbers for people. Files and disks in decimal units, as download sizes are named; memory in binary ones, as GPUs
 * are sold.
 */

const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** `98 MB`, `13.4 GB`, `0 B`. */
export function formatBytes(byteLength: number): string {
  let value = Math.max(0, byteLength);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit <= 1 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${trimZeros(value.toFixed(digits))} ${units[unit]}`;
}

function trimZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** `98 of 135 MB`: the unit once where both have the same. */
export function formatBytesOf(byteLength: number, totalByteLength: number): string {
  const [value, unit] = formatBytes(byteLength).split(' ');
  const total = formatBytes(totalByteLength);
  return total.endsWith(` ${unit}`) ? `${value} of ${total}` : `${value} ${unit} of ${total}`;
}

const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `160 KiB`, `12.4 GiB`: memory. */
export function formatMemory(byteLength: number): string {
  let value = Math.max(0, byteLength);
  let unit = 0;
  while (value >= 1023.5 && unit < binaryUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit <= 2 || value >= 99.95 ? 0 : value >= 9.95 ? 1 : 2;
  return `${trimZeros(value.toFixed(digits))} ${binaryUnits[unit]}`;
}

/** `135M`, `24B`: parameters as makers count them. */
export function formatCount(count: number): string {
  for (const [size, suffix] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'K'],
  ] as const) {
    if (count >= size) {
      const value = count / size;
      return `${trimZeros(value.toFixed(value < 10 ? 1 : 0))}${suffix}`;
    }
  }
  return String(count);
}

/** `12,800` in the reader's own grouping. */
export function formatInteger(count: number): string {
  return new Intl.NumberFormat().format(Math.round(count));
}

/** `40 s`, `3 min`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 59.5) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}

/** `0.41 s`, `850 ms`: short times, precisely. */
export function formatLatency(ms: number): string {
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9995 ? 2 : 1)} s`;
}

/** `9.3`, `48`: tokens per second. */
export function formatRate(perSecond: number): string {
  return perSecond.toFixed(perSecond < 9.95 ? 1 : 0);
}

/** A day and time in the reader's own way of writing them. */
export function formatDate(unixMs: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(unixMs);
}
