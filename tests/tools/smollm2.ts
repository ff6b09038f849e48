/** The built-in model's GGUF, as committed in parts. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type FileSource, openJoinedFileSource } from '../../scripts/lib/file-source.ts';

/** The caller closes it. */
export function openSmolLm2(): Promise<FileSource> {
  const folder = new URL('../../models/smollm2-135m-instruct/', import.meta.url);
  const parts = readdirSync(folder).filter((name) => /\.gguf\.part\d+$/.test(name));
  return openJoinedFileSource(parts.sort().map((name) => fileURLToPath(new URL(name, folder))));
}
