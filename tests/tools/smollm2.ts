/** The built-in model's GGUF, as committed in parts. */
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type FileSource, openJoinedFileSource } from '../../scripts/lib/file-source.ts';
import { withLock } from '../../scripts/lib/lock.ts';
import { ROOT } from '../../scripts/lib/up-to-date.ts';

const SOURCE = join(ROOT, 'models/smollm2-135m-instruct');
const CACHE = join(ROOT, '.cache/smollm2');
const READ_BYTES = 4 << 20;

/** The caller closes it. */
export async function openSmolLm2(): Promise<FileSource> {
  const parts = (await readdir(SOURCE)).filter((name) => /\.gguf\.part\d+$/.test(name));
  return openJoinedFileSource(parts.sort().map((name) => join(SOURCE, name)));
}

/** The public file, put together in the cache where it is not there yet. @returns its path */
export async function ensureSmolLm2File(): Promise<string> {
  const { file } = JSON.parse(await readFile(join(SOURCE, 'source.json'), 'utf8'));
  const path = join(CACHE, file.name);
  await mkdir(CACHE, { recursive: true });
  await withLock(join(CACHE, 'lock'), async () => {
    const found = await stat(path).catch(() => null);
    if (found?.size === file.byteLength) return;
    const source = await openSmolLm2();
    const chunks = async function* () {
      for (let offset = 0; offset < source.byteLength; offset += READ_BYTES) {
        yield await source.read(offset, Math.min(READ_BYTES, source.byteLength - offset));
      }
    };
    await pipeline(chunks(), createWriteStream(`${path}.partial`));
    await source.close();
    await rename(`${path}.partial`, path);
  });
  return path;
}
