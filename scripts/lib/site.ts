/** The built site, made where it is missing or older than its sources. */
import { spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './up-to-date.ts';

export const SITE = join(ROOT, 'dist');

const SOURCES = [
  'src',
  'public',
  'models/models.json',
  'index.html',
  'json.html',
  'bench.html',
  'import.html',
  'storage.html',
  'ask.html',
  'scripts/vite',
  'scripts/build-runtime.ts',
  'vite.config.ts',
  'package.json',
  'package-lock.json',
];

/** Builds the site unless it is up to date. @throws Error if the build fails, with its output on stderr */
export async function ensureSite(): Promise<void> {
  const built = await stat(join(SITE, 'index.html')).catch(() => null);
  if (built !== null && (await newestChange()) <= built.mtimeMs) return;
  process.stderr.write('Building the site …\n');
  // npm's own entry point, so that this works where `npm` is a script that only a shell can run.
  const npm = process.env.npm_execpath;
  const [command, argv] = npm ? [process.execPath, [npm]] : ['npm', []];
  await new Promise<void>((resolve, reject) => {
    const child = spawn(command, [...argv, 'run', 'build'], {
      cwd: ROOT,
      stdio: ['ignore', 2, 2],
      shell: !npm,
    });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`The build failed (${code}).`))));
  });
}

async function newestChange(): Promise<number> {
  let newest = 0;
  const visit = async (path: string): Promise<void> => {
    const found = await stat(path);
    // Models are built into public/ and have a stamp of their own.
    if (path === join(ROOT, 'public/models')) return;
    if (!found.isDirectory()) {
      newest = Math.max(newest, found.mtimeMs);
      return;
    }
    for (const entry of await readdir(path)) await visit(join(path, entry));
  };
  for (const source of SOURCES) await visit(join(ROOT, source));
  return newest;
}
