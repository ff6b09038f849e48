/** What `npm run bench` shows and writes: progress on stderr, files as they come to be, the table on stdout. */
import { writeFile } from 'node:fs/promises';
import { formatDuration } from '../../src/base/number-text.ts';
import { toCsv, toJson, toMarkdown } from '../../src/bench/export.ts';
import type { BenchReport } from '../../src/bench/report.ts';
import type { BenchEstimate, BenchProgress } from '../../src/bench/run.ts';
import type { Progress } from '../../src/engine/api.ts';
import { createProgressLine } from './command-line.ts';

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

  /** Kept, and written to the JSON file: whatever happens next, this much is known. */
  async report(report: BenchReport): Promise<void> {
    this.lastReport = report;
    if (this.#files.json !== undefined) await writeFile(this.#files.json, toJson(report));
  }

  async end(report: BenchReport): Promise<void> {
    this.#line.end();
    if (this.#isTerminal) process.stderr.write('\r\u001b[K');
    await this.report(report);
    if (this.#files.csv !== undefined) await writeFile(this.#files.csv, toCsv(report));
    if (this.#files.markdown !== undefined) await writeFile(this.#files.markdown, toMarkdown(report));
    process.stdout.write(toMarkdown(report));
  }
}
