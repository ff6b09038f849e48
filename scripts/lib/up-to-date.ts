/** Decides whether a model folder must be built again: by a hash of everything that went into it. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

/** Sources of the importer: a change in any of them may change what it writes. */
const IMPORTER_SOURCES = ['src/base', 'src/formats', 'src/models', 'src/engine/import'];

async function listSources(path: string): Promise<string[]> {
  const absolute = join(ROOT, path);
  if ((await stat(absolute)).isFile()) return [path];
  const entries = await readdir(absolute, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1));
}

/**
 * Hash of the importer's sources, of further source files or folders (relative to the repository's root), and of
 * `inputs`, which are strings that identify everything else.
 */
export async function hashInputs(
  inputs: readonly string[],
  furtherSources: readonly string[] = [],
): Promise<string> {
  const hash = createHash('sha256');
  const sources = (await Promise.all([...IMPORTER_SOURCES, ...furtherSources].map(listSources)))
    .flat()
    .sort();
  for (const source of sources) {
    hash.update(source).update('\0');
    hash.update(await readFile(join(ROOT, source)));
  }
  for (const input of inputs) hash.update('\0').update(input);
  return hash.digest('hex');
}

/** What is remembered of a build, in a file of its own outside what is published. */
export interface BuildStamp<T> {
  inputHash: string;
  files: { name: string; byteLength: number }[];
  /** Whatever the builder wants back when nothing is to be done. */
  result: T;
}

/** @returns the last build's result where its inputs are the same and its files are there, else null. */
export async function readStamp<T>(stampPath: string, inputHash: string, folder: string): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(stampPath, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const stamp = JSON.parse(text) as BuildStamp<T>;
  if (stamp.inputHash !== inputHash) return null;
  for (const { name, byteLength } of stamp.files) {
    const size = await stat(join(folder, name)).then(
      (found) => found.size,
      () => -1,
    );
    if (size !== byteLength) return null;
  }
  return stamp.result;
}

export async function writeStamp<T>(
  stampPath: string,
  inputHash: string,
  folder: string,
  names: readonly string[],
  result: T,
): Promise<void> {
  const files = await Promise.all(
    names.map(async (name) => ({ name, byteLength: (await stat(join(folder, name))).size })),
  );
  await mkdir(dirname(stampPath), { recursive: true });
  await writeFile(stampPath, JSON.stringify({ inputHash, files, result } satisfies BuildStamp<T>));
}
