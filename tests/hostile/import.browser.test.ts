/** The same in a browser, into IndexedDB, from another origin. */
import { expect, inject, test } from 'vitest';
import { commands } from 'vitest/browser';
import { IndexedDbWeightStore } from '../../src/storage/weight-store.ts';
import { commandServer } from './command-server.ts';
import { runSeeds, seedsUpTo } from './judge-runs.ts';
import { runSeededImport } from './seeded-import.ts';

// The short slice goes on where Node's ends.
const SEEDS = inject('isFull') ? [...seedsUpTo(200)] : [7, 8, 9, 10, 11, 12];

test(`${SEEDS.length} imports from a server that fails: right to the byte or a typed error, and nothing is lost`, {
  timeout: 1_800_000,
}, async () => {
  const runs = await runSeeds(SEEDS, (seed) =>
    runSeededImport(
      seed,
      async (options) => commandServer(await commands.startHostileGgufs(options)),
      new IndexedDbWeightStore(`hostile-${crypto.randomUUID()}`),
      true,
    ),
  );
  expect(runs.outcomes.size).toBeGreaterThanOrEqual(2);
});
