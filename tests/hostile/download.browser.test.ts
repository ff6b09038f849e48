/** The same in a browser, into IndexedDB, from another origin: where CORS decides what may be sent and seen. */
import { expect, inject, test } from 'vitest';
import { commands } from 'vitest/browser';
import { openRemoteFile } from '../../src/engine/download/remote-file.ts';
import { IndexedDbWeightStore } from '../../src/storage/weight-store.ts';
import { createFolderModel } from '../tools/folder-model.ts';
import { createTestClock } from '../tools/test-clock.ts';
import { commandServer } from './command-server.ts';
import { runSeeds, seedsUpTo } from './judge-runs.ts';
import { runSeededDownload, type StartServer } from './seeded-download.ts';

const RUNS = inject('isFull') ? 200 : 12;

const startServer: StartServer = async (models, options) =>
  commandServer(await commands.startHostileServer(models, options));

test(`${RUNS} downloads from a server that fails: right to the byte or a typed error, and nothing is lost`, async () => {
  const runs = await runSeeds(seedsUpTo(RUNS), (seed) =>
    runSeededDownload(seed, startServer, new IndexedDbWeightStore(`hostile-${crypto.randomUUID()}`), true),
  );
  expect(runs.results.flatMap(({ faults }) => faults)).toContain('no-cors');
  expect(runs.outcomes.size).toBeGreaterThanOrEqual(2);
});

test('a server that does not allow other sites is said so, in words; ranges need no preflight', async () => {
  const options = { seed: 5, shardLengths: [1_500_000], path: '/m/' };
  const server = await startServer([options], {});
  const path = '/m/params_shard_0.bin';
  const url = new URL(path, server.url).href;
  try {
    await server.setFaults([{ kind: 'no-cors', path, times: 9 }]);
    await expect(openRemoteFile(url, { clock: createTestClock() })).rejects.toMatchObject({
      code: 'download-failed',
      nextStep: expect.stringContaining('(CORS)'),
      data: { crossOrigin: true },
    });
    await server.setFaults([{ kind: 'redirect', path, times: 9 }]);
    const file = await openRemoteFile(url, { clock: createTestClock() });
    const bytes = await file.read(1_200_000, 5);
    const [shard] = (await createFolderModel(options)).shards;
    expect(bytes).toEqual(shard!.contents.slice(1_200_000, 1_200_005));
    expect((await server.readAnswers()).map(({ method }) => method)).not.toContain('OPTIONS');
  } finally {
    await server.close();
  }
});
