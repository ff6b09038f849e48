/**
 * Makes src/bench/goldens/smollm2-135m-instruct.json, which the benchmark's self-check ships with, out of what
 * transformers computed (tests/fixtures/smollm2-score.json). To be run again where the fixture changes; a test compares.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Goldens } from '../src/bench/suites/selfcheck.ts';
import type { ScoreFixture } from '../tests/conformance/smollm2-goldens.ts';
import { ROOT } from './lib/up-to-date.ts';

export const GOLDENS_FILE = join(ROOT, 'src/bench/goldens/smollm2-135m-instruct.json');

/** Of the fixture's twelve; as many as a run of the benchmark looks at. */
const TEXTS = 4;

export async function makeGoldens(): Promise<string> {
  const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(ROOT, path), 'utf8'));
  const fixture = (await read('tests/fixtures/smollm2-score.json')) as ScoreFixture;
  const model = (await read('models/smollm2-135m-instruct/source.json')) as { file: { sha256: string } };
  const goldens: Goldens = {
    sourceSha256: model.file.sha256,
    source: 'transformers, float32, the weights of this file (tests/fixtures/PROVENANCE.md)',
    texts: fixture.texts
      .slice(0, TEXTS)
      .map(({ tokens, top }) => ({ tokens, top: top.map((ids) => ids[0]!) })),
  };
  return `${JSON.stringify(goldens)}\n`;
}

if (process.argv[1] === import.meta.filename) await writeFile(GOLDENS_FILE, await makeGoldens());
