/** How warm the machine got, and whether that showed: the report's thermal note. */
import type { ThermalReport } from './report.ts';

/** Degrees Celsius by sensor; empty where none can be read, as in a page. */
export type Temperatures = Readonly<Record<string, number>>;

export interface ThermalFacts {
  before: Temperatures;
  after: Temperatures;
  /** The test that was run once more at the end, and how much longer it took; null where that is not known. */
  atEnd: { id: string; slowdown: number } | null;
  /** Ids of tests that became slower for good. */
  throttled: readonly string[];
  hasTests: boolean;
}

/** Changes below it are noise. */
const NOTICEABLE = 0.01;

export function reportThermal({ before, after, atEnd, throttled, hasTests }: ThermalFacts): ThermalReport {
  const sensors = Object.entries(before).flatMap(([name, beforeCelsius]) => {
    const afterCelsius = after[name];
    return afterCelsius === undefined ? [] : [{ name, beforeCelsius, afterCelsius }];
  });
  const sentences = [
    ...(throttled.length > 0
      ? [`Slower for good, as when it gets too warm: ${throttled.join(', ')}.`]
      : hasTests
        ? ['No test became slower for good.']
        : []),
    ...(atEnd === null ? [] : [describeEnd(atEnd)]),
    sensors.length === 0
      ? 'No temperature could be read.'
      : `${sensors.map(({ name, beforeCelsius: from, afterCelsius: to }) => `${name} ${from.toFixed(0)} to ${to.toFixed(0)} °C`).join(', ')}.`,
  ];
  return { note: sentences.join(' '), slowdownAtEnd: atEnd?.slowdown ?? null, sensors };
}

function describeEnd({ id, slowdown }: NonNullable<ThermalFacts['atEnd']>): string {
  const than = 'than in the mean at the beginning';
  if (Math.abs(slowdown) < NOTICEABLE) return `At the end ${id} took as long as at the beginning.`;
  const percent = `${Math.round(Math.abs(slowdown) * 100)} %`;
  return `At the end ${id} took ${percent} ${slowdown > 0 ? 'longer' : 'less time'} ${than}.`;
}
