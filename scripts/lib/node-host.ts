/** What Node can tell of the machine, for the benchmark's machine card. */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, cpus, release, totalmem, type } from 'node:os';
import type { HostFacts } from '../../src/bench/machine.ts';

const POWER_SUPPLIES = '/sys/class/power_supply';

export async function readNodeHost(): Promise<HostFacts> {
  const { version } = createRequire(import.meta.url)('webgpu/package.json') as { version: string };
  return {
    runtime: 'dawn',
    program: `Node ${process.versions.node}, webgpu ${version}`,
    userAgent: null,
    os: await readOs(),
    cores: cpus().length,
    processor: readProcessor(),
    memoryGib: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    crossOriginIsolated: false,
    power: await readPower(),
  };
}

function readProcessor(): string | null {
  return cpus()[0]?.model.replace(/\s+/g, ' ').trim() || null;
}

/** `Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x64`. */
async function readOs(): Promise<string> {
  const kernel = `${type()} ${release()} ${arch()}`;
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(text)?.[1];
  return name === undefined ? kernel : `${name}, ${kernel}`;
}

/** Linux only; null where there is no battery to tell of. */
async function readPower(): Promise<string | null> {
  const read = (name: string, file: string) =>
    readFile(`${POWER_SUPPLIES}/${name}/${file}`, 'utf8').then(
      (text) => text.trim(),
      () => '',
    );
  for (const name of await readdir(POWER_SUPPLIES).catch(() => [])) {
    if ((await read(name, 'type')) !== 'Battery') continue;
    const [status, capacity] = await Promise.all([read(name, 'status'), read(name, 'capacity')]);
    return status === 'Discharging' ? `battery ${capacity} %, discharging` : 'mains';
  }
  return null;
}
