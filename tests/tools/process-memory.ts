/** Memory of a browser's processes, from /proc: Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

interface ProcessFacts {
  parent: number;
  command: string;
  residentBytes: number;
}

/** @returns null where the process has ended meanwhile */
function readProcess(id: string): ProcessFacts | null {
  try {
    const status = readFileSync(`/proc/${id}/status`, 'utf8');
    const number = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    const command = readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return { parent: number('PPid'), command, residentBytes: number('VmRSS') * 1024 };
  } catch {
    return null;
  }
}

/**
 * Resident bytes of the processes of the browser that uses a profile, by their type: `renderer` (pages and their
 * workers), `browser`, `utility`, `gpu-process` and so on. What processes share counts in each.
 */
export function readBrowserMemory(profile: string): Map<string, number> {
  const processes = new Map<number, ProcessFacts>();
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const facts = readProcess(id);
    if (facts !== null) processes.set(Number(id), facts);
  }
  const isOfBrowser = (id: number): boolean => {
    const facts = processes.get(id);
    if (facts === undefined) return false;
    return facts.command.includes(`--user-data-dir=${profile}`) || isOfBrowser(facts.parent);
  };
  const byType = new Map<string, number>();
  for (const [id, { command, residentBytes }] of processes) {
    if (!isOfBrowser(id)) continue;
    const type = /--type=(\S+)/.exec(command)?.[1] ?? 'browser';
    byType.set(type, (byType.get(type) ?? 0) + residentBytes);
  }
  return byType;
}
