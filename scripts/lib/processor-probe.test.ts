import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { findDisturber, parseProcStat, parseStat, readTreeMs } from './processor-probe.ts';

const times = (busyMs: number, ownMs: number, timeMs: number, stolenMs = 0) => ({
  busyMs,
  ownMs,
  timeMs,
  stolenMs,
});
const textOf = (...input: Parameters<typeof findDisturber>) => findDisturber(...input)?.text ?? null;

describe('others count where they use half a core, or a tenth of all', () => {
  test.each([
    ['a quarter of a core of eight', [0, 0, 0], [1250, 1000, 1000], 8, null],
    ['most of a core of eight', [0, 0, 0], [1800, 1000, 1000], 8, 'other programs used 80 % of a core'],
    ['a quarter of a core of two', [0, 0, 0], [1250, 1000, 1000], 2, 'other programs used 25 % of a core'],
    ['a few ticks in a short sample', [0, 0, 0], [80, 40, 50], 2, null],
    ['our own work on every core', [500, 100, 0], [8500, 8100, 1000], 8, null],
    ['a clock that stood still', [0, 0, 5], [900, 0, 5], 2, null],
  ] as const)('%s', (_name, [b0, o0, t0], [b1, o1, t1], cores, expected) => {
    expect(textOf(times(b0, o0, t0), times(b1, o1, t1), cores)).toBe(expected);
  });
});

/** As /proc/stat begins on a machine of two cores, with these ticks of user, system, idle and steal time. */
const procStat = (user: number, system: number, idle: number, steal: number) =>
  `cpu  ${user} 20 ${system} ${idle} 7 3 4 ${steal} ${user >> 1} 0
cpu0 1 1 1 1 1 1 1 999999 0 0
cpu1 1 1 1 1 1 1 1 999999 0 0
intr 50 0 0
ctxt 12
`;

describe('what the host of a virtual machine takes', () => {
  test('is the eighth figure of /proc/stat, and no work of ours or of others', () => {
    expect(parseProcStat(procStat(100, 50, 900, 25))).toEqual({ busyMs: 1770, stolenMs: 250 });
    // What guests of this machine used is in user already.
    expect(parseProcStat(procStat(300, 50, 900, 25)).busyMs).toBe(3770);
  });

  test.each([
    ['a kernel that does not count it', 'cpu  10 0 5 70 1 0 2\ncpu0 1 2\n', { busyMs: 170, stolenMs: 0 }],
    ['a text without the line', 'intr 1\ncpu0 1 2 3 4\n', { busyMs: 0, stolenMs: 0 }],
  ])('%s', (_name, text, expected) => {
    expect(parseProcStat(text)).toEqual(expected);
  });

  /** Between two readings of 1000 ms, in which our own program used `ownMs`. */
  function between(first: string, second: string, ownMs: number, timeMs = 1000) {
    return findDisturber(
      { ...parseProcStat(first), ownMs: 0, timeMs: 0 },
      { ...parseProcStat(second), ownMs, timeMs },
      2,
    );
  }

  test.each([
    ['a third of a core', 33, 1000, 'took 33 % of a core'],
    ['less than a tenth of a core', 9, 1000, null],
    ['two ticks in a short sample', 2, 50, null],
  ])('%s', (_name, steal, timeMs, expected) => {
    const found = between(procStat(100, 50, 900, 5), procStat(150, 60, 930, 5 + steal), 600, timeMs);
    if (expected === null) expect(found).toBeNull();
    else expect(found).toEqual({ kind: 'stolen', text: expect.stringContaining(expected) });
  });

  test('is told before what other programs used, of which it may be the cause', () => {
    expect(between(procStat(100, 50, 900, 5), procStat(190, 60, 910, 85), 200)?.kind).toBe('stolen');
    expect(between(procStat(100, 50, 900, 5), procStat(190, 60, 910, 5), 200)?.kind).toBe('busy');
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
    const childMs = async () => {
      const treeMs = (await readTreeMs()) - before;
      const { user, system } = process.cpuUsage(own);
      return treeMs - (user + system) / 1000;
    };
    // It may have to share its core with others.
    await expect.poll(childMs).toBeGreaterThan(150);
  } finally {
    child.kill('SIGKILL');
  }
});
