/** `npm start`, without the browser that it opens: the page it names, the built-in model's files, its end. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { TENSOR_CACHE_FILE } from '../../src/models/model-files.ts';
import { runScript } from '../tools/run-script.ts';

interface TensorCache {
  records: { dataPath: string; nbytes: number; sha256: string }[];
}

const BUILT_IN = 'models/smollm2-135m-instruct/';

test('serves the built site and its model where it says, until it is interrupted', async () => {
  let visit: Promise<void> | null = null;
  let url = '';
  const { code, stdout, stderr } = await runScript('start.mjs', ['--no-open', '--port', '0'], {
    onOutput(output, child) {
      const named = /Tramontane is at (http:\S+)/.exec(output.stdout);
      if (visit !== null || named === null) return;
      url = named[1]!;
      visit = look(url).finally(() => child.kill('SIGINT'));
      // Awaited below; until then nobody listens.
      visit.catch(() => undefined);
    },
  });
  expect(url, stderr).not.toBe('');
  await visit;
  expect(code, stdout + stderr).toBe(0);
  await expect(fetch(url)).rejects.toThrow();
});

async function look(url: string): Promise<void> {
  const get = (path: string, init?: RequestInit) => fetch(new URL(path, url), init);
  const page = await get('');
  expect(page.headers.get('content-type')).toMatch(/^text\/html/);
  const html = await page.text();
  expect(html).toBe(await readFile(join(SITE, 'index.html'), 'utf8'));
  const script = await get(/<script[^>]+src="([^"]+\.js)"/.exec(html)![1]!);
  expect([script.status, script.headers.get('content-type')]).toEqual([
    200,
    expect.stringMatching(/^text\/javascript/),
  ]);

  const models = (await (await get('models/models.json')).json()) as { models: { id: string }[] };
  expect(models.models.map(({ id }) => `models/${id}/`)).toContain(BUILT_IN);
  const cache = (await (await get(BUILT_IN + TENSOR_CACHE_FILE)).json()) as TensorCache;
  const { dataPath, nbytes, sha256 } = cache.records[0]!;
  const shard = await get(BUILT_IN + dataPath);
  expect(Object.fromEntries(shard.headers)).toMatchObject({
    'content-type': 'application/octet-stream',
    'content-length': String(nbytes),
    'accept-ranges': 'bytes',
    etag: expect.stringMatching(/./),
  });
  const bytes = new Uint8Array(await shard.arrayBuffer());
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
  const part = await get(BUILT_IN + dataPath, { headers: { range: 'bytes=10-19' } });
  expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 10-19/${nbytes}`]);
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.subarray(10, 20));
}

test('an option that it does not know: 2, and nothing is built', async () => {
  const { code, stdout, stderr } = await runScript('start.mjs', ['--port', 'x']);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain('--port must be a number from 0 to 65535, got "x"');
});
