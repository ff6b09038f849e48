/** Collects samples into tests, decides which count, and knows at any time what the report would be. */
import type { Disturber } from './busy-probe.ts';
import { findClockFault, isTooCoarse } from './clock.ts';
import type { PlannedTest, TakenSample } from './planned-test.ts';
import type { BenchTest, Label, Mark, Sample } from './report.ts';
import { findThrottling, median, summarise } from './statistics.ts';

export interface Disturbance {
  /** By the two clocks, around the sample. */
  elapsedMs: number;
  wallMs: number;
  /** Who had the processor meanwhile, as the busy probe saw it. */
  disturber: Disturber | null;
}

interface Row {
  test: PlannedTest;
  /** One list a series. */
  samples: Sample[][];
}

export class Recorder {
  readonly #rows: Row[] = [];
  readonly #notes = new Set<string>();
  readonly #labels = new Set<Label>();
  readonly #explained = new Set<string>();
  readonly #resolutionMs: number;

  constructor(resolutionMs: number) {
    this.#resolutionMs = resolutionMs;
  }

  note(text: string): void {
    this.#notes.add(text);
  }

  label(label: Label): void {
    this.#labels.add(label);
  }

  get notes(): string[] {
    return [...this.#notes];
  }

  get labels(): Label[] {
    return [...this.#labels];
  }

  begin(test: PlannedTest): void {
    this.#rows.push({ test, samples: test.series.map(() => []) });
  }

  /** Adds a sample to the test that has begun last. @returns its mark */
  add(taken: TakenSample, disturbance: Disturbance, isWarmUp: boolean): Mark | null {
    const row = this.#rows.at(-1)!;
    const mark = isWarmUp ? 'warm-up' : this.#judge(row.test, taken, disturbance);
    const ms = taken.ms / (taken.times ?? 1);
    for (const [i, value] of taken.values.entries()) {
      // A rate by a clock that stood still is infinite, which JSON cannot say; it is marked.
      if (value === null) continue;
      const seriesMark = mark ?? this.#judgeSpan(row.test.series[i]!.id, taken.spans?.[i] ?? null);
      row.samples[i]!.push({ value: Number.isFinite(value) ? value : 0, ms, mark: seriesMark });
    }
    return mark;
  }

  /** A short time within a long sample may be too short for the clock. */
  #judgeSpan(id: string, spanMs: number | null): Mark | null {
    if (spanMs === null || !isTooCoarse(spanMs, this.#resolutionMs)) return null;
    this.label('coarse-clock');
    this.note(`${id}: a sample was not counted: the clock is too coarse for it.`);
    return 'clock';
  }

  #judge(
    test: PlannedTest,
    { ms, parts }: TakenSample,
    { elapsedMs, wallMs, disturber }: Disturbance,
  ): Mark | null {
    // Which tokens come out does not depend on how long they take.
    if (test.suite === 'selfcheck') return null;
    const resolutionMs = this.#resolutionMs;
    const fault = findClockFault({ ms, parts, elapsedMs, wallMs, resolutionMs });
    if (fault !== null) {
      this.#explain(test, fault.kind, `a sample was not counted: ${fault.text}`);
      return 'clock';
    }
    if (disturber === null) return null;
    this.#explain(test, disturber.kind, `a sample was not counted: ${disturber.text}`);
    return disturber.kind;
  }

  /** Once for a test and a kind of trouble; the samples' marks tell how often. */
  #explain(test: PlannedTest, label: Label, text: string): void {
    this.label(label);
    const key = `${test.series[0]!.id} ${label}`;
    if (this.#explained.has(key)) return;
    this.#explained.add(key);
    this.note(`${test.series[0]!.id}: ${text}.`);
  }

  /** Ends the test that has begun last: looks at its samples as a row. */
  end(): void {
    const { test, samples } = this.#rows.at(-1)!;
    if (test.suite === 'selfcheck') return;
    const counted = samples.map((row) => row.filter(({ mark }) => mark === null));
    const start = findThrottling((counted[0] ?? []).map(({ ms }) => ms));
    if (start !== null) {
      const [first] = counted;
      const early = median(first!.slice(0, start).map(({ ms }) => ms));
      const late = median(first!.slice(start).map(({ ms }) => ms));
      this.label('throttled');
      this.note(
        `${test.series[0]!.id}: throttled from sample ${start + 1} on, which took ${percent(late / early)} longer.`,
      );
      for (const row of counted) for (const sample of row.slice(start)) sample.mark = 'throttled';
    }
    for (const [i, row] of samples.entries()) this.#noteUncounted(test.series[i]!.id, row);
  }

  #noteUncounted(id: string, samples: readonly Sample[]): void {
    const disturbed = samples.filter(({ mark }) => mark !== 'warm-up');
    if (disturbed.length === 0 || disturbed.some(({ mark }) => mark === null)) return;
    const middle = median(disturbed.map(({ value }) => value));
    this.note(
      `${id}: no sample counts; the median of those that do not is ${Number(middle.toPrecision(3))}.`,
    );
  }

  /** Of the samples of a test that are counted so far, in milliseconds. */
  durations(test: PlannedTest): number[] {
    const row = this.#rows.find((candidate) => candidate.test === test);
    return (row?.samples[0] ?? []).filter(({ mark }) => mark === null).map(({ ms }) => ms);
  }

  /** Rows of tests with at least one sample. */
  get tests(): BenchTest[] {
    return this.#rows.flatMap(({ test, samples }) =>
      test.series.flatMap((series, i): BenchTest[] => {
        const row = samples[i]!;
        if (row.length === 0) return [];
        return [
          {
            ...series,
            suite: test.suite,
            samples: row.map((sample) => ({ ...sample })),
            statistics: summarise(row),
          },
        ];
      }),
    );
  }
}

export function percent(ratio: number): string {
  return `${Math.round((ratio - 1) * 100)} %`;
}
