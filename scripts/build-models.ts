/**
 * Builds public/models/: imports the models that are committed as GGUF under models/, and writes models.json: the list
 * that is committed as models/models.json, then the models built in. Imports nothing where neither the model nor the
 * importer has changed.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { ByteSource } from '../src/formats/byte-source.ts';
import { type CatalogueModel, parseCatalogue } from '../src/models/catalogue.ts';
import { kvBytesPerToken } from '../src/models/fit.ts';
import {
  CONFIG_FILE,
  type ModelFiles,
  parseModelFiles,
  TENSOR_CACHE_FILE,
} from '../src/models/model-files.ts';
import { COMMITTED_MODELS, openCommittedGguf, readCommittedModel } from './lib/committed-models.ts';
import { importToFolder, STATIC_HOST_BYTES } from './lib/import-folder.ts';
import { withLock } from './lib/lock.ts';
import { hashInputs, ROOT, readStamp, writeStamp } from './lib/up-to-date.ts';

const TARGET = join(ROOT, 'public/models');
const STAMPS = join(ROOT, '.cache/models');
const READ_BYTES = 16 << 20;

async function sha256Of(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < source.byteLength; offset += READ_BYTES) {
    hash.update(await source.read(offset, Math.min(READ_BYTES, source.byteLength - offset)));
  }
  return hash.digest('hex');
}

async function readModelFiles(folder: string): Promise<ModelFiles> {
  const json = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, name), 'utf8'));
  return parseModelFiles(await json(CONFIG_FILE), await json(TENSOR_CACHE_FILE));
}

async function buildModel(id: string): Promise<CatalogueModel> {
  const sourceFolder = join(COMMITTED_MODELS, id);
  const { text, model } = await readCommittedModel(id);
  const folder = join(TARGET, id);
  const stampPath = join(STAMPS, `${id}.json`);
  // source.json holds the hash of the GGUF itself.
  const inputHash = await hashInputs([text, String(STATIC_HOST_BYTES)], ['scripts/build-models.ts']);
  const existing = await readStamp<CatalogueModel>(stampPath, inputHash, folder);
  if (existing !== null) {
    console.log(`${relative(ROOT, folder)}: up to date`);
    return existing;
  }

  const startMs = performance.now();
  const source = await openCommittedGguf(id);
  try {
    const sha256 = await sha256Of(source);
    if (source.byteLength !== model.file.byteLength || sha256 !== model.file.sha256) {
      throw new Error(
        `${relative(ROOT, sourceFolder)}: the parts of ${model.file.name} make ${source.byteLength} bytes with SHA-256 ${sha256}, ` +
          `expected ${model.file.byteLength} bytes with ${model.file.sha256}. Restore them with git.`,
      );
    }
    const manifest = await importToFolder(source, folder, {
      maxRecordBytes: STATIC_HOST_BYTES,
      maxShardBytes: STATIC_HOST_BYTES,
      origin: {
        name: model.name,
        sourceName: model.file.name,
        sha256,
        licence: model.licence,
        url: model.sourceUrl,
      },
      sampling: model.sampling,
    });
    const { description, chat } = await readModelFiles(folder);
    const { architecture } = description;
    const card: CatalogueModel = {
      id,
      name: model.name,
      description: model.description,
      parameterCount: manifest.origin.parameterCount,
      quantization: manifest.origin.quantization,
      byteLength: manifest.byteLength,
      contextLength: manifest.contextLength,
      maxContextLength: architecture.maxContextLength,
      kvBytesPerToken: kvBytesPerToken(architecture),
      layerCount: architecture.layerCount,
      template: chat.template.id,
      temperature: chat.temperature,
      licence: model.licence,
      sourceUrl: model.sourceUrl,
      source: { kind: 'site', url: `${id}/` },
    };
    await writeStamp(stampPath, inputHash, folder, manifest.files, card);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    const megabytes = (manifest.byteLength / 1e6).toFixed(1);
    console.log(
      `${relative(ROOT, folder)}: ${megabytes} MB in ${manifest.shards.length} shards, ${seconds} s`,
    );
    return card;
  } finally {
    await source.close();
  }
}

const list = JSON.parse(await readFile(join(COMMITTED_MODELS, 'models.json'), 'utf8')) as {
  models: CatalogueModel[];
};
const entries = await readdir(COMMITTED_MODELS, { withFileTypes: true });
const ids = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
await mkdir(TARGET, { recursive: true });
// A build and a test run may both want the models at once.
await withLock(join(STAMPS, 'lock'), async () => {
  const builtIn: CatalogueModel[] = [];
  for (const id of ids.sort()) builtIn.push(await buildModel(id));
  const catalogue = { ...list, models: [...list.models, ...builtIn] };
  // What a visitor's browser would refuse is refused here.
  parseCatalogue(catalogue, 'https://site.invalid/models/models.json');
  await writeFile(join(TARGET, 'models.json'), `${JSON.stringify(catalogue, null, 2)}\n`);
});
