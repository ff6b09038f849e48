import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { findOthers, parseStat, readTreeMs } from './processor-probe.ts';

const times = (busyMs: number, ownMs: number, timeMs: number) => ({ busyMs, ownMs, timeMs });

describe('others count where they use half a core, or a tenth of all', () => {
  test.each([
    ['a quarter of a core of eight', [0, 0, 0], [1250, 1000, 1000], 8, null],
    ['most of a core of eight', [0, 0, 0], [1800, 1000, 1000], 8, 'other programs used 80 % of a core'],
    ['a quarter of a core of two', [0, 0, 0], [1250, 1000, 1000], 2, 'other programs used 25 % of a core'],
    ['a few ticks in a short sample', [0, 0, 0], [80, 40, 50], 2, null],
    ['our own work on every core', [500, 100, 0], [8500, 8100, 1000], 8, null],
    ['a clock that stood still', [0, 0, 5], [900, 0, 5], 2, null],
  ] as const)('%s', (_name, [b0, o0, t0], [b1, o1, t1], cores, expected) => {
    expect(findOthers(times(b0, o0, t0), times(b1, o1, t1), cores)).toBe(expected);
  });
});

test('a process whose name looks like fields is read right', () => {
  const fields = ['S', '77', ...Array.from({ length: 9 }, () => '0'), '11', '12', '13', '14', '20', '0'];
  expect(parseStat(`123 (a) R 9 (b)) ${fields.join(' ')}`)).toEqual({ id: 123, parent: 77, ticks: 50 });
});

test.runIf(process.platform === 'linux')('what a child uses is ours', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("x"); for (;;);'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const own = process.cpuUsage();
    const before = await readTreeMs();
    await new Promise((resolve) => setTimeout(resolve, 800));
    const treeMs = (await readTreeMs()) - before;
    const { user, system } = process.cpuUsage(own);
    // It has a core to itself, or shares it with three others at worst.
    expect(treeMs - (user + system) / 1000).toBeGreaterThan(150);
  } finally {
    child.kill('SIGKILL');
  }
});
