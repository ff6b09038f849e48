/** The built site, made where it is missing or older than its sources. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { isSiteCurrent } from './freshness.mjs';
import { ROOT } from './up-to-date.ts';

export const SITE = join(ROOT, 'dist');

/** Builds the site unless it is up to date. @throws Error if the build fails, with its output on stderr */
export async function ensureSite(): Promise<void> {
  if (isSiteCurrent(ROOT)) return;
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
