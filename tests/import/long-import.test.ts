/** The whole of a file of Mistral Small's size, by HTTP to a disk, in a process whose memory is measured. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { firstLine, startScript } from '../tools/first-line.ts';
import type { ImportRun } from './import-run.ts';

const isFull = process.env.TRAMONTANE_FULL !== undefined && existsSync('/proc/self/status');
const MEMORY_BYTES = 512 << 20;

test.skipIf(!isFull)(
  '14 GB in less than 512 MiB of memory',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tramontane-import-'));
    const server = startScript('tools/serve-synthetic.ts');
    try {
      const url = await firstLine(server);
      const run = JSON.parse(
        await firstLine(startScript('import/import-run.ts', [url, folder])),
      ) as ImportRun;
      const gigabytesPerMinute = (run.sourceBytes / 1e9 / run.seconds) * 60;
      console.log(
        [
          `Header and plan ${run.headerSeconds.toFixed(1)} s`,
          `${(run.sourceBytes / 1e9).toFixed(1)} GB in ${run.seconds.toFixed(0)} s`,
          `${gigabytesPerMinute.toFixed(1)} GB/min`,
          `writing ${run.writeSeconds.toFixed(0)} s`,
          `peak ${(run.peakBytes / 2 ** 20).toFixed(0)} MiB (header ${(run.headerPeakBytes / 2 ** 20).toFixed(0)} MiB)`,
        ].join(', '),
      );
      expect(run.sourceBytes).toBeGreaterThan(14e9);
      expect(run.headerSeconds).toBeLessThan(30);
      expect(run.peakBytes).toBeLessThan(MEMORY_BYTES);
    } finally {
      server.kill();
      await rm(folder, { recursive: true, force: true });
    }
  },
  3_600_000,
);
