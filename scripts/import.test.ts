import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureTinyMistral } from '../tests/tools/tiny-mistral.ts';

let folder: string;
let gguf: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tramontane-'));
  gguf = (await ensureTinyMistral()).gguf;
});
afterAll(() => rmSync(folder, { recursive: true }));

function start(args: string[]): {
  child: ChildProcess;
  end: Promise<{ code: number | null; stderr: string }>;
} {
  const command = ['--import', 'tsx', join(import.meta.dirname, 'import.ts'), ...args];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const end = new Promise<{ code: number | null; stderr: string }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stderr }));
  });
  return { child, end };
}

test('imports a file, refuses to write over it, and replaces it when told to', async () => {
  const out = join(folder, 'tiny');
  const first = await start([gguf, '--out', out, '--context', '512']).end;
  expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('Tiny Mistral') });
  expect(readdirSync(folder)).toEqual(['tiny']);
  const config = readFileSync(join(out, 'mlc-chat-config.json'), 'utf8');
  expect(JSON.parse(config).context_window_size).toBe(512);

  const second = await start([gguf, '--out', out]).end;
  expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining('--force') });
  expect(readFileSync(join(out, 'mlc-chat-config.json'), 'utf8')).toBe(config);

  expect((await start([gguf, '--out', out, '--force', '--name', 'Other']).end).code).toBe(0);
  expect(JSON.parse(readFileSync(join(out, 'mlc-chat-config.json'), 'utf8')).tramontane.name).toBe('Other');
});

test('a broken file fails with what to do, a missing one as wrong usage', async () => {
  const out = join(folder, 'broken');
  const broken = await start([join(import.meta.dirname, 'import.ts'), '--out', out]).end;
  expect(broken).toMatchObject({ code: 1, stderr: expect.stringContaining('Choose a GGUF file.') });
  expect((await start([join(folder, 'absent.gguf'), '--out', out]).end).code).toBe(2);
  const foreign = await start([gguf, '--out', import.meta.dirname, '--force']).end;
  expect(foreign).toMatchObject({ code: 2, stderr: expect.stringContaining('not of a model') });
  expect(readdirSync(folder)).not.toContain('broken');
});

test.skipIf(process.platform === 'win32')('interrupted, it leaves nothing behind', async () => {
  const models = join(import.meta.dirname, '../models/smollm2-135m-instruct');
  const { file } = JSON.parse(readFileSync(join(models, 'source.json'), 'utf8'));
  const whole = join(folder, file.name);
  for (const part of file.parts) appendFileSync(whole, readFileSync(join(models, part)));
  const { child, end } = start([whole, '--out', join(folder, 'interrupted')]);
  // The first words on stderr: the import has begun, and takes a second more.
  child.stderr?.once('data', () => child.kill('SIGINT'));
  expect(await end).toMatchObject({ code: 130, stderr: expect.stringContaining('Interrupted') });
  expect(readdirSync(folder).filter((name) => name.includes('interrupted'))).toEqual([]);
});
