/**
 * An import of Mistral Small's size by address in a real browser, into IndexedDB on a disk: 4 GB of it, with the memory
 * of the page's process watched. What V8 has not collected yet is not ours: it is told to before each look. With
 * TRAMONTANE_FULL only.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { chromium, expect, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { startStaticServer } from '../../scripts/lib/static-server.mjs';
import { chromiumArguments, findChromium } from '../tools/chromium.ts';
import { firstLine, startScript } from '../tools/first-line.ts';
import { readBrowserMemory } from '../tools/process-memory.ts';

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi;

const LEAST_BYTES = 4e9;
/**
 * What the process may grow by. We hold less (tests/import/long-import.test.ts: the whole of Node in 512 MiB); WebCrypto's
 * and Blob's copies of a shard, and what the allocator keeps, are in a renderer's figure, too.
 */
const MEMORY_BYTES = 640 * 2 ** 20;
const TIMEOUT_MS = 3_000_000;

test('4 GB of a file of 14 GB, in bounded memory', async () => {
  const isPossible = process.env.TRAMONTANE_FULL !== undefined && existsSync('/proc/self/status');
  test.skip(!isPossible, 'a long test');
  test.setTimeout(TIMEOUT_MS);
  const profile = await mkdtemp(join(tmpdir(), 'tramontane-profile-'));
  const site = await startStaticServer({ mounts: { '/': SITE } });
  // In a process of its own; of the page's origin, since only the import page may read from others.
  const synthetic = startScript('tools/serve-synthetic.ts', [site.url]);
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: findChromium()!,
    args: [...chromiumArguments, '--js-flags=--expose-gc'],
  });
  try {
    const address = await firstLine(synthetic);
    const page = await context.newPage();
    await page.goto(new URL('ask.html', address).href);
    await page.waitForFunction(() => 'tramontane' in globalThis);
    await page.evaluate(async () => {
      await (await tramontane.createManager()).listPendingModels();
    });
    const idle = readBrowserMemory(profile);

    const reading = page.evaluate(
      async ([url, mostBytes]) => {
        const controller = new AbortController();
        const manager = await tramontane.createManager();
        const startMs = performance.now();
        const first = { ms: 0, bytes: -1 };
        const last = { ms: 0, bytes: 0, totalBytes: 0 };
        const onProgress = ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) => {
          const ms = performance.now() - startMs;
          if (first.bytes < 0) Object.assign(first, { ms, bytes });
          Object.assign(last, { ms, bytes, totalBytes });
          Object.assign(globalThis, { imported: bytes });
          if (bytes >= mostBytes) controller.abort();
        };
        try {
          const options = { signal: controller.signal, onProgress };
          await manager.importModel({ kind: 'address', address: url }, options);
          return { error: 'it ended', first, last, pending: null };
        } catch (error) {
          const [pending] = await manager.listPendingModels();
          const message = controller.signal.aborted ? null : String(error);
          return { error: message, first, last, pending: pending ?? null };
        }
      },
      [address, LEAST_BYTES] as const,
    );
    let isOver = false;
    const ended = reading.finally(() => {
      isOver = true;
    });
    const peak = new Map(idle);
    for (let round = 0; !isOver; round++) {
      for (const worker of page.workers()) {
        await worker.evaluate(() => (globalThis as unknown as { gc(): void }).gc());
      }
      for (const [type, bytes] of readBrowserMemory(profile)) {
        peak.set(type, Math.max(bytes, peak.get(type) ?? 0));
      }
      if (round % 100 === 0) {
        const imported = await page.evaluate(() => (globalThis as { imported?: number }).imported ?? 0);
        console.log(`${(imported / 1e9).toFixed(2)} GB, ${describe(peak, idle)}`);
      }
      await wait(200);
    }
    const { error, first, last, pending } = await ended;
    const gigabytesPerMinute = ((last.bytes - first.bytes) / 1e9 / (last.ms - first.ms)) * 60_000;
    console.log(
      `Header, plan and first bytes ${(first.ms / 1000).toFixed(1)} s; ${(last.bytes / 1e9).toFixed(2)} GB in ` +
        `${((last.ms - first.ms) / 1000).toFixed(0)} s: ${gigabytesPerMinute.toFixed(2)} GB/min, ` +
        `${(last.totalBytes / 1e9 / gigabytesPerMinute).toFixed(1)} min for ${(last.totalBytes / 1e9).toFixed(1)} GB; ` +
        describe(peak, idle),
    );
    expect(error).toBeNull();
    expect(last.totalBytes).toBeGreaterThan(14e9);
    expect(last.bytes).toBeGreaterThanOrEqual(LEAST_BYTES);
    // What the aborted import has fetched is kept.
    expect(pending?.doneBytes).toBeGreaterThan(0.95 * LEAST_BYTES);
    expect(peak.get('renderer')! - idle.get('renderer')!).toBeLessThan(MEMORY_BYTES);
  } finally {
    await context.close();
    await site.close();
    synthetic.kill();
    await rm(profile, { recursive: true, force: true });
  }
});

function describe(peak: ReadonlyMap<string, number>, idle: ReadonlyMap<string, number>): string {
  const mebibytes = (bytes = 0) => (bytes / 2 ** 20).toFixed(0);
  const parts = Array.from(
    peak,
    ([type, bytes]) => `${type} ${mebibytes(bytes)} (idle ${mebibytes(idle.get(type))})`,
  );
  return `most MiB: ${parts.join(', ')}`;
}
