/** Reads a report that `npm run bench -- --json FILE` or the benchmark page has written. */
import { readFile } from 'node:fs/promises';
import { errorMessage } from '../../src/base/errors.ts';
import type { BenchReport } from '../../src/bench/report.ts';
import { UsageError } from './command-line.ts';
import { findSchemaFaults } from './report-schema.ts';

/** @throws UsageError for a file that cannot be read, or is no such report */
export async function readReport(path: string): Promise<BenchReport> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`${path} cannot be read as JSON: ${errorMessage(error)}`);
  }
  const [fault] = findSchemaFaults('report', value);
  if (fault !== undefined) throw new UsageError(`${path} is not a benchmark report (${fault})`);
  return value as BenchReport;
}
