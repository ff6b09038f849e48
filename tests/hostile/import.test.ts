/** Seeded imports by address in Node: a few in `npm test`, 200 in `npm run test:full`. */
import { expect, test } from 'vitest';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import { runSeeds, seedsUpTo } from './judge-runs.ts';
import { runSeededImport } from './seeded-import.ts';
import { controlServer, startGgufServer } from './start-server.ts';

const isFull = process.env.TRAMONTANE_FULL !== undefined;
const RUNS = isFull ? 200 : 6;

test(`${RUNS} imports from a server that fails: right to the byte or a typed error, and nothing is lost`, {
  timeout: 1_800_000,
}, async () => {
  const runs = await runSeeds(seedsUpTo(RUNS), (seed) =>
    runSeededImport(
      seed,
      async (options) => controlServer(await startGgufServer(options)),
      new MemoryWeightStore(),
      false,
    ),
  );
  // They are worth something only if they meet every fault. The short slice goes on in the browser.
  if (!isFull) return;
  const met = runs.results.flatMap(({ faults }) => faults);
  const some = ['cut', 'reset', 'status', 'redirect', 'no-range', 'short', 'long', 'wrong-range'];
  expect(met).toEqual(expect.arrayContaining([...some, 'changed', 'drip', 'stall', 'flip']));
  expect(runs.outcomes.size).toBeGreaterThanOrEqual(3);
});
