/**
 * A disk that is full indeed: a profile on a small file system of its own, which something else fills up in the middle
 * of a download. With TRAMONTANE_FULL only, on Linux, as root.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, expect, type Page, test } from 'playwright/test';
import { findChromium } from '../../scripts/lib/chromium.ts';
import { SITE } from '../../scripts/lib/site.ts';
import { startStaticServer } from '../../scripts/lib/static-server.mjs';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import { chromiumArguments } from '../tools/chromium.ts';
import { startHostileServer } from '../tools/hostile-server.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi;

const TINY = 'tiny-mistral';
const SMOLLM2 = 'smollm2';
const MIB = 1 << 20;

/** Brings a model into the store. @returns the error that it ends with */
function bring(page: Page, id: string) {
  return page.evaluate(async (modelId) => {
    const controller = new AbortController();
    const source = { id: modelId, url: new URL(`${modelId}/`, document.baseURI).href };
    try {
      await tramontane.engine.loadModel(source, {
        signal: controller.signal,
        onProgress: ({ phase }) => phase !== 'download' && controller.abort(),
      });
      return null;
    } catch (thrown) {
      if (controller.signal.aborted) return null;
      const { code, nextStep, message } = tramontane.toWireError(thrown);
      return { code, nextStep, message };
    }
  }, id);
}

const verify = (page: Page, id: string) =>
  page.evaluate(async (modelId) => {
    const manager = await tramontane.createManager();
    return (await manager.verifyModel(modelId)).damaged;
  }, id);

test('a file system that is full in the middle of a download: a typed error, no half model, and it goes on', async () => {
  const isPossible = process.platform === 'linux' && process.getuid?.() === 0;
  test.skip(process.env.TRAMONTANE_FULL === undefined || !isPossible, 'a long test, for root on Linux');
  const disk = await mkdtemp(join(tmpdir(), 'tramontane-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=420m', 'tmpfs', disk]);
  const files = new Map<string, Uint8Array>();
  const folders = {
    [TINY]: (await ensureTinyMistral('plain')).folder,
    [SMOLLM2]: join(ROOT, 'public/models/smollm2-135m-instruct'),
  };
  for (const [id, folder] of Object.entries(folders)) {
    for (const name of await readdir(folder)) files.set(`/${id}/${name}`, await readFile(join(folder, name)));
  }
  const site = await startStaticServer({ mounts: { '/': SITE } });
  const server = await startHostileServer(files, {
    chunkBytes: 256 << 10,
    chunkMs: 30,
    elsewhere: site.url,
  });
  const sentBytes = () =>
    server.answers.reduce((sum, { path, sentBytes: sent }) => sum + (path.includes('shard') ? sent : 0), 0);
  try {
    const context = await chromium.launchPersistentContext(join(disk, 'profile'), {
      executablePath: findChromium()!,
      args: chromiumArguments,
    });
    try {
      const page = await context.newPage();
      await page.goto(`${server.url}ask.html`);
      await page.waitForFunction(() => 'tramontane' in globalThis);
      expect(await bring(page, TINY)).toBeNull();

      server.answers.length = 0;
      const filler = join(disk, 'filler');
      const loading = bring(page, SMOLLM2);
      await expect.poll(sentBytes, { intervals: [20] }).toBeGreaterThan(25 * MIB);
      const { bavail, bsize } = await statfs(disk);
      await writeFile(filler, new Uint8Array(bavail * bsize)).catch(() => undefined);
      const error = await loading;
      console.log(`On a full disk: ${error?.code}: ${error?.message}`);
      expect(error).toMatchObject({
        code: expect.stringMatching(/^storage-(quota|failed)$/),
        nextStep: expect.any(String),
      });

      await rm(filler);
      const next = await context.newPage();
      await next.goto(`${server.url}ask.html`);
      await next.waitForFunction(() => 'tramontane' in globalThis);
      const listed = await next.evaluate(() => tramontane.engine.listStoredModels());
      // Chromium may begin a database anew that it could not write to: then nothing is there, and that is what we say.
      const isKept = listed.length > 0;
      if (isKept) expect(await verify(next, TINY)).toEqual([]);
      const pending = await next.evaluate(async () => (await tramontane.createManager()).listPendingModels());
      const keptBytes = pending[0]?.doneBytes ?? 0;
      if (!isKept) expect(pending).toEqual([]);
      server.answers.length = 0;
      expect(await bring(next, SMOLLM2)).toBeNull();
      const shardBytes = [...files]
        .filter(([path]) => path.includes(`/${SMOLLM2}/params_shard`))
        .reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
      console.log(
        `The database was ${isKept ? 'kept' : 'begun anew by the browser'}; ${keptBytes} bytes were kept, and ` +
          `${sentBytes()} of ${shardBytes} fetched once there was room`,
      );
      expect(sentBytes()).toBe(shardBytes - keptBytes);
      expect(await verify(next, SMOLLM2)).toEqual([]);
      if (isKept) expect(await verify(next, TINY)).toEqual([]);
    } finally {
      await context.close();
    }
  } finally {
    await server.close();
    await site.close();
    execFileSync('umount', [disk]);
    await rm(disk, { recursive: true, force: true });
  }
});
