/** Keeps what models generated when they were first measured on this machine, for the benchmark's self-check. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FirstRunStore, GoldenText } from '../../src/bench/suites/selfcheck.ts';
import { ROOT } from './up-to-date.ts';

const FOLDER = join(ROOT, '.cache/bench');

export const firstRuns: FirstRunStore = {
  async read(key) {
    const text = await readFile(fileOf(key), 'utf8').catch(() => null);
    return text === null ? null : (JSON.parse(text) as GoldenText);
  },
  async write(key, text) {
    await mkdir(FOLDER, { recursive: true });
    await writeFile(fileOf(key), JSON.stringify(text));
  },
};

/** @throws Error for a key that is no hash, which came from a page */
function fileOf(key: string): string {
  if (!/^[0-9a-f]{64}$/.test(key)) throw new Error(`Internal error: ${JSON.stringify(key)} is no hash`);
  return join(FOLDER, `first-run-${key.slice(0, 32)}.json`);
}
