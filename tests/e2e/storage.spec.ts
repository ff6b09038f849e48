/**
 * What happens to stored models when things go wrong in a real browser: tabs that are killed, disks that are full, data
 * that is cleared, tabs that meet; and what a load from the store reads of it. With the built site, a server that counts
 * what it sends, and a profile on the disk.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, expect, type Page, test } from 'playwright/test';
import { findChromium } from '../../scripts/lib/chromium.ts';
import { importToFolder } from '../../scripts/lib/import-folder.ts';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import type { Progress } from '../../src/engine/api.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import { chromiumArguments } from '../tools/chromium.ts';
import {
  type HostileServer,
  type HostileServerOptions,
  startHostileServer,
} from '../tools/hostile-server.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi;

const TINY = 'tiny-mistral';
const SMOLLM2 = 'smollm2';
/** The tiny model as a file to import. */
const GGUF = 'tiny.gguf';
/** The tiny model in many shards. */
const PIECES = 'tiny-in-pieces';
const MIB = 1 << 20;
/** What a kill may cost a download: on each connection what is not in the journal yet, and what is in buffers. */
const LOST_BY_KILL = 4 * (2 + 2) * MIB;

let site: StaticServer;
let scratch: string;
/** One for all tests: each has an origin of its own. */
let context: BrowserContext;
const folders = new Map<string, ReadonlyMap<string, Uint8Array>>();

test.beforeAll(async () => {
  site = await startStaticServer({ mounts: { '/': SITE } });
  const tiny = await ensureTinyMistral('plain');
  scratch = await mkdtemp(join(tmpdir(), 'tramontane-storage-'));
  const shards = join(scratch, PIECES);
  const limits = { maxRecordBytes: 32 << 10, maxShardBytes: 64 << 10 };
  await importToFolder(memorySource(new Uint8Array(await readFile(tiny.gguf))), shards, {
    ...limits,
    origin: { sourceName: 'tiny-mistral.gguf' },
  });
  const sources = {
    [TINY]: tiny.folder,
    [SMOLLM2]: join(ROOT, 'public/models/smollm2-135m-instruct'),
    [PIECES]: shards,
  };
  for (const [id, folder] of Object.entries(sources)) {
    const names = await readdir(folder);
    const contents = names.map(
      async (name) => [`/${id}/${name}`, await readFile(join(folder, name))] as const,
    );
    folders.set(id, new Map(await Promise.all(contents)));
  }
  folders.set(GGUF, new Map([[`/${GGUF}`, await readFile(tiny.gguf)]]));
});

test.beforeAll(async () => {
  context = await chromium.launchPersistentContext(join(scratch, 'profile'), {
    executablePath: findChromium()!,
    args: [...chromiumArguments, '--js-flags=--expose-gc'],
  });
});

test.afterAll(async () => {
  await context?.close();
  await site?.close();
  await rm(scratch, { recursive: true, force: true });
});

const shardPaths = (id: string) =>
  [...folders.get(id)!.keys()].filter((path) => path.includes('shard')).sort();
const shardBytes = (id: string) =>
  shardPaths(id).reduce((sum, path) => sum + folders.get(id)!.get(path)!.byteLength, 0);
const shardBytesSent = (server: HostileServer) =>
  server.answers.reduce((sum, { path, sentBytes }) => sum + (path.includes('shard') ? sentBytes : 0), 0);

/** A server of the site and one model. */
async function withSite(
  id: string,
  options: HostileServerOptions,
  use: (server: HostileServer) => Promise<void>,
): Promise<void> {
  const server = await startHostileServer(folders.get(id)!, { ...options, elsewhere: site.url });
  try {
    await use(server);
  } finally {
    for (const page of context.pages()) await page.close();
    await server.close();
  }
}

async function openPage(server: HostileServer): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${server.url}ask.html`);
  await page.waitForFunction(() => 'tramontane' in globalThis);
  return page;
}

interface LoadOutcome {
  /** Null where the weights are stored and being read. */
  error: { code: string | null; message: string; nextStep: string | null } | null;
  phases: string[];
}

/** Loads a model as far as its weights being read from the store: what the GPU makes of them is tested elsewhere. */
function load(page: Page, id: string): Promise<LoadOutcome> {
  return page.evaluate(async (modelId) => {
    const phases = new Set<string>();
    Object.assign(globalThis, { phasesSoFar: phases });
    const controller = new AbortController();
    const onProgress = ({ phase }: Progress) => {
      phases.add(phase);
      if (phase !== 'download') controller.abort();
    };
    const source = { id: modelId, url: new URL(`${modelId}/`, document.baseURI).href };
    const options = { prefillChunkLength: 64, signal: controller.signal, onProgress };
    try {
      await tramontane.engine.loadModel(source, options);
      return { error: null, phases: [...phases] };
    } catch (thrown) {
      if (controller.signal.aborted) return { error: null, phases: [...phases] };
      const { code, message, nextStep } = tramontane.toWireError(thrown);
      return { error: { code, message, nextStep }, phases: [...phases] };
    }
  }, id);
}

const phasesSoFar = (page: Page) =>
  page.evaluate(() => [...((globalThis as { phasesSoFar?: Set<string> }).phasesSoFar ?? [])]);

/** Bytes of the download or import that has not ended, as a page that opens now would find them. */
const pendingBytes = (page: Page) =>
  page.evaluate(async () => {
    const manager = await tramontane.createManager();
    try {
      return (await manager.listPendingModels())[0]?.doneBytes ?? 0;
    } finally {
      await manager.dispose();
    }
  });

/**
 * Lets a load run until the server has sent so much of the shards and the page has stored what it can of it. The rest
 * is held back, so that what a test does next is in the middle of the download on any machine.
 */
async function downloadUntil(server: HostileServer, byteLength: number): Promise<void> {
  const watcher = await openPage(server);
  await expect.poll(() => shardBytesSent(server)).toBeGreaterThanOrEqual(byteLength);
  await expect
    .poll(async () => shardBytesSent(server) - (await pendingBytes(watcher)))
    .toBeLessThan(LOST_BY_KILL);
  await watcher.close();
}

const listStored = (page: Page) =>
  page.evaluate(async () => (await tramontane.engine.listStoredModels()).map(({ id }) => id));

/** Names of files that are not what was stored. */
const verify = (page: Page, id: string) =>
  page.evaluate(async (modelId) => {
    const manager = await tramontane.createManager();
    try {
      return (await manager.verifyModel(modelId)).damaged;
    } finally {
      await manager.dispose();
    }
  }, id);

test('a tab that is killed in the middle of a download goes on at the byte in the next', async () => {
  await withSite(SMOLLM2, { chunkBytes: 256 << 10 }, async (server) => {
    const page = await openPage(server);
    server.holdAt(65 * MIB);
    void load(page, SMOLLM2).catch(() => undefined);
    await downloadUntil(server, 60 * MIB);
    const session = await context.newCDPSession(page);
    void session.send('Page.crash').catch(() => undefined);
    await page.waitForEvent('crash');
    await page.close();
    server.release();
    const killedAt = shardBytesSent(server);
    expect(killedAt).toBeLessThan(shardBytes(SMOLLM2));

    server.answers.length = 0;
    const next = await openPage(server);
    expect(await listStored(next)).toEqual([]);
    expect((await load(next, SMOLLM2)).error).toBeNull();
    const resent = shardBytesSent(server) + killedAt - shardBytes(SMOLLM2);
    console.log(
      `killed after ${(killedAt / MIB).toFixed(1)} MiB; ${(resent / MIB).toFixed(1)} MiB were sent again`,
    );
    expect(resent).toBeLessThan(LOST_BY_KILL);
    expect(server.answers.some(({ status, offset }) => status === 206 && offset > 0)).toBe(true);
    expect(await listStored(next)).toEqual([SMOLLM2]);
    expect(await verify(next, SMOLLM2)).toEqual([]);
  });
});

test('a disk without room for a model refuses it before the first byte, though the browser tells of more', async () => {
  await withSite(SMOLLM2, {}, async (server) => {
    const page = await openPage(server);
    const session = await context.newCDPSession(page);
    const { origin } = new URL(server.url);
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: shardBytes(SMOLLM2) - MIB });
    const told = await page.evaluate(() => navigator.storage.estimate());
    expect(told.quota).toBeGreaterThan(shardBytes(SMOLLM2));
    const { error } = await load(page, SMOLLM2);
    expect(error).toMatchObject({ code: 'storage-quota', nextStep: expect.any(String) });
    expect(shardBytesSent(server)).toBe(0);

    await session.send('Storage.overrideQuotaForOrigin', { origin });
    expect((await load(page, SMOLLM2)).error).toBeNull();
    // What asked for the room is gone.
    const files = await page.evaluate(async () => {
      const names: string[] = [];
      for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
      return names;
    });
    expect(files).toEqual([]);
  });
});

test('a disk that is full in the middle of a download: what is stored is kept, and enough for the rest', async () => {
  await withSite(SMOLLM2, { chunkBytes: 256 << 10, chunkMs: 20 }, async (server) => {
    const page = await openPage(server);
    const session = await context.newCDPSession(page);
    const { origin } = new URL(server.url);
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 22 * MIB });
    // While another tab stores a model too, nobody can tell what there will be room for.
    await page.evaluate(() => {
      void navigator.locks.request('tramontane-model-writer other', () => new Promise(() => {}));
    });
    const { error } = await load(page, SMOLLM2);
    expect(error).toMatchObject({ code: 'storage-quota', nextStep: expect.any(String) });
    expect(await listStored(page)).toEqual([]);
    const keptBytes = await pendingBytes(page);
    expect(keptBytes).toBeGreaterThan(0);

    await session.send('Storage.overrideQuotaForOrigin', { origin });
    server.answers.length = 0;
    expect((await load(page, SMOLLM2)).error).toBeNull();
    expect(shardBytesSent(server)).toBe(shardBytes(SMOLLM2) - keptBytes);
    expect(await verify(page, SMOLLM2)).toEqual([]);
  });
});

test('data that is cleared in the middle of a download, or between two loads', async () => {
  await withSite(SMOLLM2, { chunkBytes: 256 << 10 }, async (server) => {
    const page = await openPage(server);
    const session = await context.newCDPSession(page);
    const origin = new URL(server.url).origin;
    const clear = () => session.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });

    server.holdAt(85 * MIB);
    const interrupted = load(page, SMOLLM2);
    // The smaller shards are stored by then, and gone when the manifest would be written.
    await downloadUntil(server, 80 * MIB);
    await clear();
    server.release();
    const { error } = await interrupted;
    expect(['shard-missing', 'storage-failed']).toContain(error?.code);
    expect(error?.nextStep).toBeTruthy();
    expect(await listStored(page)).toEqual([]);
    expect((await load(page, SMOLLM2)).error).toBeNull();
    expect(await verify(page, SMOLLM2)).toEqual([]);

    await clear();
    expect(await listStored(page)).toEqual([]);
  });
});

test('two tabs that load the same model at once download it once', async () => {
  await withSite(TINY, { chunkBytes: 8192 }, async (server) => {
    const pages = [await openPage(server), await openPage(server)];
    // The second one is to come while the first is at it.
    server.holdAt(server.sentBytes() + shardBytes(TINY) / 4);
    const loads = pages.map((page) => load(page, TINY));
    for (const page of pages) await expect.poll(() => phasesSoFar(page)).toContain('download');
    server.release();
    const outcomes = await Promise.all(loads);
    expect(outcomes.map(({ error }) => error)).toEqual([null, null]);
    expect(shardBytesSent(server)).toBe(shardBytes(TINY));
    // The one that waits shows how far the other is.
    for (const { phases } of outcomes) expect(phases).toEqual(expect.arrayContaining(['download', 'read']));
  });
});

test('two tabs that import the same model at once: it is stored whole, and who comes late is told', async () => {
  await withSite(GGUF, { chunkBytes: 16_384, chunkMs: 20 }, async (server) => {
    const pages = [await openPage(server), await openPage(server)];
    const address = new URL(GGUF, server.url).href;
    const outcomes = await Promise.all(
      pages.map((page) =>
        page.evaluate(
          async (source) => {
            const manager = await tramontane.createManager();
            return manager.importModel(source).then(
              ({ id }) => ({ id, error: null }),
              (thrown) => ({ id: null, error: tramontane.toWireError(thrown) }),
            );
          },
          { kind: 'address', address } as const,
        ),
      ),
    );
    const stored = outcomes.flatMap(({ id }) => id ?? []);
    expect(stored.length).toBeGreaterThan(0);
    for (const { error } of outcomes) {
      if (error !== null) expect(error).toMatchObject({ code: 'model-busy', nextStep: expect.any(String) });
    }
    expect(await listStored(pages[0]!)).toEqual([stored[0]]);
    expect(await verify(pages[1]!, stored[0]!)).toEqual([]);
  });
});

/** Reads and writes a record of the weight store's database, behind the page's back. */
function changeRecord(page: Page, key: string[], change: 'as-version-1' | 'flip-a-bit'): Promise<void> {
  return page.evaluate(
    async ([recordKey, how]) => {
      const settle = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(request.error);
        });
      const database = await settle(indexedDB.open('tramontane-weights'));
      const files = () => database.transaction('files', 'readwrite').objectStore('files');
      const value = await settle(files().get(recordKey));
      let changed: unknown;
      if (how === 'flip-a-bit') {
        const bytes = new Uint8Array(await (value as Blob).arrayBuffer());
        bytes[1000]! ^= 4;
        changed = new Blob([bytes]);
      } else {
        const { id, source, files: list, storedAt } = value;
        const shards = list.map(({ name, byteLength, sha256 }: Record<string, unknown>) => ({
          ...{ name, byteLength, sha256, md5: null },
        }));
        changed = { version: 1, id, url: source.url, files: shards, storedAt };
      }
      await settle(files().put(changed, recordKey));
      database.close();
    },
    [key, change] as const,
  );
}

test('a model that version 1 of the store wrote is used as it is, and then of version 2', async () => {
  await withSite(TINY, {}, async (server) => {
    const page = await openPage(server);
    expect((await load(page, TINY)).error).toBeNull();
    await changeRecord(page, [TINY, 'tramontane-manifest'], 'as-version-1');
    server.answers.length = 0;

    const next = await openPage(server);
    const [before] = await next.evaluate(() => tramontane.engine.listStoredModels());
    expect(before).toMatchObject({ id: TINY, contextLength: 2048, parameterCount: expect.any(Number) });
    const { error, phases } = await load(next, TINY);
    expect(error).toBeNull();
    expect(phases).not.toContain('download');
    expect(shardBytesSent(server)).toBe(0);
    expect(await verify(next, TINY)).toEqual([]);
    const [after] = await next.evaluate(() => tramontane.engine.listStoredModels());
    expect(after).toEqual({ ...before, storedAt: expect.any(Number) });
  });
});

test('a bit that flips on the disk is found, and only its file is fetched again', async () => {
  await withSite(TINY, {}, async (server) => {
    const page = await openPage(server);
    expect((await load(page, TINY)).error).toBeNull();
    const [path] = shardPaths(TINY);
    const name = path!.split('/').at(-1)!;
    const tensorCache = JSON.parse(
      Buffer.from(folders.get(TINY)!.get(`/${TINY}/tensor-cache.json`)!).toString('utf8'),
    );
    const { sha256 } = tensorCache.records.find(({ dataPath }: { dataPath: string }) => dataPath === name);
    await changeRecord(page, [TINY, `${name}.${sha256.slice(0, 16)}`], 'flip-a-bit');
    expect(await verify(page, TINY)).toEqual([name]);
    expect(await listStored(page)).toEqual([]);
    server.answers.length = 0;
    expect((await load(page, TINY)).error).toBeNull();
    expect(shardBytesSent(server)).toBe(folders.get(TINY)!.get(path!)!.byteLength);
    expect(await verify(page, TINY)).toEqual([]);
  });
});

/** What a worker's reads of blobs were, as {@link watchReads} notes them. */
interface BlobRead {
  byteLength: number;
  /** Blobs of such lengths that were read before and are in memory still. */
  held: number;
}

/** Has the engine's worker note its reads of blobs of some lengths. It needs `gc`. */
async function watchReads(page: Page, byteLengths: readonly number[]): Promise<() => Promise<BlobRead[]>> {
  const [worker] = page.workers();
  await worker!.evaluate((watched) => {
    const scope = globalThis as unknown as { gc(): void; blobReads: BlobRead[] };
    const taken: WeakRef<ArrayBuffer>[] = [];
    scope.blobReads = [];
    const { arrayBuffer } = Blob.prototype;
    Blob.prototype.arrayBuffer = async function () {
      if (!watched.includes(this.size)) return arrayBuffer.call(this);
      scope.gc();
      const held = taken.filter((reference) => reference.deref() !== undefined).length;
      scope.blobReads.push({ byteLength: this.size, held });
      const contents = await arrayBuffer.call(this);
      taken.push(new WeakRef(contents));
      return contents;
    };
  }, byteLengths);
  return () => worker!.evaluate(() => (globalThis as unknown as { blobReads: BlobRead[] }).blobReads);
}

test('a warm load reads every byte of the stored shards once, and never holds more than two', async () => {
  await withSite(PIECES, {}, async (server) => {
    const page = await openPage(server);
    expect((await load(page, PIECES)).error).toBeNull();
    server.answers.length = 0;

    const lengths = shardPaths(PIECES).map((path) => folders.get(PIECES)!.get(path)!.byteLength);
    expect(lengths.length).toBeGreaterThan(5);
    const readReads = await watchReads(page, lengths);
    await page.evaluate(async (id) => {
      const source = { id, url: new URL(`${id}/`, document.baseURI).href };
      await tramontane.engine.loadModel(source, { prefillChunkLength: 64 });
    }, PIECES);
    const reads = await readReads();
    const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
    expect(sorted(reads.map(({ byteLength }) => byteLength))).toEqual(sorted(lengths));
    // With the one that is being read.
    expect(Math.max(...reads.map(({ held }) => held + 1))).toBeLessThanOrEqual(2);
    expect(shardBytesSent(server)).toBe(0);

    const { storedBytes, loadReadBytes, ms } = await page.evaluate(() => tramontane.engine.timeStoreReads());
    expect(storedBytes).toBe(shardBytes(PIECES));
    const allBytes = [...folders.get(PIECES)!.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(loadReadBytes).toBeGreaterThanOrEqual(storedBytes);
    expect(loadReadBytes).toBeLessThanOrEqual(allBytes);
    expect(ms).toBeGreaterThan(0);
  });
});
