/** Temperatures of processors and GPUs, as Linux shows them in /sys; elsewhere there are none. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Temperatures } from '../../src/bench/thermal.ts';

/** https://docs.kernel.org/driver-api/thermal/sysfs-api.html and https://docs.kernel.org/hwmon/sysfs-interface.html */
const PLACES = [
  { folder: 'thermal', name: 'type', value: 'temp', meant: /cpu|gpu|pkg|soc|acpitz/i },
  {
    folder: 'hwmon',
    name: 'name',
    value: 'temp1_input',
    meant: /^(coretemp|k10temp|zenpower|cpu_thermal|amdgpu|radeon|nouveau|i915|xe)$/,
  },
] as const;

/** What some firmware reports for "not known" is outside. */
const POSSIBLE = { leastCelsius: -40, mostCelsius: 150 };

/** @param root where the system shows its devices; a sensor that cannot be read is left out */
export async function readTemperatures(root = '/sys/class'): Promise<Temperatures> {
  const found: Record<string, number> = {};
  for (const { folder, name, value, meant } of PLACES) {
    for (const device of (await readdir(join(root, folder)).catch(() => [])).sort()) {
      const read = (file: string) =>
        readFile(join(root, folder, device, file), 'latin1').then(
          (text) => text.trim(),
          () => '',
        );
      const sensor = await read(name);
      const text = await read(value);
      const celsius = Number(text) / 1000;
      if (!meant.test(sensor) || !/^-?\d+$/.test(text) || sensor in found) continue;
      if (celsius < POSSIBLE.leastCelsius || celsius > POSSIBLE.mostCelsius) continue;
      found[sensor] = celsius;
    }
  }
  return found;
}
