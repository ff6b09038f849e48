import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test.each(['fixtures', 'fuzz/corpus'])(
  '%s/PROVENANCE.md names every file, with the sum that it has',
  (path) => {
    const folder = join(import.meta.dirname, '..', path);
    const rows = readFileSync(join(folder, 'PROVENANCE.md'), 'utf8').matchAll(
      /^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$/gm,
    );
    const named = Object.fromEntries([...rows].map(([, name, sum]) => [name!, sum!]));
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name !== 'PROVENANCE.md' && statSync(join(folder, name)).isFile(),
    );
    const found = Object.fromEntries(
      files.map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex'),
      ]),
    );
    expect(found).toEqual(named);
  },
);
