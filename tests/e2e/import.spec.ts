/**
 * The model manager's worker in the built site, with files as a person would choose them: into IndexedDB, and from there
 * into the engine.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type BrowserContext, expect, type Page, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';
import type {
  ImportModelOptions,
  ModelManager,
  PendingModelInfo,
  StoredModelInfo,
} from '../../src/engine/api.ts';
import { createBlankModel } from '../tools/blank-model.ts';
import { splitGguf } from '../tools/split-gguf.ts';
import { createTinyMistralGguf, ensureTinyMistral } from '../tools/tiny-mistral.ts';

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi & { manager: ModelManager };

let folder: string;
let server: StaticServer;
let context: BrowserContext;
/** A model of several shards, all of whose weights are zero: its header, which zeros follow. */
let blank: ChosenFile;

test.describe.configure({ mode: 'serial' });

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tramontane-import-'));
  const bytes = createTinyMistralGguf(undefined, 'plain');
  await writeFile(join(folder, 'tiny.gguf'), bytes);
  for (const split of await splitGguf(bytes, 'tiny', 3))
    await writeFile(join(folder, split.name), split.bytes);
  const { header, byteLength } = createBlankModel();
  await writeFile(join(folder, 'blank.gguf'), header);
  blank = { path: 'files/blank.gguf', byteLength };
  server = await startStaticServer({
    mounts: {
      '/some/path/': SITE,
      '/some/path/files/': folder,
      '/some/path/models/tiny-mistral/': (await ensureTinyMistral('plain')).folder,
    },
  });
});

test.beforeEach(async ({ browser }) => {
  context = await browser.newContext();
});

test.afterEach(() => context.close());

test.afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function openPage(): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${server.url}some/path/ask.html`);
  await page.waitForFunction(() => 'tramontane' in globalThis);
  await page.evaluate(async () => {
    tramontane.manager = await tramontane.createManager();
  });
  return page;
}

type Outcome =
  | { stored: StoredModelInfo; startBytes: number; totalBytes: number }
  | { error: { code: string | null; name: string; message: string; nextStep: string | null } };

/** A file that is served beside the site; zeros are added to it up to `byteLength`. */
interface ChosenFile {
  path: string;
  byteLength?: number;
}

/** Imports files as a person who has them on disk would. */
function importFiles(
  page: Page,
  chosen: readonly ChosenFile[],
  options: Pick<ImportModelOptions, 'contextLength' | 'restart'> = {},
): Promise<Outcome> {
  return page.evaluate(
    async ([list, importOptions]) => {
      const zeros = new Blob([new Uint8Array(16 << 20)]);
      const files = await Promise.all(
        list.map(async ({ path, byteLength = 0 }) => {
          const parts = [await (await fetch(path)).blob()];
          let rest = byteLength - parts[0]!.size;
          for (; rest > 0; rest -= zeros.size) parts.push(zeros.slice(0, rest));
          return new File(parts, path.split('/').at(-1)!, { lastModified: 1_700_000_000_000 });
        }),
      );
      let startBytes = -1;
      let totalBytes = 0;
      try {
        const stored = await tramontane.manager.importModel(
          { kind: 'files', files },
          {
            ...importOptions,
            onProgress: (progress) => {
              if (startBytes < 0) startBytes = progress.bytes;
              totalBytes = progress.totalBytes;
            },
          },
        );
        return { stored, startBytes, totalBytes };
      } catch (error) {
        return { error: tramontane.toWireError(error) };
      }
    },
    [chosen, options] as const,
  );
}

/** Greedy answer of a model, as token ids. */
function answer(page: Page, source: { id: string; url?: string }): Promise<number[]> {
  return page.evaluate(async (model) => {
    await tramontane.engine.loadModel(model, { prefillChunkLength: 64 });
    const completion = await tramontane.engine.completeChat({
      messages: [{ role: 'user', content: 'Where does the wind come from?' }],
      temperature: 0,
      max_completion_tokens: 24,
    });
    return completion.token_ids;
  }, source);
}

function storedIds(page: Page): Promise<string[]> {
  return page.evaluate(async () => (await tramontane.manager.listStoredModels()).map(({ id }) => id));
}

function pendingModels(page: Page): Promise<PendingModelInfo[]> {
  return page.evaluate(() => tramontane.manager.listPendingModels());
}

/** Lets a page's workers read so many bytes of files, and then wait for ever: what they do is in its middle. */
async function stallReads(page: Page, afterBytes: number): Promise<void> {
  const stall = (limit: number) => {
    let bytes = 0;
    const { arrayBuffer } = Blob.prototype;
    Blob.prototype.arrayBuffer = async function () {
      bytes += this.size;
      if (bytes > limit) await new Promise(() => {});
      return arrayBuffer.call(this);
    };
  };
  for (const worker of page.workers()) await worker.evaluate(stall, afterBytes);
}

const tiny = { path: 'files/tiny.gguf' };
const split = (number: number) => ({ path: `files/tiny-0000${number}-of-00003.gguf` });

test('a GGUF file is imported, loaded and answers as the folder made from it does', async () => {
  const page = await openPage();
  const expected = await answer(page, {
    id: 'tiny-mistral',
    url: `${server.url}some/path/models/tiny-mistral/`,
  });
  expect(expected.length).toBeGreaterThan(5);
  const outcome = await importFiles(page, [tiny]);
  expect(outcome).toMatchObject({
    stored: { name: 'Tiny Mistral', source: { name: 'tiny.gguf', url: null } },
  });
  const { id } = (outcome as Extract<Outcome, { stored: unknown }>).stored;
  expect(await answer(page, { id })).toEqual(expected);

  // The same in three splits, chosen in another order, replaces it.
  const again = await importFiles(page, [split(3), split(1), split(2)]);
  expect(again).toMatchObject({ stored: { id, source: { name: basename(split(1).path) } } });
  expect(await answer(page, { id })).toEqual(expected);
  expect(await page.evaluate((name) => tramontane.manager.verifyModel(name), id)).toMatchObject({
    damaged: [],
  });
});

test('what is missing is said before anything is stored', async () => {
  const page = await openPage();
  expect(await importFiles(page, [split(1), split(3)])).toMatchObject({
    error: { code: 'format-invalid', message: expect.stringContaining(basename(split(2).path)) },
  });
  expect([await storedIds(page), await pendingModels(page)]).toEqual([[], []]);
});

test('a tab that is closed during an import leaves what it stored, and another goes on from there', async () => {
  const first = await openPage();
  const second = await openPage();
  await stallReads(first, blank.byteLength! / 2);
  // Never answered: the tab is gone before.
  importFiles(first, [blank]).catch(() => undefined);
  await expect.poll(async () => (await pendingModels(second))[0]?.doneBytes ?? 0).toBeGreaterThan(0);
  // Another tab that wants the same is told.
  expect(await importFiles(second, [blank])).toMatchObject({ error: { code: 'model-busy' } });
  await first.close();
  // A tab that is gone lets go of its locks soon after.
  await expect.poll(() => second.evaluate(async () => (await navigator.locks.query()).held?.length)).toBe(0);
  const [pending] = await pendingModels(second);
  expect(pending!.doneBytes).toBeLessThan(pending!.totalBytes);

  const outcome = await importFiles(second, [blank]);
  expect(outcome).toMatchObject({ stored: { name: 'Blank' }, totalBytes: pending!.totalBytes });
  const { startBytes, stored } = outcome as Extract<Outcome, { stored: StoredModelInfo }>;
  expect(startBytes).toBeGreaterThan(pending!.doneBytes);
  expect(await pendingModels(second)).toEqual([]);
  expect(await second.evaluate((id) => tramontane.manager.verifyModel(id), stored.id)).toMatchObject({
    damaged: [],
  });
});
