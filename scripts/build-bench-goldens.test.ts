import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { GOLDENS_FILE, makeGoldens } from './build-bench-goldens.ts';

test("the self-check's goldens are those of the fixture and of the built-in model", async () => {
  const shipped: unknown = JSON.parse(await readFile(GOLDENS_FILE, 'utf8'));
  expect(shipped).toEqual(JSON.parse(await makeGoldens()));
});
