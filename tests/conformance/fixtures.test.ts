import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const folder = new URL('../fixtures/', import.meta.url);

test('PROVENANCE.md names every fixture, with the sum that it has', () => {
  const rows = readFileSync(new URL('PROVENANCE.md', folder), 'utf8').matchAll(
    /^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$/gm,
  );
  const named = Object.fromEntries([...rows].map(([, name, sum]) => [name!, sum!]));
  const files = readdirSync(folder).filter((name) => name !== 'PROVENANCE.md');
  const found = Object.fromEntries(
    files.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(new URL(name, folder)))
        .digest('hex'),
    ]),
  );
  expect(found).toEqual(named);
});
