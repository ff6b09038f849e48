/**
 * Rules about imports that the linter cannot express: each third-party package has one importing file, and parts of the
 * UI see the engine's types only. The directions between rooms: biome.json.
 */
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../scripts/lib/up-to-date.ts';

interface Import {
  file: string;
  target: string;
  isType: boolean;
}

async function listImports(): Promise<Import[]> {
  const names = await readdir(join(ROOT, 'src'), { recursive: true });
  const files = names.filter((name) => name.endsWith('.ts') && !/\.test\.ts$|\/assembly\//.test(name));
  return files.flatMap((file) => {
    const text = readFileSync(join(ROOT, 'src', file), 'utf8');
    const found = text.matchAll(/^(?:import|export) (type )?[^;]*?from '([^']+)'|\bimport\('([^']+)'\)/gms);
    return Array.from(found, ([, type, target, lazy]) => ({
      file,
      target: target ?? lazy ?? '',
      isType: type !== undefined,
    }));
  });
}

/** `@scope/name` or `name`, without the path inside the package. */
const packageOf = (target: string) => /^(?:@[^/]+\/)?[^/]+/.exec(target)?.[0] ?? target;

const imports = await listImports();

test('each third-party package has one importing file; Lit is the UI itself', () => {
  const importers = new Map<string, Set<string>>();
  for (const { file, target, isType } of imports) {
    if (isType || /^(\.|node:|virtual:)|\.json$/.test(target) || packageOf(target) === 'lit') continue;
    const name = packageOf(target);
    importers.set(name, (importers.get(name) ?? new Set()).add(file));
  }
  expect(importers.size).toBeGreaterThan(4);
  for (const [name, files] of importers) expect([...files], name).toHaveLength(1);
});

test('ui and element import types of the engine, and no code', () => {
  const fromUi = imports.filter(({ file }) => /^(ui|element)\//.test(file));
  expect(fromUi.length).toBeGreaterThan(50);
  expect(fromUi.filter(({ target, isType }) => target.includes('/engine/') && !isType)).toEqual([]);
});
