/** Both sides of the protocol over a MessageChannel: what crosses is structured-cloned, as between page and worker. */
import { afterEach, expect, test, vi } from 'vitest';
import { TramontaneError } from '../base/errors.ts';
import type { BenchmarkEngine, Progress } from '../engine/api.ts';
import { createFakeEngine, type FakeEngineOptions } from '../engine/fake-engine.ts';
import { EngineClient } from './engine-client.ts';
import { serveEngine } from './serve-engine.ts';

const source = { id: 'm', url: 'https://models.invalid/m/' };
const ask = { messages: [{ role: 'user' as const, content: 'Hello' }] };
const ports: MessagePort[] = [];

function connect(options: Partial<FakeEngineOptions> = {}): {
  client: EngineClient;
  engine: BenchmarkEngine;
  sent: string[];
} {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  const engine = createFakeEngine({ rate: 2000, loadMs: 10, prefillMs: 1, ...options });
  const sent: string[] = [];
  const client = new EngineClient({
    postMessage(message) {
      sent.push(message.kind);
      port1.postMessage(message);
    },
    addEventListener: (type, listener) => port1.addEventListener(type, listener as EventListener),
  });
  serveEngine(engine, {
    postMessage: (message) => port2.postMessage(message),
    addEventListener: (type, listener) => port2.addEventListener(type, listener as EventListener),
  });
  port1.start();
  port2.start();
  return { client, engine, sent };
}

afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

test('a model loads with progress, answers, and the client knows which one it is', async () => {
  const { client } = connect();
  const progress: Progress[] = [];
  expect(client.getLoadedModel()).toBeNull();
  const model = await client.loadModel(source, { onProgress: (reading) => progress.push(reading) });
  expect(model.id).toBe('m');
  expect(client.getLoadedModel()).toEqual(model);
  expect(progress.length).toBeGreaterThan(0);
  expect(new Set(progress.map(({ phase }) => phase)).size).toBeGreaterThan(1);

  const answer = await client.completeChat(ask);
  expect(answer.choices[0]?.finish_reason).toBe('stop');
  expect(answer.choices[0]?.message.content).not.toBe('');
  await client.unloadModel();
  expect(client.getLoadedModel()).toBeNull();
});

test('a load can be aborted while the browser asks whether to keep what is stored', async () => {
  const { client } = connect();
  vi.stubGlobal('navigator', {
    storage: { persisted: async () => false, persist: () => new Promise(() => {}) },
  });
  try {
    const controller = new AbortController();
    const load = client.loadModel(source, { signal: controller.signal });
    const reason = new Error('changed my mind');
    controller.abort(reason);
    await expect(load).rejects.toBe(reason);
  } finally {
    vi.unstubAllGlobals();
  }
});

test('a stream tells how much of its prompt is read, and how many tokens are written', async () => {
  const { client } = connect();
  await client.loadModel(source);
  const read: Progress[] = [];
  const request = { messages: [{ role: 'user' as const, content: 'wind '.repeat(600) }] };
  const written: number[] = [];
  for await (const chunk of client.streamChat(request, { onProgress: (reading) => read.push(reading) })) {
    if (written.length === 0) expect(read.at(-1)?.bytes).toBe(read[0]?.totalBytes);
    written.push(chunk.completion_tokens);
  }
  expect(read.map(({ phase }) => phase)).toEqual(Array(4).fill('prefill'));
  expect(read[0]).toMatchObject({ bytes: 0, totalBytes: expect.any(Number) });
  expect(read[1]?.bytes).toBe(256);
  expect(written[0]).toBe(1);
});

test('a stream makes a chunk only when it is pulled', async () => {
  const { client, sent } = connect();
  await client.loadModel(source);
  const stream = client.streamChat(ask)[Symbol.asyncIterator]();
  await stream.next();
  await stream.next();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(sent.filter((kind) => kind === 'pull')).toHaveLength(2);
  await stream.return?.(undefined);
});

test('what the engine measures comes through, and an abort stops it', async () => {
  const { client, engine } = connect({ rate: 1000, prefillRate: 10_000 });
  await client.loadModel(source);
  expect((await client.fillContext([1, 2, 3])).chunkMs).toHaveLength(1);
  const first = await client.timeDecode({ firstToken: 3, count: 4 });
  await client.cutContext(3);
  expect(first.tokens).toEqual((await engine.timeDecode({ firstToken: 3, count: 4 })).tokens);
  expect((await client.timePrefill(new Array(300).fill(1))).chunkMs).toHaveLength(2);
  expect(await client.describeModel()).toEqual(await engine.describeModel());
  expect(await client.readCounters()).toEqual(await engine.readCounters());
  expect(await client.timeStoreReads()).toEqual(await engine.timeStoreReads());
  const controller = new AbortController();
  const long = client.timeDecode({ firstToken: 3, count: 500_000 }, { signal: controller.signal });
  const reason = new Error('enough');
  setTimeout(() => controller.abort(reason), 10);
  await expect(long).rejects.toBe(reason);
});

test('a reader that leaves frees the engine for the next one', async () => {
  const { client } = connect({ rate: 200 });
  await client.loadModel(source);
  for await (const _chunk of client.streamChat(ask)) break;
  const next = await client.completeChat(ask);
  expect(next.choices[0]?.finish_reason).toBe('stop');
});

test('an abort ends the stream with what there is, and keeps the model', async () => {
  const { client } = connect({ rate: 100 });
  await client.loadModel(source);
  const controller = new AbortController();
  let finish: string | null = null;
  let chunks = 0;
  for await (const chunk of client.streamChat(ask, { signal: controller.signal })) {
    if (++chunks === 3) controller.abort();
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  expect(finish).toBe('abort');
  expect(client.getLoadedModel()).not.toBeNull();
});

test("an aborted call rejects with the caller's own reason", async () => {
  const { client } = connect({ loadMs: 10_000 });
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const load = client.loadModel(source, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  await expect(load).rejects.toBe(reason);
  await expect(client.loadModel(source, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test('an error keeps its code, its facts and its next step', async () => {
  const { client } = connect({ fail: 'device-lost', failAt: 'chat' });
  await client.loadModel(source);
  await expect(client.completeChat(ask)).rejects.toMatchObject({
    code: 'device-lost',
    nextStep: expect.any(String),
  });
  await expect(client.streamChat({ messages: [] })[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    code: expect.any(String),
  });
});

test('when the worker is gone, every pending and later call says so', async () => {
  const { client } = connect({ loadMs: 10_000 });
  const load = client.loadModel(source);
  const crash = new TramontaneError('worker-crashed', 'gone', { nextStep: 'Reload the page.' });
  client.fail(crash);
  await expect(load).rejects.toBe(crash);
  await expect(client.completeChat(ask)).rejects.toBe(crash);
  expect(client.getLoadedModel()).toBeNull();
});

test('a message of another version gets an error, not silence', async () => {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  serveEngine(createFakeEngine(), {
    postMessage: (message) => port2.postMessage(message),
    addEventListener: (type, listener) => port2.addEventListener(type, listener as EventListener),
  });
  port2.start();
  const answer = new Promise((resolve) => {
    port1.addEventListener('message', ({ data }) => data.kind === 'error' && resolve(data));
  });
  port1.start();
  port1.postMessage({ kind: 'sing', id: 7 });
  expect(await answer).toMatchObject({ id: 7, error: { code: 'protocol-invalid' } });
});
