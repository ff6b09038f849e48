/**
 * `npm start`: from a fresh clone to the site in a browser. Installs what is missing, builds what has changed, serves the
 * production build, opens it. Uses Node's own modules only, since nothing may be installed yet.
 *
 *   --port N    serve on port N (default 4173, or a free one if that is taken)
 *   --no-open   do not open a browser
 */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isInstalled, isSiteCurrent } from './lib/freshness.mjs';
import { startStaticServer } from './lib/static-server.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `Node ${process.versions.node} is too old: install Node 20.19 or newer from https://nodejs.org.`,
  );
  process.exit(1);
}

const { values } = parseArgs({
  options: { port: { type: 'string' }, 'no-open': { type: 'boolean', default: false } },
});
const wantedPort = values.port === undefined ? 4173 : Number(values.port);
if (!Number.isInteger(wantedPort) || wantedPort < 0 || wantedPort > 65535) {
  console.error(`--port must be a number from 0 to 65535, got "${values.port}".`);
  process.exit(2);
}

/** Runs npm, wherever it lies; resolves when it succeeds. */
function npm(...args) {
  const entry = process.env.npm_execpath;
  const [command, prefix] = entry ? [process.execPath, [entry]] : ['npm', []];
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...prefix, ...args], { cwd: root, stdio: 'inherit', shell: !entry });
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`npm ${args.join(' ')} failed (${code}).`)),
    );
  });
}

function openBrowser(url) {
  const [command, args] =
    process.platform === 'darwin'
      ? ['open', [url]]
      : process.platform === 'win32'
        ? ['cmd', ['/c', 'start', '', url]]
        : ['xdg-open', [url]];
  const child = spawn(command, args, { stdio: 'ignore', detached: true });
  // No desktop: the address is printed anyway.
  child.on('error', () => {});
  child.unref();
}

try {
  // Not `npm ci`: see docs/decisions/002-libraries.md, on the lock file.
  if (!isInstalled(root)) await npm('install');
  if (!isSiteCurrent(root)) await npm('run', 'build');
} catch (error) {
  console.error(`\n${error.message}`);
  process.exit(1);
}

const mounts = { '/': join(root, 'dist') };
const server = await startStaticServer({ mounts, port: wantedPort }).catch((error) => {
  if (error.code !== 'EADDRINUSE' || values.port !== undefined) {
    console.error(`Cannot serve on port ${wantedPort}: ${error.message}`);
    process.exit(1);
  }
  return startStaticServer({ mounts, port: 0 });
});
// Asked to stop, it has done what it was for: npm would call anything but 0 a failure.
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => server.close().then(() => process.exit(0)));
console.log(`\nTramontane is at ${server.url}  (Ctrl-C stops it)`);
if (!values['no-open'] && process.env.CI === undefined) openBrowser(server.url);
