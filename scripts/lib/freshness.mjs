/** Whether what was made of something is still up to date. Node's own modules only: `npm start` asks before an install. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Sources of the built site, relative to the repository. */
const SITE_SOURCES = [
  'src',
  'public',
  'models',
  'index.html',
  'json.html',
  'bench.html',
  'import.html',
  'storage.html',
  'ask.html',
  'scripts/lib',
  'scripts/vite',
  'scripts/build-models.ts',
  'scripts/build-runtime.ts',
  'vite.config.ts',
  'tsconfig.json',
  'package.json',
  'package-lock.json',
];
/** What the build itself writes there, which has a stamp of its own. */
const BUILT = 'public/models';

/**
 * @param {string} root the repository
 * @returns {boolean} false where the site has not been built, or a source of it is newer
 */
export function isSiteCurrent(root) {
  const built = statSync(join(root, 'dist/index.html'), { throwIfNoEntry: false });
  return built !== undefined && SITE_SOURCES.every((source) => newestChange(root, source) <= built.mtimeMs);
}

function newestChange(root, path) {
  if (path === BUILT) return 0;
  const found = statSync(join(root, path));
  if (!found.isDirectory()) return found.mtimeMs;
  // A folder's own time tells of files that are gone.
  const names = readdirSync(join(root, path));
  return Math.max(found.mtimeMs, ...names.map((name) => newestChange(root, `${path}/${name}`)));
}

/**
 * @param {string} root the repository
 * @returns {boolean} true where node_modules holds the versions that package-lock.json names
 */
export function isInstalled(root) {
  const installed = readPackages(join(root, 'node_modules/.package-lock.json'));
  const locked = readPackages(join(root, 'package-lock.json'));
  return Object.entries(locked).every(([path, { version, optional, os, cpu }]) => {
    // The repository itself, and what other platforms need.
    if (path === '' || optional || os || cpu) return true;
    return installed[path]?.version === version;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw error;
  }
}
