/** Imports the fixtures `formats-*.gguf.gz`, so that tests in browsers can load them. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { importToFolder } from '../../scripts/lib/import-folder.ts';
import { withLock } from '../../scripts/lib/lock.ts';
import { hashInputs, ROOT, readStamp, writeStamp } from '../../scripts/lib/up-to-date.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import { FORMAT_MODELS, FORMAT_MODELS_FOLDER, type FormatModel } from './test-models.ts';

/** Small enough that the head is cut into parts. */
const LIMITS = { maxRecordBytes: 128 << 10, maxShardBytes: 512 << 10 };

/** The GGUF file as the `gguf` package wrote it. */
export async function readFormatModel(name: FormatModel): Promise<Uint8Array<ArrayBuffer>> {
  const compressed = await readFile(join(ROOT, `tests/fixtures/formats-${name}.gguf.gz`));
  return Uint8Array.from(await promisify(gunzip)(compressed));
}

/** Imports the models that are not there yet, or out of date. Any number of processes may ask at once. */
export async function ensureFormatModels(): Promise<void> {
  for (const name of FORMAT_MODELS) {
    const cache = join(ROOT, FORMAT_MODELS_FOLDER, name);
    await mkdir(cache, { recursive: true });
    await withLock(join(cache, 'lock'), async () => {
      const inputHash = await hashInputs([], [`tests/fixtures/formats-${name}.gguf.gz`]);
      const stamp = join(cache, 'stamp.json');
      if ((await readStamp(stamp, inputHash, cache)) !== null) return;
      const source = memorySource(await readFormatModel(name));
      const { files } = await importToFolder(source, join(cache, 'model'), LIMITS);
      await writeStamp(
        stamp,
        inputHash,
        cache,
        files.map((file) => `model/${file}`),
        true,
      );
    });
  }
}
