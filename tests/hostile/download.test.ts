/** Seeded runs in Node: a few in `npm test`, 200 in `npm run test:full`. */
import { expect, test } from 'vitest';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import { runSeeds, seedsUpTo } from './judge-runs.ts';
import { runSeededDownload } from './seeded-download.ts';
import { controlServer, startModelServer } from './start-server.ts';

const RUNS = process.env.TRAMONTANE_FULL === undefined ? 20 : 200;

test(`${RUNS} downloads from a server that fails: right to the byte or a typed error, and nothing is lost`, async () => {
  const runs = await runSeeds(seedsUpTo(RUNS), (seed) =>
    runSeededDownload(
      seed,
      async (models, options) => controlServer(await startModelServer(models, options)),
      new MemoryWeightStore(),
      false,
    ),
  );
  // They are worth something only if they meet every fault and end in different ways.
  const met = runs.results.flatMap(({ faults }) => faults);
  const some = ['cut', 'reset', 'status', 'redirect', 'no-range', 'short', 'long', 'wrong-range'];
  expect(met).toEqual(expect.arrayContaining([...some, 'changed', 'drip', 'stall', 'flip']));
  expect(runs.outcomes.size).toBeGreaterThanOrEqual(3);
});
