import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isInstalled, isSiteCurrent } from './freshness.mjs';
import { ROOT } from './up-to-date.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tramontane-freshness-'));
});
afterEach(() => rm(root, { recursive: true }));

/** @param changedS when it was last written, in seconds */
async function put(path: string, changedS: number, text = ''): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await utimes(file, changedS, changedS);
}

const FOLDERS = ['src', 'src/app', 'public', 'models', 'models/small', 'scripts/vite', 'scripts/lib'];

test('a site is current until a source of it is newer', async () => {
  for (const path of [
    ...['src/app/page.ts', 'public/icon.svg', 'models/small/part00', 'scripts/vite/plugin.ts'],
    ...['index.html', 'json.html', 'bench.html', 'import.html', 'storage.html', 'ask.html'],
    ...['scripts/lib/import-folder.ts', 'scripts/build-models.ts', 'scripts/build-runtime.ts'],
    ...['vite.config.ts', 'tsconfig.json', 'package.json', 'package-lock.json'],
  ])
    await put(path, 1000);
  await put('src/gone.ts', 1000);
  for (const folder of FOLDERS) await utimes(join(root, folder), 1000, 1000);
  expect(isSiteCurrent(root)).toBe(false);
  await put('dist/index.html', 2000);
  expect(isSiteCurrent(root)).toBe(true);
  await put('public/models/small/shard.bin', 3000);
  await utimes(join(root, 'public'), 1000, 1000);
  expect(isSiteCurrent(root)).toBe(true);
  for (const path of [
    ...['src/app/page.ts', 'models/small/part00', 'scripts/lib/import-folder.ts', 'tsconfig.json'],
    'package-lock.json',
  ]) {
    await put(path, 3000);
    expect(isSiteCurrent(root), path).toBe(false);
    await put(path, 1000);
  }
  expect(isSiteCurrent(root)).toBe(true);
  await rm(join(root, 'src/gone.ts'));
  expect(isSiteCurrent(root)).toBe(false);
});

test('packages are installed where the versions are those of the lock file', async () => {
  const lock = (packages: object) => JSON.stringify({ packages });
  const lit = { version: '3.3.3' };
  const foreign = { version: '1.0.0', os: ['aix'] };
  await put(
    'package-lock.json',
    2000,
    lock({ '': {}, 'node_modules/lit': lit, 'node_modules/aix': foreign }),
  );
  expect(isInstalled(root)).toBe(false);
  await put('node_modules/.package-lock.json', 1000, lock({ 'node_modules/lit': lit }));
  expect(isInstalled(root)).toBe(true);
  await put('node_modules/.package-lock.json', 3000, lock({ 'node_modules/lit': { version: '3.3.2' } }));
  expect(isInstalled(root)).toBe(false);
});

test('here, what the tests run on is installed', () => {
  expect(isInstalled(ROOT)).toBe(true);
});
