import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTar } from './tar.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tramontane-tar-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const MODIFIED = Date.UTC(2026, 0, 2, 3, 4, 5);

test.skipIf(process.platform === 'win32')("the system's own tar unpacks it", async () => {
  const files = new Map<string, Uint8Array<ArrayBuffer>>(
    [0, 1, 511, 512, 513, 5000].map((length) => [
      `file-${length}.bin`,
      Uint8Array.from({ length }, (_, index) => index % 251),
    ]),
  );
  const blob = createTar(
    Array.from(files, ([name, bytes]) => ({ path: `modèle/${name}`, contents: new Blob([bytes]) })),
    MODIFIED,
  );
  expect(blob.size % 512).toBe(0);
  writeFileSync(join(folder, 'model.tar'), new Uint8Array(await blob.arrayBuffer()));
  execFileSync('tar', ['-xf', 'model.tar'], { cwd: folder });
  expect(readdirSync(join(folder, 'modèle')).sort()).toEqual([...files.keys()].sort());
  for (const [name, bytes] of files) {
    expect(Buffer.compare(readFileSync(join(folder, 'modèle', name)), bytes), name).toBe(0);
  }
  const deep = `${'f'.repeat(80)}/${'g'.repeat(74)}/${'n'.repeat(100)}`;
  writeFileSync(
    join(folder, 'deep.tar'),
    new Uint8Array(await createTar([{ path: deep, contents: new Blob(['deep']) }], MODIFIED).arrayBuffer()),
  );
  execFileSync('tar', ['-xf', 'deep.tar'], { cwd: folder });
  expect(readFileSync(join(folder, deep), 'utf8')).toBe('deep');
  const list = execFileSync('tar', ['--utc', '-tvf', 'model.tar'], { cwd: folder, encoding: 'utf8' });
  expect(list).toContain('2026-01-02');
  expect(list).toContain('-rw-r--r--');
});

test('what the format cannot hold is refused', () => {
  const tar = (path: string, contents: Blob) => () => createTar([{ path, contents }], 0);
  expect(tar('a'.repeat(101), new Blob())).toThrow(RangeError);
  expect(tar('é'.repeat(51), new Blob())).toThrow(RangeError);
  expect(tar('a'.repeat(100), new Blob())).not.toThrow();
  expect(tar(`${'a'.repeat(155)}/${'b'.repeat(100)}`, new Blob())).not.toThrow();
  expect(tar(`${'a'.repeat(156)}/${'b'.repeat(100)}`, new Blob())).toThrow(RangeError);
  expect(tar('a', { size: 8 ** 11 } as Blob)).toThrow(RangeError);
});
