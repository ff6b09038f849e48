/** Imports by address, from servers that behave and servers that do not. Seeded faults: tests/hostile. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Fault, type HostileServer, startHostileServer } from '../../tests/tools/hostile-server.ts';
import { MemorySink } from '../../tests/tools/memory-sink.ts';
import { createRandom } from '../../tests/tools/random.ts';
import { splitGguf } from '../../tests/tools/split-gguf.ts';
import { createTestClock } from '../../tests/tools/test-clock.ts';
import { createTinyMistralGguf, TINY_MISTRAL_SHAPE } from '../../tests/tools/tiny-mistral.ts';
import { isAbortError } from '../base/errors.ts';
import { memorySource } from '../formats/byte-source.ts';
import { MemoryWeightStore } from '../storage/weight-store.ts';
import type { ImportSource } from './api.ts';
import { importGguf } from './import/import-model.ts';
import { StoreModelManager } from './model-manager.ts';

const LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 256 << 10 };
const ID = 'tiny-mistral-q4_0';
/** What comes with the first answer, whatever of it is needed. */
const HEAD_BYTES = 1 << 20;

let bytes: Uint8Array<ArrayBuffer>;
let expected: MemorySink;
let server: HostileServer;

beforeAll(async () => {
  bytes = createTinyMistralGguf({ ...TINY_MISTRAL_SHAPE, layerCount: 24 }, 'plain');
  expected = new MemorySink();
  await importGguf(memorySource(bytes), expected, LIMITS);
  const splits = await splitGguf(bytes, 'tiny', 3);
  server = await startHostileServer(
    new Map([
      ['/tiny.gguf', bytes],
      ['/hub/owner/repo/resolve/main/sub/tiny.gguf', bytes],
      ...splits.map((split): [string, Uint8Array] => [`/splits/${split.name}`, split.bytes]),
    ]),
  );
});
afterAll(() => server.close());
beforeEach(() => {
  server.setFaults([]);
  server.answers.length = 0;
});

const at = (path: string): ImportSource => ({ kind: 'address', address: new URL(path, server.url).href });

function create(): { manager: StoreModelManager; store: MemoryWeightStore } {
  const store = new MemoryWeightStore();
  const download = { clock: createTestClock(), hub: `${server.url}hub/` };
  return { manager: new StoreModelManager({ store, limits: LIMITS, download }), store };
}

async function expectStored(store: MemoryWeightStore): Promise<void> {
  const model = await store.readModel(ID);
  const shards = [...expected.files.keys()].filter((name) => name.startsWith('params'));
  expect(model?.files.map(({ name }) => name)).toEqual(shards);
  for (const { name, storedName } of model!.files) {
    const stored = new Uint8Array(await (await store.readFile(ID, storedName))!.arrayBuffer());
    expect(Buffer.compare(stored, expected.files.get(name)!), name).toBe(0);
  }
  expect(await store.listPending()).toEqual([]);
  expect(await store.countJournalled(ID)).toBe(0);
}

/** Bytes beyond the head of the file that were sent more than once. */
function sentTwice(path: string): number {
  const counts = new Uint8Array(bytes.byteLength);
  for (const answer of server.answers) {
    if (answer.path !== path || answer.method !== 'GET') continue;
    for (let i = answer.offset; i < answer.offset + answer.sentBytes; i++) counts[i]!++;
  }
  return counts.subarray(HEAD_BYTES).reduce((sum, count) => sum + Math.max(0, count - 1), 0);
}

test('the model is larger than what comes with the first answer', () => {
  expect(bytes.byteLength).toBeGreaterThan(2 * HEAD_BYTES);
});

describe('a good server', () => {
  test('a file: stored as from a file of one’s own, each byte fetched once', async () => {
    const { manager, store } = create();
    const preview = await manager.inspectSource(at('tiny.gguf?token=secret'));
    const url = new URL('tiny.gguf', server.url).href;
    expect(preview).toMatchObject({ id: ID, source: { name: 'tiny.gguf', url } });
    server.answers.length = 0;
    expect(await manager.importModel(at('tiny.gguf?token=secret'))).toMatchObject({ source: { url } });
    await expectStored(store);
    expect(sentTwice('/tiny.gguf')).toBe(0);
    expect(JSON.stringify(await store.readModel(ID))).not.toContain('secret');
  });

  test('all splits, from the address of one; a file of a hub', async () => {
    for (const address of ['splits/tiny-00001-of-00003.gguf', 'splits/tiny-00003-of-00003.gguf']) {
      const { manager, store } = create();
      expect(await manager.importModel(at(address))).toMatchObject({
        source: { name: 'tiny-00001-of-00003.gguf', url: `${server.url}splits/tiny-00001-of-00003.gguf` },
      });
      await expectStored(store);
    }
    const { manager, store } = create();
    await manager.importModel({ kind: 'address', address: 'hf:owner/repo/sub/tiny.gguf' });
    await expectStored(store);
  });

  test('that tells no state, or a weak one, begins anew each time, and journals nothing for it', async () => {
    for (const etags of [false, 'weak'] as const) {
      const own = await startHostileServer(new Map([['/tiny.gguf', bytes]]), { etags });
      try {
        const { manager, store } = create();
        const source: ImportSource = { kind: 'address', address: `${own.url}tiny.gguf` };
        const controller = new AbortController();
        const importing = manager.importModel(source, {
          signal: controller.signal,
          onProgress: ({ bytes: done, totalBytes }) => done > totalBytes / 2 && controller.abort(),
        });
        await expect(importing).rejects.toMatchObject({ name: 'AbortError' });
        expect(await store.countJournalled(ID)).toBe(0);
        expect((await manager.inspectSource(source)).resumes).toBeNull();
        await manager.importModel(source);
        await expectStored(store);
      } finally {
        await own.close();
      }
    }
  });

  test('aborted again and again, it goes on at the byte', async () => {
    const { manager, store } = create();
    const random = createRandom(7);
    let aborts = 0;
    for (let done = false; !done; ) {
      const controller = new AbortController();
      const before = server.sentBytes();
      const watch = setInterval(() => {
        // Somewhere beyond the head.
        if (server.sentBytes() - before > HEAD_BYTES + random() * (200 << 10)) controller.abort();
      }, 1);
      try {
        await manager.importModel(at('tiny.gguf'), { signal: controller.signal });
        done = true;
      } catch (error) {
        expect(isAbortError(error)).toBe(true);
        expect(++aborts).toBeLessThan(60);
      } finally {
        clearInterval(watch);
      }
    }
    expect(aborts).toBeGreaterThan(1);
    await expectStored(store);
    // What was under way when the connection was cut may not have arrived.
    expect(sentTwice('/tiny.gguf')).toBeLessThan(aborts * (256 << 10));
  });
});

describe('a bad server', () => {
  test('a file that has changed is not mixed with what is stored of it', async () => {
    const { manager, store } = create();
    server.setFaults([{ kind: 'changed', path: '/tiny.gguf', after: 2 }]);
    await expect(manager.importModel(at('tiny.gguf'))).rejects.toMatchObject({ code: 'source-changed' });
    // From the file as it now is: what is pending belongs to another state.
    expect(await manager.inspectSource(at('tiny.gguf'))).toMatchObject({
      resumes: null,
      obstructs: { id: ID },
    });
    await expect(manager.importModel(at('tiny.gguf'))).rejects.toMatchObject({ code: 'source-changed' });
    await manager.importModel(at('tiny.gguf'), { restart: true });
    await expectStored(store);
  });

  test.each<[string, Fault, string]>([
    ['no file', { kind: 'status', path: '/tiny.gguf', status: 404, times: 99 }, 'download-failed'],
    ['no permission', { kind: 'status', path: '/tiny.gguf', status: 401, times: 99 }, 'download-failed'],
    ['no byte ranges', { kind: 'no-range', path: '/tiny.gguf', times: 99 }, 'range-unsupported'],
    ['always busy', { kind: 'status', path: '/tiny.gguf', status: 503, times: 99 }, 'download-failed'],
  ])('%s: said before anything is stored', async (_, fault, code) => {
    const { manager, store } = create();
    server.setFaults([fault]);
    await expect(manager.importModel(at('tiny.gguf'))).rejects.toMatchObject({
      code,
      nextStep: expect.any(String),
    });
    expect([await store.listPending(), await store.listModels()]).toEqual([[], []]);
  });

  test('a missing split is named', async () => {
    const path = '/splits/tiny-00002-of-00003.gguf';
    server.setFaults([{ kind: 'status', path, status: 404 }]);
    await expect(create().manager.importModel(at('splits/tiny-00001-of-00003.gguf'))).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringContaining('tiny-00002-of-00003.gguf'),
    });
  });

  test('an address that is none, or another machine without encryption', async () => {
    const { manager } = create();
    for (const address of [
      'tiny.gguf',
      'http://models.invalid/tiny.gguf',
      'ftp://models.invalid/tiny.gguf',
    ]) {
      await expect(manager.inspectSource({ kind: 'address', address })).rejects.toMatchObject({
        code: 'address-invalid',
      });
    }
  });
});
