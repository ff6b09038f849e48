/** Resolves a command's `--model`: the id of a model of the site, a folder that was imported, or a GGUF file. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Progress } from '../../src/engine/api.ts';
import { planSource } from '../../src/engine/import/plan-source.ts';
import { CONFIG_FILE } from '../../src/models/model-files.ts';
import { UsageError } from './command-line.ts';
import { storeInFolder } from './import-folder.ts';
import { openCommandSource } from './open-source.ts';
import { ensureSite } from './site.ts';
import { hashInputs, ROOT, readStamp, writeStamp } from './up-to-date.ts';

export interface ResolvedModel {
  id: string;
  /** Folder that holds the model's files. */
  folder: string;
}

const SITE_MODELS = join(ROOT, 'public/models');

/** @throws UsageError if there is no such model; errors of the importer for a file it cannot use */
export async function resolveModel(
  argument: string | undefined,
  options: { signal: AbortSignal; onProgress: (progress: Progress) => void },
): Promise<ResolvedModel> {
  // Builds the models too, on a fresh clone.
  await ensureSite();
  const listed = await listSiteModels();
  const id = argument ?? listed[0];
  if (id === undefined) throw new UsageError('The site has no models. Run `npm run build:models` first.');
  if (listed.includes(id)) return { id, folder: join(SITE_MODELS, id) };

  const path = resolve(id);
  const found = await stat(path).catch(() => null);
  if (found === null) {
    throw new UsageError(`There is no model or file ${id}. The site has: ${listed.join(', ') || 'none'}.`);
  }
  if (found.isDirectory()) {
    if ((await stat(join(path, CONFIG_FILE)).catch(() => null)) === null) {
      throw new UsageError(`${id} holds no ${CONFIG_FILE}: it is not an imported model.`);
    }
    return { id: basename(path), folder: path };
  }
  return importFile(path, options);
}

async function listSiteModels(): Promise<string[]> {
  const text = await readFile(join(SITE_MODELS, 'models.json'), 'utf8').catch(() => '{"models":[]}');
  const { models } = JSON.parse(text) as { models: { id: string; source: { kind: string } }[] };
  // The others are offered for import: they are not here.
  return models.filter(({ source }) => source.kind === 'site').map(({ id }) => id);
}

/** Imports a GGUF once: the same files, unchanged, are taken from the cache the next time. */
async function importFile(
  path: string,
  { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: Progress) => void },
): Promise<ResolvedModel> {
  const source = await openCommandSource(path, signal);
  try {
    const planned = await planSource(source.opened);
    const key = createHash('sha256').update(path).digest('hex').slice(0, 16);
    const folder = join(ROOT, '.cache/imports', key, 'model');
    const stamp = join(ROOT, '.cache/imports', key, 'stamp.json');
    const inputHash = await hashInputs([planned.identity]);
    if ((await readStamp<string>(stamp, inputHash, folder)) === null) {
      const manifest = await storeInFolder(planned, folder, { signal, onProgress });
      await writeStamp(stamp, inputHash, folder, manifest.files, 'done');
    }
    return { id: planned.id, folder };
  } finally {
    await source.close();
  }
}
