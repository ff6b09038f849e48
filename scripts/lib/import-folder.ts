/** Imports a model into a folder, whole or not at all. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TramontaneError } from '../../src/base/errors.ts';
import {
  type ImportOptions,
  importGguf,
  type ModelManifest,
  type WriteOptions,
  writeModel,
} from '../../src/engine/import/import-model.ts';
import { sourceRanges } from '../../src/engine/import/import-plan.ts';
import type { PlannedImport } from '../../src/engine/import/plan-source.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import { formatBytes } from './command-line.ts';
import { createFolderSink, openFolderSink } from './folder-sink.ts';

/** Files of more than 25 MiB are refused by some static hosts. */
export const STATIC_HOST_BYTES = 24 << 20;

/** As {@link importGguf}; `folder` is replaced once everything is written, and untouched where anything fails. */
export async function importToFolder(
  source: ByteSource,
  folder: string,
  options: ImportOptions = {},
): Promise<ModelManifest> {
  const sink = await createFolderSink(folder);
  try {
    const manifest = await importGguf(source, sink, options);
    await sink.commit();
    return manifest;
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

export interface FolderImportOptions extends WriteOptions {
  /** Called where the import did not end, and what it wrote will be used when it is started again. */
  onInterrupted?: () => void;
}

/** The same for a source that was planned, going on where an interrupted import into this folder ended. */
export async function storeInFolder(
  { opened, plan, identity }: PlannedImport,
  folder: string,
  { onInterrupted, ...options }: FolderImportOptions = {},
): Promise<ModelManifest> {
  const sink = await openFolderSink(folder, identity);
  const weights = opened.openWeights();
  try {
    const missing = plan.shards.filter(({ name }) => !sink.finished.has(name));
    await requireRoom(
      missing.reduce((sum, { byteLength }) => sum + byteLength, 0),
      folder,
    );
    weights.expect(missing.flatMap(sourceRanges));
    const manifest = await writeModel(opened.prepared, plan, weights, sink, {
      ...options,
      finished: sink.finished,
    });
    await sink.commit();
    return manifest;
  } catch (error) {
    if (await sink.abandon()) onInterrupted?.();
    throw error;
  } finally {
    await weights.close();
  }
}

/** Free space where `folder` is, or will be. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return freeBytes(dirname(folder));
    throw error;
  }
}

async function requireRoom(byteLength: number, folder: string): Promise<void> {
  const free = await freeBytes(folder);
  if (free >= byteLength) return;
  throw new TramontaneError(
    'storage-quota',
    `The import needs about ${formatBytes(byteLength)}, and ${formatBytes(free)} are free at ${folder}.`,
    { nextStep: 'Free some space, or write to another disk.' },
  );
}
