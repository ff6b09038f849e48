/** Imports a GGUF into a folder, whole or not at all. */

import { type ImportOptions, importGguf, type ModelManifest } from '../../src/engine/import/import-model.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import { createFolderSink } from './folder-sink.ts';

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
    await sink.discard();
    throw error;
  }
}
