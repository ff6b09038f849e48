/** Folders as the target of an import. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ModelSink } from '../../src/engine/import/import-model.ts';

export interface FolderSink extends ModelSink {
  /** Puts what was written into place, replacing what is there. */
  commit(): Promise<void>;
  /** Deletes what was written. What was in place before stays. */
  discard(): Promise<void>;
}

/**
 * Writes to `<folder>.partial-<process>` and moves it into place at the end, so that a folder is never half a model,
 * whoever else builds at the same time.
 */
export async function createFolderSink(folder: string): Promise<FolderSink> {
  const partial = `${folder}.partial-${process.pid}`;
  await mkdir(dirname(folder), { recursive: true });
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial);
  return {
    writeShard: ({ name }, _sha256, bytes) => writeFile(join(partial, name), bytes),
    async complete(files) {
      for (const [name, text] of files) await writeFile(join(partial, name), text);
    },
    async commit() {
      await rm(folder, { recursive: true, force: true });
      await rename(partial, folder);
    },
    discard: () => rm(partial, { recursive: true, force: true }),
  };
}
