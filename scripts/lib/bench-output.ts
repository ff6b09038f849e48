/** What `npm run bench` shows and writes: progress on stderr, files as they come to be, the table on stdout. */
import { open, writeFile } from 'node:fs/promises';
import { errorMessage } from '../../src/base/errors.ts';
import { formatDuration } from '../../src/base/number-text.ts';
import { toCsv, toJson, toMarkdown } from '../../src/bench/export.ts';
import type { BenchReport } from '../../src/bench/report.ts';
import type { BenchEstimate, BenchProgress } from '../../src/bench/run.ts';
import type { Progress } from '../../src/engine/api.ts';
import { createProgressLine, UsageError } from './command-line.ts';

export interface BenchFiles {
  json: string | undefined;
  csv: string | undefined;
  markdown: string | undefined;
}

/** Follows one run of the benchmark. */
export class BenchOutput {
  readonly #files: BenchFiles;
  readonly #line = createProgressLine();
  readonly #isTerminal = process.stderr.isTTY === true;
  #test = '';
  #written: Promise<unknown> = Promise.resolve();
  /** The report as it stood after the last test: what is left if the page or its GPU process dies. */
  lastReport: BenchReport | null = null;

  constructor(files: BenchFiles) {
    this.#files = files;
  }

  load(progress: Progress): void {
    this.#line.show(progress);
  }

  estimate({ durationMs, shortSuites }: BenchEstimate): void {
    this.#line.end();
    const short =
      shortSuites.length === 0 ? '' : `; short tests for ${shortSuites.join(', ')}, in full over 10 min`;
    process.stderr.write(`About ${formatDuration(durationMs)}${short}\n`);
  }

  progress({ test, repetition, of, etaMs }: BenchProgress): void {
    const eta = etaMs === null ? '' : ` · about ${formatDuration(etaMs)} left`;
    // Where stderr is a file, a line a test is enough.
    if (this.#isTerminal) process.stderr.write(`\r\u001b[K${test} · ${repetition} of ${of}${eta}`);
    else if (test !== this.#test) process.stderr.write(`${test}${eta}\n`);
    this.#test = test;
  }

  /**
   * Kept, and written to the JSON file: whatever happens next, this much is known. One write after the other; one that
   * fails is told at the end.
   */
  report(report: BenchReport): void {
    this.lastReport = report;
    const { json } = this.#files;
    if (json === undefined) return;
    this.#written = this.#written.then(() => writeFile(json, toJson(report))).catch(() => undefined);
  }

  /** @throws errors of the file system, when everything has been shown */
  async end(report: BenchReport): Promise<void> {
    this.#line.end();
    if (this.#isTerminal) process.stderr.write('\r\u001b[K');
    process.stdout.write(toMarkdown(report));
    await this.#written;
    const { json, csv, markdown } = this.#files;
    if (json !== undefined) await writeFile(json, toJson(report));
    if (csv !== undefined) await writeFile(csv, toCsv(report));
    if (markdown !== undefined) await writeFile(markdown, toMarkdown(report));
  }
}

/** @throws UsageError for a file that cannot be written: better before minutes of measuring than after */
export async function requireWritable(files: readonly (string | undefined)[]): Promise<void> {
  for (const path of files) {
    if (path === undefined) continue;
    try {
      await (await open(path, 'a')).close();
    } catch (error) {
      throw new UsageError(`${path} cannot be written: ${errorMessage(error)}`);
    }
  }
}
