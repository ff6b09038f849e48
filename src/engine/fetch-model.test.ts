import { createHash } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createTestClock } from '../../tests/tools/test-clock.ts';
import { MemoryWeightStore } from '../storage/weight-store.ts';
import type { Progress } from './api.ts';
import { fetchModel } from './fetch-model.ts';

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const shards = [0, 1, 2, 3, 4].map((i) => Buffer.alloc(10_000 + i, i + 1));

function modelFiles(contents = shards): Map<string, Buffer> {
  const records = contents.map((bytes, i) => ({
    dataPath: `params_shard_${i}.bin`,
    nbytes: bytes.length,
    sha256: sha256(bytes),
    records: [],
  }));
  return new Map([
    ['/mlc-chat-config.json', Buffer.from('{"temperature":0.5}')],
    ['/tokenizer.json', Buffer.from('{}')],
    ['/tensor-cache.json', Buffer.from(JSON.stringify({ records }))],
    ...contents.map((bytes, i): [string, Buffer] => [`/params_shard_${i}.bin`, bytes]),
  ]);
}

let server: Server | null = null;
const requests: string[] = [];

async function serve(files: Map<string, Buffer>, intercept?: RequestListener): Promise<string> {
  requests.length = 0;
  server = createServer((request, response) => {
    const path = request.url ?? '';
    requests.push(path);
    intercept?.(request, response);
    if (response.writableEnded || response.destroyed || response.headersSent) return;
    const body = files.get(path);
    response.writeHead(body === undefined ? 404 : 200, { 'content-length': body?.length ?? 0 });
    response.end(body);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  server = null;
});

const shardRequests = () => requests.filter((path) => path.includes('shard')).length;

test('a model is downloaded once, checked, stored, and used without a network from then on', async () => {
  const url = await serve(modelFiles());
  const store = new MemoryWeightStore();
  const progress: Progress[] = [];
  const files = await fetchModel(
    { id: 'm', url },
    { store, baseUrl: url, onProgress: (p) => progress.push(p) },
  );
  expect(files.shards.map((shard) => shard.byteLength)).toEqual(shards.map((shard) => shard.length));
  const total = shards.reduce((sum, shard) => sum + shard.length, 0);
  expect(progress.at(-1)).toMatchObject({ phase: 'download', bytes: total, totalBytes: total });
  expect(await (await store.readFile('m', files.shards[3]!.storedName))!.text()).toBe(shards[3]!.toString());

  await fetchModel({ id: 'm', url }, { store, baseUrl: url });
  expect(shardRequests()).toBe(shards.length);

  server?.close();
  server?.closeAllConnections();
  const offline = await fetchModel({ id: 'm', url }, { store, baseUrl: url });
  expect(offline.config).toEqual({ temperature: 0.5 });
});

test('an aborted download goes on where it ended', async () => {
  const controller = new AbortController();
  const url = await serve(modelFiles(), (request) => {
    if (request.url === '/params_shard_4.bin') controller.abort(new Error('stop'));
  });
  const store = new MemoryWeightStore();
  await expect(
    fetchModel({ id: 'm', url }, { store, baseUrl: url, signal: controller.signal }),
  ).rejects.toThrow('stop');
  expect(await store.listModels()).toEqual([]);
  const stored = (await store.listFiles('m')).length;
  expect(stored).toBeGreaterThan(0);
  requests.length = 0;
  await fetchModel({ id: 'm', url }, { store, baseUrl: url });
  expect(shardRequests()).toBe(shards.length - stored);
});

test('a connection that breaks, and bytes that are wrong once, are tried again', async () => {
  const broken = new Set(['/params_shard_1.bin', '/params_shard_2.bin']);
  const url = await serve(modelFiles(), (request, response) => {
    const path = request.url ?? '';
    if (!broken.delete(path)) return;
    if (path === '/params_shard_1.bin') {
      response.writeHead(200, { 'content-length': shards[1]!.length });
      response.write(shards[1]!.subarray(0, 1000), () => response.destroy());
    } else {
      response.end(Buffer.alloc(shards[2]!.length, 9));
    }
  });
  const store = new MemoryWeightStore();
  const progress: Progress[] = [];
  await fetchModel(
    { id: 'm', url },
    { store, baseUrl: url, clock: createTestClock(), onProgress: (p) => progress.push(p) },
  );
  expect(progress.at(-1)).toMatchObject({ bytes: shards.reduce((sum, shard) => sum + shard.length, 0) });
  expect(broken.size).toBe(0);
});

test('a shard that is shorter on the server than its list says is not asked for again and again', async () => {
  const short = shards[2]!.subarray(1);
  let requests = 0;
  const url = await serve(modelFiles(), (request, response) => {
    if (request.url !== '/params_shard_2.bin') return;
    requests++;
    if (request.headers.range === undefined) response.end(short);
    else response.writeHead(416, { 'content-range': `bytes */${short.length}` }).end();
  });
  const store = new MemoryWeightStore();
  const fetching = fetchModel({ id: 'm', url }, { store, baseUrl: url, clock: createTestClock() });
  await expect(fetching).rejects.toMatchObject({ code: 'shard-truncated', data: { received: short.length } });
  expect(requests).toBe(2);
});

test.each<[string, RequestListener]>([
  ['shard-missing', (_request, response) => response.writeHead(404).end()],
  ['shard-altered', (_request, response) => response.end(Buffer.alloc(shards[2]!.length, 9))],
  ['shard-altered', (_request, response) => response.end(Buffer.alloc(shards[2]!.length + 1, 3))],
  ['shard-truncated', (_request, response) => response.end(shards[2]!.subarray(1))],
  ['download-failed', (_request, response) => response.writeHead(500).end()],
  [
    'download-failed',
    (_request, response) => {
      response.writeHead(200, { 'content-length': shards[2]!.length });
      response.write(shards[2]!.subarray(0, 100), () => response.destroy());
    },
  ],
])('a shard that stays wrong is %s, and a model stored before is kept', async (code, answer) => {
  const store = new MemoryWeightStore();
  const oldUrl = await serve(modelFiles());
  const old = await fetchModel({ id: 'm', url: oldUrl }, { store, baseUrl: oldUrl });
  server?.closeAllConnections();
  server?.close();

  // A new build: its third shard differs, and cannot be had.
  const changed = shards.map((bytes, i) => (i === 2 ? Buffer.alloc(bytes.length, 77) : bytes));
  const url = await serve(modelFiles(changed), (request, response) => {
    if (request.url === '/params_shard_2.bin') answer(request, response as never);
  });
  await expect(
    fetchModel({ id: 'm', url }, { store, baseUrl: url, clock: createTestClock() }),
  ).rejects.toMatchObject({
    code,
    nextStep: expect.any(String),
  });
  for (const shard of old.shards)
    expect((await store.readFile('m', shard.storedName))?.size).toBe(shard.byteLength);
  expect((await store.readModel('m'))?.files).toEqual(old.shards);
});

test.each([
  ['records', { records: [] }],
  ['records[0].dataPath', { records: [{ dataPath: '../x', nbytes: 4 }] }],
  ['records[0].nbytes', { records: [{ dataPath: 'x', nbytes: -4 }] }],
  ['records[0].nbytes', { records: [{ dataPath: 'x', nbytes: 1e12 }] }],
  ['records[0].md5sum', { records: [{ dataPath: 'x', nbytes: 4, md5sum: 7 }] }],
  ['records[0].sha256', { records: [{ dataPath: 'x', nbytes: 4, sha256: 'zz' }] }],
])('a tensor-cache.json with a wrong %s is refused by name', async (field, tensorCache) => {
  const files = modelFiles();
  files.set('/tensor-cache.json', Buffer.from(JSON.stringify(tensorCache)));
  const url = await serve(files);
  await expect(
    fetchModel({ id: 'm', url }, { store: new MemoryWeightStore(), baseUrl: url }),
  ).rejects.toMatchObject({ code: 'config-invalid', data: { field } });
});

test('a small file that does not end is refused by name', async () => {
  const files = modelFiles();
  files.set('/tokenizer.json', Buffer.alloc((64 << 20) + 1, ' '));
  const url = await serve(files);
  await expect(
    fetchModel({ id: 'm', url }, { store: new MemoryWeightStore(), baseUrl: url }),
  ).rejects.toMatchObject({ code: 'config-invalid', data: { file: 'tokenizer.json' } });
  expect(shardRequests()).toBe(0);
});

test('an address that leads nowhere is download-failed with the address', async () => {
  const url = await serve(new Map());
  await expect(
    fetchModel({ id: 'm', url }, { store: new MemoryWeightStore(), baseUrl: url }),
  ).rejects.toMatchObject({ code: 'download-failed', data: { status: 404 } });
});

test('a description that breaks off does not keep a stored model from loading', async () => {
  const store = new MemoryWeightStore();
  const goodUrl = await serve(modelFiles());
  await fetchModel({ id: 'm', url: goodUrl }, { store, baseUrl: goodUrl });
  server?.closeAllConnections();
  server?.close();
  const url = await serve(modelFiles(), (request, response) => {
    if (request.url !== '/tokenizer.json') return;
    response.writeHead(200, { 'content-length': 1000 });
    response.write('{', () => response.destroy());
  });
  const files = await fetchModel({ id: 'm', url }, { store, baseUrl: url });
  expect(files.config).toEqual({ temperature: 0.5 });
});

test('what is refused by its description costs no download', async () => {
  const url = await serve(modelFiles());
  const refuse = () => {
    throw new Error('too large');
  };
  const options = { store: new MemoryWeightStore(), baseUrl: url, check: refuse };
  await expect(fetchModel({ id: 'm', url }, options)).rejects.toThrow('too large');
  expect(shardRequests()).toBe(0);
});
