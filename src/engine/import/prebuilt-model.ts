/**
 * Models in MLC's layout that come with a library of their own: weights and library are stored as their folder has
 * them, and run by WebLLM as it would run them; prompts are ours.
 */
import { TramontaneError } from '../../base/errors.ts';
import {
  CONFIG_FILE,
  parsePromptConfig,
  TENSOR_CACHE_FILE,
  TOKENIZER_FILE,
} from '../../models/model-files.ts';
import { type StoredFile, type StoredModel, sumBytes, type WeightStore } from '../../storage/weight-store.ts';
import type { ImportPreview, Progress } from '../api.ts';
import { fetchModel } from '../fetch-model.ts';
import { listShards } from '../shard-list.ts';
import { readModelFacts } from '../stored-models.ts';
import { parseAddress } from './address.ts';
import { parseJson, remoteTextFolder, requireText, type TextFolder } from './folder-text.ts';
import { nameOfFolder } from './open-mlc.ts';
import { type OpenOptions, withoutQuery } from './opened-source.ts';
import { describePending, describeWhole, modelId } from './plan-source.ts';
import { makePromptsOurs } from './prebuilt-prompts.ts';

export interface PrebuiltSource {
  address: string;
  libraryUrl: string;
  temperature?: number;
}

export interface StorePrebuiltOptions extends OpenOptions {
  /** Tokens of context to configure. Default: the folder's own. */
  contextLength?: number | undefined;
  /** As in `ImportModelOptions`. */
  restart?: boolean | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

interface PrebuiltFolder {
  id: string;
  name: string;
  url: string;
  folder: TextFolder;
  config: unknown;
  shards: readonly StoredFile[];
  parameterCount: number;
}

async function openFolder({ address }: PrebuiltSource, options: OpenOptions): Promise<PrebuiltFolder> {
  const parsed = parseAddress(address, options.hub);
  if (parsed.layout !== 'mlc') {
    throw new TramontaneError('address-invalid', `${address} is a file; a library belongs to a folder.`, {
      nextStep: 'Give the address of a folder in the layout of MLC, with a slash at its end.',
      data: { address },
    });
  }
  const folder = remoteTextFolder(parsed.url, parsed.name, options);
  const config = parseJson(await requireText(folder, [CONFIG_FILE]));
  const cache = parseJson(await requireText(folder, [TENSOR_CACHE_FILE]));
  const shards = listShards(cache);
  const name = nameOfFolder(parsed.name);
  const { quantization } = readModelFacts(config, { id: '', name });
  return {
    id: modelId(name, quantization ?? 'mlc'),
    name,
    url: parsed.url,
    folder,
    config,
    shards,
    parameterCount: countParameters(cache, shards),
  };
}

/** As MLC's list of tensors tells, or about, as 4-bit models go. */
function countParameters(cache: unknown, shards: readonly StoredFile[]): number {
  const { metadata } = cache as { metadata?: { ParamBytes?: unknown; BitsPerParam?: unknown } | null };
  const [bytes, bits] = [Number(metadata?.ParamBytes), Number(metadata?.BitsPerParam)];
  const count = Math.round((bytes * 8) / bits);
  return Number.isSafeInteger(count) && count > 0 ? count : Math.round((sumBytes(shards) * 8) / 4.5);
}

/** As `previewImport`. @throws TramontaneError as `makePromptsOurs` */
export async function previewPrebuilt(
  store: WeightStore,
  source: PrebuiltSource,
  options: OpenOptions,
): Promise<ImportPreview> {
  const { id, name, url, folder, shards, parameterCount, ...given } = await openFolder(source, options);
  const { text: tokenizer } = await requireText(folder, [TOKENIZER_FILE]);
  const { config } = await makePromptsOurs({ config: configure(given.config, source), tokenizer }, folder);
  const facts = readModelFacts(config, { id, name });
  const byteLength = sumBytes(shards);
  const { temperature } = config as { temperature?: unknown };
  const pending = await describePending(store, id);
  // Its shards are named by their contents: what is there of such is used, whatever build it was of.
  const isUsable = (await store.readPending(id))?.identity === null;
  return {
    id,
    layout: 'mlc',
    name,
    quantization: facts.quantization ?? 'unknown',
    parameterCount,
    sourceBytes: byteLength,
    storedBytes: byteLength,
    maxContextLength: facts.maxContextLength ?? facts.contextLength ?? 1,
    kvBytesPerToken: facts.kvBytesPerToken,
    layerCount: facts.layerCount,
    template: parsePromptConfig(config).template.id,
    temperature: typeof temperature === 'number' ? temperature : 1,
    licence: null,
    listedSha256: null,
    source: { name, url: withoutQuery(url) },
    formats: [{ type: facts.quantization ?? 'unknown', byteLength }],
    resumes: isUsable ? pending : null,
    obstructs: isUsable ? null : pending,
    replaces: await describeWhole(store, id),
  };
}

/** @throws TramontaneError as `fetchModel` and `makePromptsOurs` */
export async function storePrebuilt(
  store: WeightStore,
  source: PrebuiltSource,
  { onProgress, contextLength, restart, ...options }: StorePrebuiltOptions,
): Promise<StoredModel> {
  const { id, name, url, parameterCount } = await openFolder(source, options);
  const { clock, stallMs, signal } = options;
  await fetchModel(
    { id, url, modelLibUrl: source.libraryUrl, name, parameterCount },
    {
      ...{ store, baseUrl: url, wait: false, restart, clock, stallMs, onProgress },
      ...(signal && { signal }),
      requireFolder: true,
      configure: ({ config, tokenizer }, folder) =>
        makePromptsOurs({ config: configure(config, source, contextLength), tokenizer }, folder),
    },
  );
  return (await store.readModel(id))!;
}

/**
 * A folder's configuration as WebLLM is to read it. A model is built for its longest context, which few GPUs have room
 * for. WebLLM refuses a context beside a sliding window: where a context was chosen there is none.
 */
function configure(config: unknown, { temperature }: PrebuiltSource, contextLength?: number): object {
  return {
    ...(config as object),
    ...(contextLength !== undefined && { context_window_size: contextLength, sliding_window_size: -1 }),
    ...(temperature !== undefined && { temperature }),
  };
}
