/**
 * Whether other programs use the processor, as the system counts it: what all of it was busy, less what this program
 * and its children (a browser) used. Linux tells for every process; elsewhere only this process is known, which will do
 * where the model runs in it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import type { BusyProbe } from '../../src/bench/busy-probe.ts';

/** Ticks of a process's time: 100 a second on every Linux (USER_HZ). */
const TICK_MS = 10;
/** Others may use this much of one core, or this share of all cores where that is less. */
const MOST_CORES = 0.5;
const MOST_SHARE = 0.1;
/** What ticks and rounding come to. */
const LEAST_MS = 60;

export interface ProcessorTimes {
  /** Milliseconds since some start, of all cores together. */
  busyMs: number;
  ownMs: number;
  timeMs: number;
}

/** @returns what others did between two readings, as the second half of a sentence, or null where it does not matter */
export function findOthers(before: ProcessorTimes, after: ProcessorTimes, cores: number): string | null {
  const elapsedMs = after.timeMs - before.timeMs;
  const othersMs = after.busyMs - before.busyMs - (after.ownMs - before.ownMs);
  if (elapsedMs <= 0 || othersMs < LEAST_MS) return null;
  const used = othersMs / elapsedMs;
  if (used <= Math.min(MOST_CORES, MOST_SHARE * cores)) return null;
  return `other programs used ${Math.round(used * 100)} % of a core`;
}

/** @param withChildren what is measured runs in child processes. @returns null where nobody tells of those */
export async function createProcessorProbe(withChildren: boolean): Promise<BusyProbe | null> {
  const readOwn = process.platform === 'linux' ? readTreeMs : withChildren ? null : readProcessMs;
  if (readOwn === null) return null;
  const read = async (): Promise<ProcessorTimes> => ({
    ownMs: await readOwn(),
    busyMs: readBusyMs(),
    timeMs: performance.now(),
  });
  const cores = cpus().length;
  return {
    repeats: true,
    async start() {
      const before = await read();
      return { stop: async () => findOthers(before, await read(), cores) };
    },
  };
}

function readBusyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

async function readProcessMs(): Promise<number> {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Of this process and all that descend from it, with what their ended children had used. */
export async function readTreeMs(): Promise<number> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(ids.map((id) => readFile(`/proc/${id}/stat`, 'latin1').catch(() => null)));
  const processes = stats.flatMap((stat) => (stat === null ? [] : [parseStat(stat)]));
  const children = new Map<number, ProcessStat[]>();
  for (const stat of processes) {
    children.set(stat.parent, [...(children.get(stat.parent) ?? []), stat]);
  }
  const sum = (stat: ProcessStat): number =>
    stat.ticks + (children.get(stat.id) ?? []).reduce((total, child) => total + sum(child), 0);
  const own = processes.find(({ id }) => id === process.pid);
  return own === undefined ? 0 : sum(own) * TICK_MS;
}

interface ProcessStat {
  id: number;
  parent: number;
  ticks: number;
}

/** proc_pid_stat(5): the name, in parentheses, may hold anything; utime, stime, cutime, cstime are fields 14 to 17. */
export function parseStat(stat: string): ProcessStat {
  const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = rest.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { id: Number.parseInt(stat, 10), parent: Number(rest[1]), ticks };
}
