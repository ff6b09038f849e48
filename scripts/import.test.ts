import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHostileServer } from '../tests/tools/hostile-server.ts';
import { startHubServer } from '../tests/tools/hub-server.ts';
import { createMlcFolder } from '../tests/tools/mlc-folder.ts';
import { ensureSmolLm2File } from '../tests/tools/smollm2.ts';
import { splitGguf } from '../tests/tools/split-gguf.ts';
import { ensureTinyMistral } from '../tests/tools/tiny-mistral.ts';

let folder: string;
let gguf: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tramontane-'));
  gguf = (await ensureTinyMistral()).gguf;
});
afterAll(() => rmSync(folder, { recursive: true }));

function start(
  args: string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; stderr: string }> {
  const command = ['--import', 'tsx', join(import.meta.dirname, 'import.ts'), ...args];
  const child = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stderr }));
  });
}

test('imports a file, refuses to write over it, and replaces it when told to', async () => {
  const out = join(folder, 'tiny');
  const first = await start([gguf, '--out', out, '--context', '512']);
  expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('Tiny Mistral') });
  expect(readdirSync(folder)).toEqual(['tiny']);
  const config = readFileSync(join(out, 'mlc-chat-config.json'), 'utf8');
  expect(JSON.parse(config).context_window_size).toBe(512);

  const second = await start([gguf, '--out', out]);
  expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') });
  expect(readFileSync(join(out, 'mlc-chat-config.json'), 'utf8')).toBe(config);

  expect((await start([gguf, '--out', out, '--force', '--name', 'Other'])).code).toBe(0);
  expect(JSON.parse(readFileSync(join(out, 'mlc-chat-config.json'), 'utf8')).tramontane.name).toBe('Other');
});

test('a broken file fails with what to do, a missing one as wrong usage', async () => {
  const out = join(folder, 'broken');
  const broken = await start([join(import.meta.dirname, 'import.ts'), '--out', out]);
  expect(broken).toMatchObject({ code: 1, stderr: expect.stringContaining('Choose a GGUF file.') });
  expect((await start([join(folder, 'absent.gguf'), '--out', out])).code).toBe(2);
  const foreign = await start([gguf, '--out', import.meta.dirname, '--force']);
  expect(foreign).toMatchObject({ code: 2, stderr: expect.stringContaining('not of a model') });
  expect(readdirSync(folder)).not.toContain('broken');
});

test('splits and addresses give the same folder as the file', async () => {
  const bytes = new Uint8Array(readFileSync(gguf));
  const splits = await splitGguf(bytes, 'tiny', 3);
  for (const split of splits) writeFileSync(join(folder, split.name), split.bytes);
  const server = await startHostileServer(new Map([['/tiny.gguf', bytes]]));
  const shards = (name: string) => {
    const cache = JSON.parse(readFileSync(join(folder, name, 'tensor-cache.json'), 'utf8'));
    return cache.records.map((record: { sha256: string }) => record.sha256);
  };
  try {
    for (const [source, out] of [
      [gguf, 'whole'],
      [join(folder, splits[1]!.name), 'splits'],
      [`${server.url}tiny.gguf`, 'address'],
    ] as const) {
      expect(await start([source, '--out', join(folder, out)])).toMatchObject({ code: 0 });
    }
    expect(shards('splits')).toEqual(shards('whole'));
    expect(shards('address')).toEqual(shards('whole'));
  } finally {
    await server.close();
  }
  rmSync(join(folder, splits[1]!.name));
  const missing = await start([join(folder, splits[0]!.name), '--out', join(folder, 'missing')]);
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining(splits[1]!.name) });
  const wrong = await start(['hf:nobody', '--out', join(folder, 'wrong')]);
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('address-invalid') });
});

test('a repository: its GGUF of a quantization; without one, what there is', async () => {
  const bytes = new Uint8Array(readFileSync(gguf));
  const names = ['tiny-Q4_0.gguf', 'tiny-Q8_0.gguf'];
  const listed = names.map((path) => ({ path, byteLength: bytes.byteLength }));
  const hub = await startHubServer(new Map([['o/tiny', listed]]));
  const server = await startHostileServer(new Map([['/o/tiny/resolve/main/tiny-Q4_0.gguf', bytes]]), {
    elsewhere: hub.url,
  });
  const importFrom = (source: string, out: string, endpoint = server.url.slice(0, -1)) =>
    start([source, '--out', join(folder, out)], { HF_ENDPOINT: endpoint });
  try {
    expect(await importFrom('hf:o/tiny:q4_0', 'by-tag')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('Tiny Mistral'),
    });
    const several = await importFrom('hf:o/tiny', 'several');
    expect(several).toMatchObject({ code: 1, stderr: expect.stringContaining('hf:o/tiny:Q4_0') });
    for (const name of names) expect(several.stderr).toContain(name);
    expect((await importFrom('hf:o/tiny', 'several', 'nowhere')).code).toBe(2);
  } finally {
    await server.close();
    await hub.close();
  }
});

test('a folder in MLC’s layout', async () => {
  const source = join(folder, 'Tiny-q4f16_1-MLC');
  mkdirSync(source);
  for (const [name, bytes] of createMlcFolder().files) writeFileSync(join(source, name), bytes);
  const out = join(folder, 'mlc');
  expect(await start([source, '--out', out])).toMatchObject({ code: 0 });
  const config = JSON.parse(readFileSync(join(out, 'mlc-chat-config.json'), 'utf8'));
  expect(config.tramontane).toMatchObject({ name: 'Tiny', quantization: 'q4f16_1', template: 'mistral-v11' });
});

test.skipIf(process.platform === 'win32')('interrupted, it goes on where it was', async () => {
  const source = await ensureSmolLm2File();
  const out = join(folder, 'interrupted');
  const partial = `${out}.partial`;
  // By itself: another process may look too late on a busy machine.
  const interrupt = `import { existsSync } from 'node:fs';
    const watch = setInterval(() => {
      if (!existsSync(${JSON.stringify(join(partial, 'import-state.json'))})) return;
      clearInterval(watch);
      process.kill(process.pid, 'SIGINT');
    }, 1);`;
  const first = await start([source, '--out', out], {
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(interrupt)}`,
  });
  expect(first).toMatchObject({ code: 130, stderr: expect.stringContaining('to go on') });
  expect(existsSync(out)).toBe(false);
  const kept = statSync(join(partial, 'params_shard_0.bin'));

  expect(await start([source, '--out', out])).toMatchObject({ code: 0 });
  // Not written again, and nothing of the way there is left.
  expect(statSync(join(out, 'params_shard_0.bin')).mtimeMs).toBe(kept.mtimeMs);
  expect(readdirSync(folder).filter((name) => name.startsWith('interrupted'))).toEqual(['interrupted']);
  const cache = JSON.parse(readFileSync(join(out, 'tensor-cache.json'), 'utf8'));
  expect(readdirSync(out).sort()).toEqual(
    [
      ...cache.records.map(({ dataPath }: { dataPath: string }) => dataPath),
      'mlc-chat-config.json',
      'tensor-cache.json',
      'tokenizer.json',
    ].sort(),
  );
  for (const { dataPath, sha256 } of cache.records) {
    const contents = readFileSync(join(out, dataPath));
    expect(createHash('sha256').update(contents).digest('hex'), dataPath).toBe(sha256);
  }
});
