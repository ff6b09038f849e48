/**
 * Whether somebody else has the processor, as the system counts it. Other programs: what all of it was busy, less what
 * this program and its children (a browser) used. Linux tells for every process; elsewhere only this process is known,
 * which will do where the model runs in it. And the host of a virtual machine, which may run something else while a
 * program here is ready to: Linux tells how long ("steal").
 */
import { readdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import type { BusyProbe, Disturber } from '../../src/bench/busy-probe.ts';

/** Ticks of a process's time: 100 a second on every Linux (USER_HZ). */
const TICK_MS = 10;
/** Others may use this much of one core, or this share of all cores where that is less. */
const MOST_CORES = 0.5;
const MOST_SHARE = 0.1;
/** What ticks and rounding come to. */
const LEAST_MS = 60;
/**
 * The host may take this much of one core. Less than others may: those run on cores that nobody else wanted, but what is
 * stolen is time in which something here was ready to run.
 */
const MOST_STOLEN_CORES = 0.1;
const LEAST_STOLEN_MS = 30;

/** Milliseconds since some start, of all cores together. */
export interface ProcessorTimes {
  busyMs: number;
  /** What the host of a virtual machine took. */
  stolenMs: number;
  ownMs: number;
  timeMs: number;
}

/** @returns who had the processor between two readings; null where it does not matter. The host comes first. */
export function findDisturber(
  before: ProcessorTimes,
  after: ProcessorTimes,
  cores: number,
): Disturber | null {
  const elapsedMs = after.timeMs - before.timeMs;
  if (elapsedMs <= 0) return null;
  const percent = (ms: number) => `${Math.round((ms / elapsedMs) * 100)} % of a core`;
  const stolenMs = after.stolenMs - before.stolenMs;
  if (stolenMs >= LEAST_STOLEN_MS && stolenMs > MOST_STOLEN_CORES * elapsedMs) {
    return { kind: 'stolen', text: `the virtual machine's host took ${percent(stolenMs)}` };
  }
  const othersMs = after.busyMs - before.busyMs - (after.ownMs - before.ownMs);
  if (othersMs < LEAST_MS || othersMs <= Math.min(MOST_CORES, MOST_SHARE * cores) * elapsedMs) return null;
  return { kind: 'busy', text: `other programs used ${percent(othersMs)}` };
}

/** @param withChildren what is measured runs in child processes. @returns null where nobody tells of those */
export async function createProcessorProbe(withChildren: boolean): Promise<BusyProbe | null> {
  const readOwn = process.platform === 'linux' ? readTreeMs : withChildren ? null : readProcessMs;
  if (readOwn === null) return null;
  const read = async (): Promise<ProcessorTimes> => ({
    ownMs: await readOwn(),
    ...(await readAll()),
    timeMs: performance.now(),
  });
  const cores = cpus().length;
  return {
    repeats: true,
    async start() {
      const before = await read();
      return { stop: async () => findDisturber(before, await read(), cores) };
    },
  };
}

type AllTimes = Pick<ProcessorTimes, 'busyMs' | 'stolenMs'>;

async function readAll(): Promise<AllTimes> {
  if (process.platform === 'linux') return parseProcStat(await readFile('/proc/stat', 'latin1'));
  const busyMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return { busyMs, stolenMs: 0 };
}

/**
 * proc_stat(5): the line `cpu` has ticks of user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice. The
 * last two are in user and nice already; old kernels leave off what they do not count.
 */
export function parseProcStat(text: string): AllTimes {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.trim().split(/ +/).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return { busyMs: (user + nice + system + irq + softirq) * TICK_MS, stolenMs: steal * TICK_MS };
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
