/**
 * A static file server like the plainest host: right types, byte ranges, no special headers. Node's own modules only.
 *
 *   node scripts/lib/static-server.mjs dist --port 4173 --path /some/path/
 */
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const types = {
  '.bin': 'application/octet-stream',
  '.css': 'text/css; charset=utf-8',
  '.gguf': 'application/octet-stream',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
};

/**
 * Finds the file that a request path names.
 * @param {readonly (readonly [prefix: string, folder: string])[]} mounts longest prefix first
 * @param {string} pathname decoded
 * @returns {Promise<{path: string, byteLength: number, etag: string} | {redirect: string} | null>}
 */
async function find(mounts, pathname) {
  if (pathname.includes('\0') || pathname.includes('\\')) return null;
  const mount = mounts.find(([prefix]) => pathname.startsWith(prefix));
  if (!mount) {
    const missingSlash = mounts.some(([prefix]) => prefix === `${pathname}/`);
    return missingSlash ? { redirect: `${pathname}/` } : null;
  }
  const [prefix, folder] = mount;
  const isInside = (path) => path === folder || path.startsWith(folder + sep);
  const wanted = resolve(folder, `.${sep}${pathname.slice(prefix.length)}`);
  if (!isInside(wanted)) return null;
  try {
    let path = await realpath(wanted);
    let found = await stat(path);
    if (found.isDirectory()) {
      if (!pathname.endsWith('/')) return { redirect: `${pathname}/` };
      path = await realpath(join(path, 'index.html'));
      found = await stat(path);
    }
    // A link must not lead out of the folder either.
    if (!isInside(path) || !found.isFile()) return null;
    const etag = `"${found.size.toString(16)}-${Math.trunc(found.mtimeMs).toString(16)}"`;
    return { path, byteLength: found.size, etag };
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'ENAMETOOLONG') return null;
    throw error;
  }
}

/**
 * @param {string | undefined} header
 * @param {number} byteLength
 * @returns {{start: number, end: number} | 'whole' | 'unsatisfiable'} `end` is inclusive
 */
export function parseRange(header, byteLength) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  // Several ranges, other units, nonsense: a server may answer with the whole.
  if (!match || (match[1] === '' && match[2] === '')) return 'whole';
  const [, first, last] = match;
  if (first === '') {
    const start = Math.max(0, byteLength - Number(last));
    return Number(last) === 0 || byteLength === 0 ? 'unsatisfiable' : { start, end: byteLength - 1 };
  }
  const start = Number(first);
  const end = last === '' ? byteLength - 1 : Math.min(Number(last), byteLength - 1);
  if (last !== '' && Number(last) < start) return 'whole';
  return start >= byteLength ? 'unsatisfiable' : { start, end };
}

async function respond(mounts, request, response) {
  const fail = (status, text, headers = {}) => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers });
    response.end(request.method === 'HEAD' ? undefined : `${text}\n`);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    fail(405, 'Only GET and HEAD.', { allow: 'GET, HEAD' });
    return;
  }
  let url;
  let pathname;
  try {
    url = new URL(request.url ?? '/', 'http://localhost');
    pathname = decodeURIComponent(url.pathname);
  } catch {
    fail(400, 'The address is not valid.');
    return;
  }
  const file = await find(mounts, pathname);
  if (file === null) {
    fail(404, 'Not found.');
    return;
  }
  if ('redirect' in file) {
    fail(301, 'Moved.', { location: encodeURI(file.redirect) + url.search });
    return;
  }
  const headers = {
    'accept-ranges': 'bytes',
    'cache-control': 'no-cache',
    'content-type': types[extname(file.path).toLowerCase()] ?? 'application/octet-stream',
    etag: file.etag,
  };
  if (request.headers['if-none-match'] === file.etag) {
    response.writeHead(304, headers).end();
    return;
  }
  const range = parseRange(request.headers.range, file.byteLength);
  if (range === 'unsatisfiable') {
    fail(416, 'No such range.', { 'content-range': `bytes */${file.byteLength}` });
    return;
  }
  const { start, end } = range === 'whole' ? { start: 0, end: file.byteLength - 1 } : range;
  response.writeHead(range === 'whole' ? 200 : 206, {
    ...headers,
    'content-length': end - start + 1,
    ...(range === 'whole' ? {} : { 'content-range': `bytes ${start}-${end}/${file.byteLength}` }),
  });
  if (request.method === 'HEAD' || file.byteLength === 0) {
    response.end();
    return;
  }
  pipeline(createReadStream(file.path, { start, end }), response, () => {
    // A visitor who leaves in the middle is no failure.
  });
}

/**
 * Serves folders, on this machine only unless `host` says otherwise.
 * @param {{mounts: Record<string, string>, port?: number, host?: string}} options `mounts`: folder by URL prefix,
 * each beginning and ending with a slash; the longest that matches wins
 * @returns {Promise<{url: string, port: number, close(): Promise<void>}>} `url` of the root, with a slash at its end
 */
export async function startStaticServer({ mounts, port = 0, host = '127.0.0.1' }) {
  const entries = await Promise.all(
    Object.entries(mounts).map(async ([prefix, folder]) => {
      if (!prefix.startsWith('/') || !prefix.endsWith('/')) {
        throw new Error(`A mount begins and ends with a slash, got "${prefix}".`);
      }
      return /** @type {const} */ ([prefix, await realpath(folder)]);
    }),
  );
  entries.sort(([a], [b]) => b.length - a.length);
  const server = createServer((request, response) => {
    respond(entries, request, response).catch((error) => {
      if (response.headersSent) response.destroy(error);
      else response.writeHead(500, { 'content-type': 'text/plain' }).end('The server failed.\n');
    });
  });
  // Longer than a busy process keeps its own connections waiting: Node's clients trip over one that was just closed.
  server.keepAliveTimeout = 60_000;
  await new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(port, host, done);
  });
  const address = server.address();
  return {
    // Not the number: browsers take both as safe, and people know this one.
    url: `http://${host === '127.0.0.1' ? 'localhost' : host}:${address.port}/`,
    port: address.port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { port: { type: 'string', default: '4173' }, path: { type: 'string', default: '/' } },
  });
  const { url } = await startStaticServer({
    mounts: { [values.path]: positionals[0] ?? 'dist' },
    port: Number(values.port),
  });
  console.log(new URL(values.path, url).href);
}
