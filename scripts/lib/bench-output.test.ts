import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { blindProbe } from '../../src/bench/busy-probe.ts';
import type { BenchReport } from '../../src/bench/report.ts';
import { runBenchmark } from '../../src/bench/run.ts';
import { createFakeEngine } from '../../src/engine/fake-engine.ts';
import { noKernels, TEST_HOST, VirtualClock } from '../../tests/tools/bench-tools.ts';
import { BenchOutput } from './bench-output.ts';

test('reports that follow at once are written one after the other, the last one whole', async () => {
  const clock = new VirtualClock();
  const report: BenchReport = await runBenchmark(
    createFakeEngine({ clock, rate: 50, prefillRate: 1000 }),
    { id: 'scripted', url: 'https://models.invalid/' },
    {
      suites: ['standard'],
      host: TEST_HOST,
      version: '1',
      probe: blindProbe,
      measureKernels: noKernels,
      clock,
    },
  );
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-output-'));
  const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    const json = join(folder, 'report.json');
    const output = new BenchOutput({ json, csv: undefined, markdown: undefined });
    // Long ones first: what a shorter one does not cover must not stay.
    for (let length = 40; length > 0; length--) {
      output.report({ ...report, notes: Array.from({ length: length * 200 }, () => 'a note') });
    }
    await output.end(report);
    expect(JSON.parse(await readFile(json, 'utf8'))).toEqual(JSON.parse(JSON.stringify(report)));
    expect(await readdir(folder)).toEqual(['report.json']);
  } finally {
    stdout.mockRestore();
    await rm(folder, { recursive: true, force: true });
  }
});
