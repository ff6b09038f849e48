import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readTemperatures } from './temperatures.ts';

test('processors and GPUs, each once, in degrees; what is no temperature is left out', async () => {
  const root = await mkdtemp(join(tmpdir(), 'tramontane-temperatures-'));
  try {
    const devices: [string, Record<string, string>][] = [
      ['thermal/thermal_zone0', { type: 'acpitz\n', temp: '27800\n' }],
      ['thermal/thermal_zone1', { type: 'x86_pkg_temp\n', temp: '51000\n' }],
      ['thermal/thermal_zone2', { type: 'iwlwifi_1\n', temp: '40000\n' }],
      ['thermal/thermal_zone3', { type: 'gpu-thermal\n', temp: '-274000\n' }],
      ['thermal/thermal_zone4', { type: 'cpu-0-0\n' }],
      ['thermal/cooling_device0', { type: 'Processor\n' }],
      ['hwmon/hwmon0', { name: 'acpitz\n', temp1_input: '99000\n' }],
      ['hwmon/hwmon1', { name: 'amdgpu\n', temp1_input: '63500\n' }],
      ['hwmon/hwmon2', { name: 'nvme\n', temp1_input: '38000\n' }],
      ['hwmon/hwmon3', { name: 'k10temp\n', temp1_input: 'N/A\n' }],
    ];
    for (const [device, files] of devices) {
      await mkdir(join(root, device), { recursive: true });
      for (const [name, text] of Object.entries(files)) await writeFile(join(root, device, name), text);
    }
    expect(await readTemperatures(root)).toEqual({ acpitz: 27.8, x86_pkg_temp: 51, amdgpu: 63.5 });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});

test('a system without them has none', async () => {
  expect(await readTemperatures(join(tmpdir(), 'there-is-no-such-folder'))).toEqual({});
});
