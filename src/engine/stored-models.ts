/** What people are told of the models in the weight store. */

import { isTramontaneError, TramontaneError } from '../base/errors.ts';
import { kvCacheByteLength, PAGE_POSITIONS } from '../modellib/kernels/rope-kv/kv-cache.ts';
import { CONFIG_FILE, MLC_LAYOUT } from '../models/model-files.ts';
import { withModelAlone } from '../storage/model-lock.ts';
import type {
  LibraryFacts,
  ModelFacts,
  PendingModel,
  StoredModel,
  WeightStore,
} from '../storage/weight-store.ts';
import type { ModelSource, PendingModelInfo, StoredModelInfo } from './api.ts';
import { describeLibrary, LIBRARY_FILE } from './prebuilt-library.ts';

/**
 * What a model's configuration tells, and its source where that tells nothing. Nothing is required: a prebuilt WebLLM
 * model brings another configuration than our imports, and the models of earlier versions may bring less.
 * @param config `mlc-chat-config.json`, parsed
 */
export function readModelFacts(config: unknown, source: ModelSource): ModelFacts {
  const root = asObject(config);
  const ours = asObject(root.tramontane);
  const model = asObject(root.model_config);
  return {
    name: asText(ours.name) ?? source.name ?? source.id,
    quantization: asText(ours.quantization) ?? source.quantization ?? asText(root.quantization),
    parameterCount: asCount(ours.parameter_count) ?? source.parameterCount ?? null,
    contextLength: asCount(root.context_window_size),
    maxContextLength: asCount(model.max_position_embeddings) ?? asCount(model.context_window_size),
    layerCount: asCount(model.num_hidden_layers),
    // A prebuilt library keeps its cache in the type that its quantization names.
    kvBytesPerToken:
      (root.tramontane === undefined || ours.layout === MLC_LAYOUT) &&
      !/f16/.test(asText(root.quantization) ?? '')
        ? null
        : countKvBytes(model),
    licence: asText(asObject(ours.source).licence) ?? source.licence ?? null,
  };
}

function countKvBytes(model: Record<string, unknown>): number | null {
  const [layerCount, kvHeadCount, headDim] = ['num_hidden_layers', 'num_key_value_heads', 'head_dim'].map(
    (field) => asCount(model[field]),
  );
  if (!layerCount || !kvHeadCount || !headDim) return null;
  const page = kvCacheByteLength({ headCount: kvHeadCount, kvHeadCount, headDim }, PAGE_POSITIONS);
  return (layerCount * (page.key + page.value)) / PAGE_POSITIONS;
}

/** Models that are stored whole. @throws TramontaneError `storage-failed` */
export async function listStoredModels(store: WeightStore): Promise<StoredModelInfo[]> {
  const models = await store.listModels();
  return await Promise.all(models.map((model) => describeStoredModel(store, model)));
}

export async function describeStoredModel(store: WeightStore, model: StoredModel): Promise<StoredModelInfo> {
  const { id, byteLength, storedAt, source } = model;
  const facts = model.facts ?? readModelFacts(await readStoredConfig(store, id), { id });
  const library = facts.library === undefined ? await readLibraryFacts(store, id) : facts.library;
  return { id, ...facts, library, byteLength, source: { name: source.name, url: source.url }, storedAt };
}

/** Of a model that was stored before its manifest told. */
async function readLibraryFacts(store: WeightStore, id: string): Promise<LibraryFacts | null> {
  const blob = await store.readFile(id, LIBRARY_FILE);
  try {
    return blob === null ? null : describeLibrary(await blob.arrayBuffer());
  } catch (error) {
    // As below.
    if (error instanceof DOMException) return { needsShaderF16: false };
    throw error;
  }
}

/** Imports and downloads that have not ended. @throws TramontaneError `storage-failed` */
export async function listPendingModels(store: WeightStore): Promise<PendingModelInfo[]> {
  const pending = await store.listPending();
  return await Promise.all(
    pending.map(async ({ id, name, source, doneBytes, totalBytes, updatedAt }) => ({
      id,
      name,
      source: { kind: source.kind, name: source.name, url: source.url },
      doneBytes: Math.min(totalBytes, doneBytes + (await store.countJournalled(id))),
      totalBytes,
      updatedAt,
    })),
  );
}

/**
 * Why something cannot be stored while what is stored of something else would be lost.
 * @param name of the file or folder that would be stored
 * @param isSame whether that is the one whose import was interrupted, in another state
 */
export function obstructedError(pending: PendingModel, name: string, isSame: boolean): TramontaneError {
  return new TramontaneError(
    'source-changed',
    isSame
      ? `${name} is not what it was when its import was interrupted.`
      : `An import of ${pending.source.name} was interrupted, and ${name} would be stored under the same name.`,
    {
      nextStep:
        'Import anew, which forgets what was stored of the interrupted import; or finish that one, or discard it, ' +
        'first.',
      data: { model: pending.id, source: pending.source.name },
    },
  );
}

/** Files of an earlier build go when nobody can be reading them; where somebody may be, a later load sees to it. */
export async function sweepModel(store: WeightStore, id: string): Promise<void> {
  try {
    await withModelAlone(id, () => store.sweep(id));
  } catch (error) {
    // The model is loaded: what is left over on the disk is no reason to take it away.
    if (!isTramontaneError(error)) throw error;
  }
}

/** @returns null where there is no configuration that can be read. */
export async function readStoredConfig(store: WeightStore, id: string): Promise<unknown> {
  const blob = await store.readFile(id, CONFIG_FILE);
  try {
    return blob === null ? null : JSON.parse(await blob.text());
  } catch (error) {
    // A damaged file must not keep a person from seeing, and deleting, what is stored.
    if (error instanceof SyntaxError || error instanceof DOMException) return null;
    throw error;
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function asText(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function asCount(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : null;
}
