import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRange, type StaticServer, startStaticServer } from './static-server.mjs';

let folder = '';
let server: StaticServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'static-server-'));
  await mkdir(join(folder, 'site/sub'), { recursive: true });
  await writeFile(join(folder, 'secret.txt'), 'secret');
  await writeFile(join(folder, 'site/index.html'), '<p>root');
  await writeFile(join(folder, 'site/a b.json'), '[]');
  await writeFile(join(folder, 'site/empty.bin'), '');
  await writeFile(join(folder, 'site/sub/index.html'), '<p>sub');
  await writeFile(join(folder, 'site/data.wasm'), '0123456789');
  await symlink(join(folder, 'secret.txt'), join(folder, 'site/link.txt'));
  server = await startStaticServer({ mounts: { '/some/path/': join(folder, 'site') } });
});

afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const get = (path: string, init?: RequestInit) => fetch(new URL(path, server.url), init);

/** Sends a path as it is: fetch would tidy it up. */
function rawStatus(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    });
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('end', () => resolve(text.split(' ')[1] ?? ''));
    socket.on('error', reject);
  });
}

test('files have their types, and no header that a plain host would not send', async () => {
  const response = await get('/some/path/data.wasm');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/wasm');
  expect(response.headers.get('content-security-policy')).toBeNull();
  expect(response.headers.get('cross-origin-embedder-policy')).toBeNull();
  expect(await (await get('/some/path/a%20b.json')).text()).toBe('[]');
  expect(await (await get('/some/path/empty.bin')).text()).toBe('');
});

test('folders: their index, after a redirect to the slash', async () => {
  expect(await (await get('/some/path/')).text()).toBe('<p>root');
  const response = await get('/some/path/sub?x=1', { redirect: 'manual' });
  expect([response.status, response.headers.get('location')]).toEqual([301, '/some/path/sub/?x=1']);
  expect((await get('/some/path', { redirect: 'manual' })).status).toBe(301);
  expect((await get('/')).status).toBe(404);
});

test('byte ranges', async () => {
  const part = await get('/some/path/data.wasm', { headers: { range: 'bytes=2-4' } });
  expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
    206,
    'bytes 2-4/10',
    '234',
  ]);
  expect((await get('/some/path/data.wasm', { headers: { range: 'bytes=10-' } })).status).toBe(416);
});

test.each([
  ['bytes=0-0', 10, { start: 0, end: 0 }],
  ['bytes=9-', 10, { start: 9, end: 9 }],
  ['bytes=9-99', 10, { start: 9, end: 9 }],
  ['bytes=-3', 10, { start: 7, end: 9 }],
  ['bytes=-30', 10, { start: 0, end: 9 }],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=5-2', 10, 'whole'],
  ['bytes=1-2,4-5', 10, 'whole'],
  ['bytes=-', 10, 'whole'],
  [undefined, 10, 'whole'],
] as const)('range %s of %d', (header, byteLength, expected) => {
  expect(parseRange(header, byteLength)).toEqual(expected);
});

test.each([
  '/some/path/../../secret.txt',
  '/some/path/..%2fsecret.txt',
  '/some/path/%2e%2e/secret.txt',
  '/some/path/..%5csecret.txt',
  '/some/path/link.txt',
  '/some/path/%00',
  '/some/path//etc/passwd',
  '/secret.txt',
])('%s leads nowhere', async (path) => {
  expect(await rawStatus(path)).toBe('404');
});

test('an unchanged file is not sent again; only GET and HEAD are served', async () => {
  const etag = (await get('/some/path/data.wasm')).headers.get('etag') ?? '';
  expect((await get('/some/path/data.wasm', { headers: { 'if-none-match': etag } })).status).toBe(304);
  expect((await get('/some/path/data.wasm', { method: 'HEAD' })).headers.get('content-length')).toBe('10');
  expect((await get('/some/path/data.wasm', { method: 'POST' })).status).toBe(405);
  expect(await rawStatus('/some/path/%zz')).toBe('400');
});
