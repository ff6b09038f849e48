/** The whole of a file of Mistral Small's size, by HTTP to a disk, in a process whose memory is measured. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import type { ImportRun } from './import-run.ts';

const isFull = process.env.TRAMONTANE_FULL !== undefined && existsSync('/proc/self/status');
const MEMORY_BYTES = 512 << 20;

function start(script: string, args: readonly string[]): ChildProcess {
  const path = join(ROOT, 'tests', script);
  return spawn(process.execPath, ['--import', 'tsx', path, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The first line that a process prints. */
function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout!.on('data', (chunk) => {
      output += chunk;
      if (output.includes('\n')) resolve(output.slice(0, output.indexOf('\n')));
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`Ended with status ${code}, having printed: ${output}`)));
  });
}

test.skipIf(!isFull)(
  '14 GB in less than 512 MiB of memory',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tramontane-import-'));
    const server = start('tools/serve-synthetic.ts', []);
    try {
      const url = await firstLine(server);
      const run = JSON.parse(await firstLine(start('import/import-run.ts', [url, folder]))) as ImportRun;
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
