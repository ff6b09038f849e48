/**
 * A stored model as one file for another disk or host: a tar of its folder. With it goes `model-card.json`, the entry
 * for a site's `models/models.json`; what the model's files do not tell is left out there, for the host to fill in.
 */
import { TramontaneError } from '../base/errors.ts';
import { createTar, type TarFile } from '../formats/tar.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../models/model-files.ts';
import type { StoredModel, WeightStore } from '../storage/weight-store.ts';
import { LIBRARY_FILE } from './prebuilt-library.ts';
import { describeStoredModel, readStoredConfig } from './stored-models.ts';

export const CARD_FILE = 'model-card.json';

/**
 * Nothing is copied: bytes are read from the store when the blob's are.
 * @throws TramontaneError `model-unknown`, `shard-missing`, `storage-failed`
 */
export async function exportModel(store: WeightStore, id: string): Promise<{ name: string; contents: Blob }> {
  const model = await store.readModel(id);
  if (model === null) {
    throw new TramontaneError('model-unknown', `${id} is not stored here.`, {
      nextStep: 'Import the model, or finish its import, first.',
      data: { model: id },
    });
  }
  const files: TarFile[] = [];
  for (const { name, storedName } of [...(await listSmallFiles(store, model)), ...model.files]) {
    const contents = await store.readFile(id, storedName);
    if (contents === null) {
      throw new TramontaneError('shard-missing', `${name} of ${id} is no longer in the weight store.`, {
        nextStep: 'Import or load the model again: only what is missing is read.',
        data: { file: name },
      });
    }
    files.push({ path: `${id}/${name}`, contents });
  }
  const card = JSON.stringify(await createCard(store, model), null, 2);
  files.push({ path: `${id}/${CARD_FILE}`, contents: new Blob([`${card}\n`]) });
  return { name: `${id}.tar`, contents: createTar(files, model.storedAt) };
}

/** Version 1 of the store did not list them. */
async function listSmallFiles(
  store: WeightStore,
  { id, smallFiles }: StoredModel,
): Promise<readonly { name: string; storedName: string }[]> {
  if (smallFiles.length > 0) return smallFiles;
  const stored = new Set(await store.listFiles(id));
  return [CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE, LIBRARY_FILE]
    .filter((name) => stored.has(name))
    .map((name) => ({ name, storedName: name }));
}

/** An entry as models/catalogue.ts reads it. */
async function createCard(store: WeightStore, model: StoredModel): Promise<object> {
  const { id } = model;
  const info = await describeStoredModel(store, model);
  const config = (await readStoredConfig(store, id)) as {
    temperature?: number;
    tramontane?: { template?: string; source?: { url?: string } };
  } | null;
  const facts = {
    id,
    name: info.name,
    description: `${info.name}, imported from ${info.source.name}.`,
    parameterCount: info.parameterCount,
    quantization: info.quantization,
    byteLength: info.byteLength,
    contextLength: info.contextLength,
    maxContextLength: info.maxContextLength,
    kvBytesPerToken: info.kvBytesPerToken,
    layerCount: info.layerCount,
    template: config?.tramontane?.template ?? null,
    licence: info.licence,
    sourceUrl: config?.tramontane?.source?.url ?? info.source.url,
  };
  return {
    ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null)),
    temperature: config?.temperature ?? null,
    source: {
      kind: 'site',
      url: `${id}/`,
      ...(info.library && { modelLibUrl: `${id}/${LIBRARY_FILE}`, ...info.library }),
    },
  };
}
