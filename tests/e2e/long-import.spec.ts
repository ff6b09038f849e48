/**
 * An import of Mistral Small's size by address in a real browser, into IndexedDB on a disk: 4 GB of it, with the memory
 * of the page's process watched. Nothing is attached to the page meanwhile: DevTools' side of a browser keeps a copy of
 * what is fetched, 180 MiB and more of it. With TRAMONTANE_FULL only.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { chromium, expect, type Page, test } from 'playwright/test';
import { findChromium } from '../../scripts/lib/chromium.ts';
import { SITE } from '../../scripts/lib/site.ts';
import { startStaticServer } from '../../scripts/lib/static-server.mjs';
import { chromiumArguments } from '../tools/chromium.ts';
import { firstLine, startScript } from '../tools/first-line.ts';
import { readBrowserMemory } from '../tools/process-memory.ts';

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi;

const LEAST_BYTES = 4e9;
/**
 * What the page's process may grow by: 330 to 365 MiB were seen, of which we hold about 230 (a shard, a copy of it that
 * WebCrypto or a Blob makes, a window of what is fetched). The browser's process has Blobs until they are on the disk and
 * their handles have been collected: 290 to 370 MiB were seen.
 */
const MEMORY_BYTES = { renderer: 448 * 2 ** 20, browser: 640 * 2 ** 20 };
const TIMEOUT_MS = 3_000_000;

/** What the page tells of its import, in its title: that is seen without anything attached. */
interface Told {
  firstMs: number;
  firstBytes: number;
  ms: number;
  bytes: number;
  totalBytes: number;
  isOver: boolean;
  error: string | null;
  pendingBytes: number;
}

test('4 GB of a file of 14 GB, in bounded memory', async () => {
  const isPossible = process.env.TRAMONTANE_FULL !== undefined && existsSync('/proc/self/status');
  test.skip(!isPossible, 'a long test');
  test.setTimeout(TIMEOUT_MS);
  const profile = await mkdtemp(join(tmpdir(), 'tramontane-profile-'));
  const site = await startStaticServer({ mounts: { '/': SITE } });
  // In a process of its own; of the page's origin, since only the import page may read from others.
  const synthetic = startScript('tools/serve-synthetic.ts', [site.url]);
  const browser = spawn(
    findChromium()!,
    [
      ...chromiumArguments,
      '--headless=new',
      `--user-data-dir=${profile}`,
      '--remote-debugging-port=0',
      'about:blank',
    ],
    { stdio: 'ignore' },
  );
  try {
    const address = await firstLine(synthetic);
    const endpoint = await debuggingEndpoint(profile);
    await withPage(endpoint, async (page) => {
      await page.goto(new URL('ask.html', address).href);
      await page.waitForFunction(() => 'tramontane' in globalThis);
      await page.evaluate(async () => {
        const manager = await tramontane.createManager();
        await manager.listPendingModels();
        Object.assign(globalThis, { manager });
      });
    });
    await wait(2000);
    const idle = readBrowserMemory(profile);
    await withPage(endpoint, async (page) => {
      await page.evaluate(startImport, [address, LEAST_BYTES] as const);
      // A worker that has just begun waits for whoever is attached.
      await page.waitForFunction(() => document.title.startsWith('{'));
    });

    const peak = new Map(idle);
    let told: Told | null = null;
    for (let round = 0; told?.isOver !== true; round++) {
      for (const [type, bytes] of readBrowserMemory(profile)) {
        peak.set(type, Math.max(bytes, peak.get(type) ?? 0));
      }
      told = await readTold(endpoint, told);
      if (round % 100 === 0)
        console.log(`${((told?.bytes ?? 0) / 1e9).toFixed(2)} GB, ${describe(peak, idle)}`);
      await wait(200);
    }
    const { firstMs, firstBytes, ms, bytes, totalBytes } = told;
    const gigabytesPerMinute = ((bytes - firstBytes) / 1e9 / (ms - firstMs)) * 60_000;
    console.log(
      `Header, plan and first bytes ${(firstMs / 1000).toFixed(1)} s; ${(bytes / 1e9).toFixed(2)} GB in ` +
        `${((ms - firstMs) / 1000).toFixed(0)} s: ${gigabytesPerMinute.toFixed(2)} GB/min, ` +
        `${(totalBytes / 1e9 / gigabytesPerMinute).toFixed(1)} min for ${(totalBytes / 1e9).toFixed(1)} GB; ` +
        describe(peak, idle),
    );
    expect(told.error).toBeNull();
    expect(totalBytes).toBeGreaterThan(14e9);
    expect(bytes).toBeGreaterThanOrEqual(LEAST_BYTES);
    // What the aborted import has fetched is kept.
    expect(told.pendingBytes).toBeGreaterThan(0.95 * LEAST_BYTES);
    for (const [type, mostBytes] of Object.entries(MEMORY_BYTES)) {
      expect(peak.get(type)! - idle.get(type)!, type).toBeLessThan(mostBytes);
    }
  } finally {
    await end(browser);
    await site.close();
    synthetic.kill();
    await rm(profile, { recursive: true, force: true });
  }
});

/** What the page holds: as on the import page, one worker. */
interface Prepared {
  manager: Awaited<ReturnType<CommandApi['createManager']>>;
}

/** Runs in the page. Begins an import, ends it when so much has come, and tells of it in the page's title. */
async function startImport([url, mostBytes]: readonly [string, number]): Promise<void> {
  const controller = new AbortController();
  const { manager } = globalThis as unknown as Prepared;
  const startMs = performance.now();
  const told = {
    firstMs: 0,
    firstBytes: -1,
    ms: 0,
    bytes: 0,
    totalBytes: 0,
    isOver: false,
    error: 'it ended' as string | null,
    pendingBytes: 0,
  };
  const tell = () => {
    document.title = JSON.stringify(told);
  };
  const onProgress = ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) => {
    const ms = performance.now() - startMs;
    if (told.firstBytes < 0) Object.assign(told, { firstMs: ms, firstBytes: bytes });
    Object.assign(told, { ms, bytes, totalBytes });
    if (bytes >= mostBytes) controller.abort();
    tell();
  };
  manager
    .importModel({ kind: 'address', address: url }, { signal: controller.signal, onProgress })
    .catch(async (error) => {
      const [pending] = await manager.listPendingModels();
      told.error = controller.signal.aborted ? null : String(error);
      told.pendingBytes = pending?.doneBytes ?? 0;
    })
    .finally(() => {
      told.isOver = true;
      tell();
    });
}

async function debuggingEndpoint(profile: string): Promise<string> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const text = await readFile(join(profile, 'DevToolsActivePort'), 'utf8').catch(() => '');
    if (text !== '') return `http://127.0.0.1:${text.split('\n')[0]}`;
    await wait(200);
  }
  throw new Error('the browser did not start');
}

/** Attaches to the browser's one page, and lets go of it again. */
async function withPage(endpoint: string, use: (page: Page) => Promise<void>): Promise<void> {
  const browser = await chromium.connectOverCDP(endpoint);
  try {
    await use(browser.contexts()[0]!.pages()[0]!);
  } finally {
    await browser.close();
  }
}

/** @param before what it said last, for when it says nothing readable */
async function readTold(endpoint: string, before: Told | null): Promise<Told | null> {
  const targets = (await (await fetch(`${endpoint}/json/list`)).json()) as { type: string; title: string }[];
  // The list is made for reading in a page.
  const title = targets.find(({ type }) => type === 'page')?.title.replaceAll('&quot;', '"') ?? '';
  return title.startsWith('{') ? (JSON.parse(title) as Told) : before;
}

async function end(browser: ChildProcess): Promise<void> {
  if (browser.exitCode !== null) return;
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  browser.kill();
  await ended;
}

function describe(peak: ReadonlyMap<string, number>, idle: ReadonlyMap<string, number>): string {
  const mebibytes = (bytes = 0) => (bytes / 2 ** 20).toFixed(0);
  const parts = Array.from(
    peak,
    ([type, bytes]) => `${type} ${mebibytes(bytes)} (idle ${mebibytes(idle.get(type))})`,
  );
  return `most MiB: ${parts.join(', ')}`;
}
