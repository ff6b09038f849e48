/**
 * `npm test`: everything that must hold, in order of cost: format, lint and types; unit tests; kernels on every GPU
 * there is; the built site in a browser. `--full` adds the long suites.
 *
 * On Debian as root it installs Chromium where none is found, and makes the second browser, whose software WebGPU has
 * shader-f16. Where that cannot be had, its tests are skipped, and the last line says how many suites were.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { f16ChromiumPath } from '../tests/tools/chromium.ts';
import { softwareVulkan } from '../tests/tools/vulkan.ts';
import { findChromium } from './lib/chromium.ts';
import { ROOT } from './lib/up-to-date.ts';

const full = process.argv.includes('--full');
const isDebianRoot =
  process.platform === 'linux' && existsSync('/etc/debian_version') && process.getuid?.() === 0;

type Step = [name: string, command: string, args: string[], env?: Record<string, string>];

/** @param isAlone its output is shown as it comes, else when it has ended: two at once would be mixed. */
function run([name, command, args, env]: Step, isAlone: boolean): Promise<boolean> {
  const title = `\n$ ${[command, ...args].join(' ')}\n`;
  const startMs = performance.now();
  if (isAlone) process.stdout.write(title);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: isAlone ? 'inherit' : ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      shell: process.platform === 'win32',
    });
    const output: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => output.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (!isAlone) process.stdout.write(title + Buffer.concat(output).toString());
      const seconds = Math.round((performance.now() - startMs) / 1000);
      process.stdout.write(`${code === 0 ? 'ok' : 'FAILED'}: ${name} (${seconds} s)\n`);
      resolve(code === 0);
    });
  });
}

function installBrowsers(): void {
  if (findChromium() === null && isDebianRoot) {
    process.stdout.write('Installing Chromium …\n');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    spawnSync('apt-get', ['update', '-qq'], { env, stdio: 'inherit' });
    spawnSync('apt-get', ['install', '-y', '-qq', 'chromium'], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  if (findChromium() === null) {
    process.stderr.write(
      'No Chrome or Chromium found: install one, or set TRAMONTANE_CHROMIUM to its path.\n',
    );
    process.exit(1);
  }
  if (isDebianRoot) {
    const folder = join(ROOT, '.cache/chromium-f16');
    const made = spawnSync('bash', [join(ROOT, 'tests/tools/chromium-f16/setup.sh'), folder], {
      stdio: 'inherit',
    });
    if (made.status !== 0) process.stderr.write('The Chromium with shader-f16 could not be made.\n');
  }
}

installBrowsers();
/** Test projects, and whether this machine has what they run on. */
const projects: [name: string, isAvailable: boolean][] = [
  ['node', true],
  ['browser', true],
  ['gpu-dawn-f32', softwareVulkan.f32() !== null],
  ['gpu-dawn-f16', softwareVulkan.f16() !== null],
  ['gpu-chromium', true],
  ['gpu-chromium-f16', existsSync(f16ChromiumPath)],
];
const skipped = projects.filter(([, isAvailable]) => !isAvailable).map(([name]) => name);
if (skipped.length > 0 && process.env.REQUIRE_GPU === '1') {
  process.stderr.write(`REQUIRE_GPU is set, and there is nothing to run on: ${skipped.join(', ')}\n`);
  process.exit(1);
}
const bin = (name: string) => join(ROOT, 'node_modules/.bin', name);
const mode: Record<string, string> = full ? { TRAMONTANE_FULL: '1' } : {};
const tests = (...names: string[]): Step[] =>
  projects
    .filter(([name, isAvailable]) => isAvailable && names.includes(name))
    .map(([name]) => [`tests: ${name}`, bin('vitest'), ['run', '--project', name], mode]);
/** One after the other; those of one row side by side. */
const steps: Step[][] = [
  [['runtime', bin('tsx'), ['scripts/build-runtime.ts']]],
  [['format and lint', bin('biome'), ['check']]],
  [['types', bin('tsc'), ['--noEmit']]],
  [['models', bin('tsx'), ['scripts/build-models.ts']]],
  tests('node'),
  tests('browser'),
  // SwiftShader takes all cores there are, and two of them slow each other down many times over. Lavapipe is held to
  // one thread (vitest.config.ts).
  tests('gpu-dawn-f32'),
  tests('gpu-chromium'),
  tests('gpu-dawn-f16', 'gpu-chromium-f16'),
  [['site', bin('vite'), ['build']]],
  [['end to end', bin('playwright'), ['test'], mode]],
];
const failed: string[] = [];
let passed = 0;
for (const row of steps) {
  const results = await Promise.all(
    row.map(async (step) => ({ name: step[0], isOk: await run(step, row.length === 1) })),
  );
  passed += results.filter(({ isOk }) => isOk).length;
  failed.push(...results.filter(({ isOk }) => !isOk).map(({ name }) => name));
}
if (failed.length > 0) process.stdout.write(`\nFailed: ${failed.join(', ')}\n`);
for (const name of skipped) process.stdout.write(`Skipped: ${name}\n`);
process.stdout.write(`\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped\n`);
process.exit(failed.length > 0 ? 1 : 0);
