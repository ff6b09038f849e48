/** Reports that a person keeps, and what a model generated when it was first measured here. Nothing leaves the device. */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { IndexedDbValues, type KeyValueStore } from '../storage/key-value.ts';
import { type BenchReport, REPORT_VERSION } from './report.ts';
import type { FirstRunStore, GoldenText } from './suites/selfcheck.ts';

export interface SavedRun {
  /** Unique; the time at which it started comes first, so that ids sort by it. */
  id: string;
  report: BenchReport;
}

/** @throws TramontaneError `storage-failed` from each method */
export class SavedRuns implements FirstRunStore {
  readonly #values: KeyValueStore;

  constructor(values: KeyValueStore = new IndexedDbValues('tramontane-bench', 'runs')) {
    this.#values = values;
  }

  /** Newest first. Reports of another version are left alone, and not listed. */
  async list(): Promise<SavedRun[]> {
    return attempt('read', async () => {
      const keys = await this.#values.keys(['run']);
      const runs = await Promise.all(
        keys.map(async (key) => ({ id: String(key[1]), report: await this.#values.get(key) })),
      );
      return runs.filter((run): run is SavedRun => isReport(run.report)).reverse();
    });
  }

  async save(report: BenchReport): Promise<SavedRun> {
    const id = `${report.startedAt} ${crypto.randomUUID()}`;
    await attempt('keep', () => this.#values.change({ put: [[['run', id], report]] }));
    return { id, report };
  }

  async delete(id: string): Promise<void> {
    await attempt('delete', () => this.#values.change({ delete: [['run', id]] }));
  }

  async read(key: string): Promise<GoldenText | null> {
    const value = await attempt('read', () => this.#values.get(['first-run', key]));
    return (value as GoldenText | undefined) ?? null;
  }

  async write(key: string, text: GoldenText): Promise<void> {
    await attempt('keep', () => this.#values.change({ put: [[['first-run', key], text]] }));
  }
}

/** Far too few checks to trust a file from elsewhere: these reports were written here. */
function isReport(value: unknown): value is BenchReport {
  const report = value as Partial<BenchReport> | undefined;
  return report?.version === REPORT_VERSION && Array.isArray(report.tests);
}

async function attempt<T>(operation: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new TramontaneError('storage-failed', `Cannot ${operation} saved runs: ${errorMessage(error)}`, {
      nextStep: 'Export the report as JSON to keep it. Private windows may forbid storage.',
      cause: error,
    });
  }
}
