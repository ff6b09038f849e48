/** Folders as the target of an import. */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ModelSink } from '../../src/engine/import/import-model.ts';
import { UsageError } from './command-line.ts';
import { tryProcessLock } from './lock.ts';

export interface FolderSink extends ModelSink {
  /** SHA-256, by name, of shards that an import of the same identity wrote before it was interrupted. */
  readonly finished: ReadonlyMap<string, string>;
  /** Puts what was written into place, replacing what is there. */
  commit(): Promise<void>;
  /** Deletes what was written, unless it can be gone on with. What was in place before stays. @returns whether it can */
  abandon(): Promise<boolean>;
}

/**
 * Writes to `<folder>.partial-<process>` and moves it into place at the end, so that a folder is never half a model,
 * whoever else builds at the same time.
 */
export async function createFolderSink(folder: string): Promise<FolderSink> {
  const partial = `${folder}.partial-${process.pid}`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  return {
    ...createSink(folder, partial, async () => {}),
    finished: new Map(),
    async abandon() {
      await rm(partial, { recursive: true, force: true });
      return false;
    },
  };
}

/** What is known of shards that are there, beside them. */
interface PartialState {
  /** As in `PlannedImport`. */
  identity: string;
  /** SHA-256 by name. */
  shards: Record<string, string>;
}

const STATE_FILE = 'import-state.json';

/**
 * The same in `<folder>.partial`, which stays when the import is interrupted: one of the same identity goes on with it.
 * @throws UsageError where another process imports into this folder
 */
export async function openFolderSink(folder: string, identity: string): Promise<FolderSink> {
  const partial = `${folder}.partial`;
  const release = await tryProcessLock(`${partial}.lock`);
  if (release === null) throw new UsageError(`Another import into ${folder} is under way.`);
  const shards = await readFinished(partial, identity);
  if (shards.size === 0) await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  const sink = createSink(folder, partial, async (name, sha256) => {
    shards.set(name, sha256);
    const state: PartialState = { identity, shards: Object.fromEntries(shards) };
    await writeFile(join(partial, `${STATE_FILE}.new`), JSON.stringify(state));
    await rename(join(partial, `${STATE_FILE}.new`), join(partial, STATE_FILE));
  });
  return {
    ...sink,
    finished: new Map(shards),
    async commit() {
      await rm(join(partial, STATE_FILE), { force: true });
      await sink.commit();
      await release();
    },
    async abandon() {
      if (shards.size === 0) await rm(partial, { recursive: true, force: true });
      await release();
      return shards.size > 0;
    },
  };
}

function createSink(
  folder: string,
  partial: string,
  onShard: (name: string, sha256: string) => Promise<void>,
): Pick<FolderSink, 'writeShard' | 'complete' | 'commit'> {
  return {
    async writeShard({ name }, sha256, bytes) {
      await writeFile(join(partial, name), bytes);
      await onShard(name, sha256);
    },
    async complete(files) {
      for (const [name, text] of files) await writeFile(join(partial, name), text);
    },
    async commit() {
      await mkdir(dirname(folder), { recursive: true });
      await rm(folder, { recursive: true, force: true });
      await rename(partial, folder);
    },
  };
}

/** Empty where nothing is there, or something of another import. */
async function readFinished(partial: string, identity: string): Promise<Map<string, string>> {
  const text = await readFile(join(partial, STATE_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  const state = text === null ? null : (JSON.parse(text) as PartialState);
  if (state?.identity !== identity) return new Map();
  const found = await Promise.all(
    Object.entries(state.shards).map(async (entry) => {
      const exists = await stat(join(partial, entry[0])).catch(() => null);
      return exists === null ? [] : [entry];
    }),
  );
  return new Map(found.flat());
}
