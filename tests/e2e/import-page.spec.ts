/**
 * The import and storage pages with the real manager: a GGUF by picker, by drop and by address goes into the weight
 * store, answers as the folder made from the same file does, token for token, and is verified, exported and deleted.
 * With TRAMONTANE_FULL also SmolLM2's public GGUF, against the built-in model.
 */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type BrowserContext, expect, type Page, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import { type HostileServer, startHostileServer } from '../tools/hostile-server.ts';
import { startHubServer } from '../tools/hub-server.ts';
import { createMlcFolder } from '../tools/mlc-folder.ts';
import { TINY_MODELS_JSON } from '../tools/site-models.ts';
import { ensureSmolLm2File } from '../tools/smollm2.ts';
import { splitGguf } from '../tools/split-gguf.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi;

const PATH = 'some/path/';
const TINY_ID = 'tiny-mistral-q4_0';

let folder: string;
let gguf: string;
let site: StaticServer;
/** Another origin, with byte ranges; without faults, it is an honest server. */
let elsewhere: HostileServer;
let context: BrowserContext;
let page: Page;
const complaints: string[] = [];

test.beforeAll(async () => {
  const tiny = await ensureTinyMistral('plain');
  gguf = tiny.gguf;
  folder = await mkdtemp(join(tmpdir(), 'tramontane-import-'));
  await writeFile(join(folder, 'models.json'), TINY_MODELS_JSON);
  site = await startStaticServer({
    mounts: {
      [`/${PATH}`]: SITE,
      [`/${PATH}models/`]: folder,
      [`/${PATH}models/tiny-mistral/`]: tiny.folder,
      [`/${PATH}models/smollm2/`]: join(ROOT, 'public/models/smollm2-135m-instruct'),
    },
  });
  elsewhere = await startHostileServer(new Map([['/tiny-mistral.gguf', await readFile(gguf)]]));
});

test.afterAll(async () => {
  await elsewhere?.close();
  await site?.close();
  await rm(folder, { recursive: true, force: true });
});

test.beforeEach(async ({ browser }) => {
  complaints.length = 0;
  context = await browser.newContext();
  context.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(error.error().message));
  page = await context.newPage();
});

test.afterEach(async () => {
  await context.close();
});

const open = (name: string) => page.goto(`${site.url}${PATH}${name}`);

/** Ids of a greedy answer by a model in the weight store, or in a folder of this site. */
async function answer(id: string, url?: string): Promise<number[]> {
  await open('ask.html');
  await page.waitForFunction(() => 'tramontane' in globalThis);
  return page.evaluate(
    async ([modelId, folderUrl]) => {
      const source = folderUrl === null ? {} : { url: new URL(folderUrl, document.baseURI).href };
      await tramontane.engine.loadModel({ id: modelId, ...source }, { prefillChunkLength: 64 });
      const completion = await tramontane.engine.completeChat({
        messages: [{ role: 'user', content: 'Where does the wind come from?' }],
        temperature: 0,
        max_completion_tokens: 16,
      });
      return completion.token_ids;
    },
    [id, url ?? null] as const,
  );
}

async function choose(paths: string[]): Promise<void> {
  const choosing = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Choose files' }).click();
  await (await choosing).setFiles(paths);
}

/** @param url where a server of another origin has the file */
const WAYS: Record<string, (file: string, url: string) => Promise<void>> = {
  picker: (file) => choose([file]),
  splits: async (file) => {
    const splits = await splitGguf(new Uint8Array(await readFile(file)), basename(file, '.gguf'), 3);
    const paths = splits.map(({ name }) => join(folder, name));
    for (const [i, { bytes }] of splits.entries()) await writeFile(paths[i]!, bytes);
    await choose(paths.reverse());
  },
  drop: async (file, url) => {
    await page.evaluate(
      async ([address, name]) => {
        const contents = await (await fetch(address)).blob();
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([contents], name));
        for (const type of ['dragover', 'drop']) {
          document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        }
      },
      [url, basename(file)] as const,
    );
  },
  address: async (_, url) => {
    await page.getByRole('textbox', { name: 'Or an address' }).fill(url);
    await page.getByRole('button', { name: 'Look at it' }).click();
  },
};

/** @returns the model as the page then knows it */
async function bring(
  way: string,
  file: string,
  server: HostileServer = elsewhere,
): Promise<{ id: string; name: string }> {
  await open('import.html');
  await WAYS[way]!(file, `${server.url}${basename(file)}`);
  const importing = page.getByRole('button', { name: 'Import', exact: true });
  await expect(importing).toBeEnabled();
  await importing.click();
  const heading = page.getByRole('heading', { name: /is on this device$/ });
  await expect(heading).toBeVisible();
  const link = await page.getByRole('link', { name: 'Chat with it' }).getAttribute('href');
  return {
    id: new URL(link ?? '', page.url()).searchParams.get('model') ?? '',
    name: ((await heading.textContent()) ?? '').replace(/ is on this device$/, '').trim(),
  };
}

async function discard(name: string): Promise<void> {
  await open('storage.html');
  await page.getByRole('button', { name: `Delete ${name}` }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(page.getByRole('button', { name: `Delete ${name}` })).toBeHidden();
}

test('by picker (whole or in splits), drop and address: the answers of the folder, token for token', async () => {
  const expected = await answer('tiny-mistral', 'models/tiny-mistral/');
  expect(expected.length).toBeGreaterThan(8);
  await discard('Tiny Mistral');
  for (const way of Object.keys(WAYS)) {
    expect(await bring(way, gguf)).toEqual({ id: TINY_ID, name: 'Tiny Mistral' });
    expect(await answer(TINY_ID), way).toEqual(expected);
    await discard('Tiny Mistral');
  }
  expect(complaints).toEqual([]);
});

test('by the address of a repository: its builds, one of them chosen, and nobody else asked', async () => {
  const { size } = await stat(gguf);
  const hub = await startHubServer(
    new Map([
      [
        'owner/repo',
        [
          { path: 'tiny-Q2_K.gguf', byteLength: size },
          { path: 'tiny-Q4_0.gguf', byteLength: size },
          { path: 'tiny-Q8_0.gguf', byteLength: size },
        ],
      ],
    ]),
    { pageFiles: 2 },
  );
  const asked: string[] = [];
  // The worker's own requests, which the page's content security policy has let through.
  await context.route('https://huggingface.co/**', async (route) => {
    const { pathname, search } = new URL(route.request().url());
    asked.push(pathname + search);
    const isList = pathname.startsWith('/api/');
    const url = isList ? `${hub.url.slice(0, -1)}${pathname}${search}` : `${elsewhere.url}tiny-mistral.gguf`;
    const response = await route.fetch({ url });
    const link = response.headers().link?.replaceAll(hub.url, 'https://huggingface.co/');
    const headers = { ...response.headers(), ...(link === undefined ? {} : { link }) };
    if (!isList && pathname.endsWith('.json')) await route.fulfill({ status: 404, headers, body: '' });
    else await route.fulfill({ response, headers });
  });
  try {
    await open('import.html');
    await WAYS.address!('', 'https://huggingface.co/owner/repo');
    await expect(page.getByRole('heading', { name: 'Builds in owner/repo' })).toBeVisible();
    await expect(page.getByText('1 more in formats that cannot run here')).toBeVisible();
    const tree = '/api/models/owner/repo/tree/main?recursive=true';
    expect(asked).toEqual([tree, `${tree}&cursor=2`]);
    await page.getByRole('button', { name: /^Choose Q4_0/ }).click();
    await page.getByRole('button', { name: 'Import', exact: true }).click({ timeout: 60_000 });
    await expect(page.getByRole('heading', { name: /is on this device$/ })).toBeVisible({ timeout: 60_000 });
    // The file, and one page of the list for its hash, even where the list goes on.
    expect(new Set(asked.slice(2))).toEqual(
      new Set([
        '/owner/repo/resolve/main/tiny-Q4_0.gguf',
        '/api/models/owner/repo/tree/main?recursive=false',
      ]),
    );
    await page.getByRole('button', { name: 'Import another' }).click();
    await WAYS.address!('', 'hf:owner/repo');
    const row = page.getByRole('listitem').filter({ hasText: 'Q4_0' });
    await expect(row).toContainText('On this device');
  } finally {
    await hub.close();
  }
  await discard('Tiny Mistral');
  expect(complaints).toEqual([]);
});

test('an imported model is verified and exported, and the chat opens with it', async () => {
  await bring('picker', gguf);
  await open('storage.html');
  await page.getByRole('button', { name: 'Verify Tiny Mistral' }).click();
  await expect(page.getByText('Whole.', { exact: true })).toBeVisible();
  const downloading = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export Tiny Mistral' }).click();
  const archive = await readFile(await (await downloading).path());
  expect(archive.toString('latin1', 257, 262)).toBe('ustar');
  expect(archive.includes('mlc-chat-config.json')).toBe(true);
  await page.getByRole('link', { name: 'Chat with Tiny Mistral' }).click();
  await expect(page.locator('tramontane-chat .status.ready')).toBeVisible();
  await expect(page.locator('tramontane-chat .status-text')).toHaveText('Tiny Mistral');
  expect(complaints).toEqual([]);
});

test('a folder in MLC’s layout that is dropped keeps its name, and its own files', async () => {
  const dropped = join(folder, 'my-mistral');
  await mkdir(join(dropped, 'old'), { recursive: true });
  for (const [name, bytes] of createMlcFolder().files) await writeFile(join(dropped, name), bytes);
  await writeFile(join(dropped, 'old/tokenizer.json'), 'another');
  await open('import.html');
  await expect(page.getByRole('button', { name: 'Choose a folder' })).toBeVisible();
  const session = await context.newCDPSession(page);
  const data = { items: [], files: [dropped], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, x: 200, y: 200, data });
  }
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByRole('link', { name: 'Chat with it' })).toHaveAttribute(
    'href',
    /model=my-mistral-q4f16_1$/,
  );
  expect(complaints).toEqual([]);
});

test('the GPU is tested without harm: what is asked for is granted', async () => {
  await open('ask.html');
  await page.waitForFunction(() => 'tramontane' in globalThis);
  const wantedBytes = 64 * 2 ** 20;
  const probe = await page.evaluate(async (bytes) => {
    const manager = await tramontane.createManager();
    try {
      return await manager.probeGpuMemory(bytes);
    } finally {
      await manager.dispose();
    }
  }, wantedBytes);
  expect(probe).toEqual({ wantedBytes, grantedBytes: wantedBytes });
});

test('a file that is no model is refused, and the page goes on', async () => {
  const file = join(folder, 'notes.gguf');
  await writeFile(file, 'these are notes and no model at all');
  await open('import.html');
  await WAYS.picker!(file, '');
  await expect(page.getByRole('alert')).toContainText(/GGUF/);
  await expect(page.getByRole('button', { name: 'Choose files' })).toBeEnabled();
});

test('SmolLM2’s public GGUF answers as the built-in model does, token for token', async () => {
  test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
  test.setTimeout(1_200_000);
  const file = await ensureSmolLm2File();
  const server = await startHostileServer(new Map([[`/${basename(file)}`, await readFile(file)]]));
  try {
    const expected = await answer('smollm2', 'models/smollm2/');
    expect(expected).toHaveLength(16);
    for (const way of Object.keys(WAYS)) {
      const { id, name } = await bring(way, file, server);
      expect(await answer(id), way).toEqual(expected);
      await discard(name);
    }
    expect(complaints).toEqual([]);
  } finally {
    await server.close();
  }
});
