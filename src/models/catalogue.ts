/**
 * The site's list of models: `models/models.json`, written by the build from the repository's own list and the models
 * built in. Parsing is strict, because an entry decides what a person downloads: a missing or odd field is an error
 * that names it, never a default. docs/hosting.md describes the format.
 */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { FieldReader } from './field-reader.ts';
import type { FitModel } from './fit.ts';

export const CATALOGUE_VERSION = 2;

/** A public file of a model. */
export interface CatalogueFile {
  /** `hf:owner/repo/file.gguf[@revision]`, or an absolute http(s) URL. */
  address: string;
  quantization: string;
  /** About: the source itself tells exactly when it is looked at. */
  byteLength: number;
}

/** How a visitor gets a model. */
export type CatalogueSource =
  /** From a folder beside this site: the chat page loads it. */
  | {
      kind: 'site';
      url: string;
      /** Of a prebuilt WebLLM library that runs it. */
      modelLibUrl?: string;
      /** As below; absent means false. */
      needsShaderF16?: boolean;
    }
  /** From a GGUF: a file of one's own, or one of these, the recommended one first. */
  | { kind: 'gguf'; files: readonly CatalogueFile[] }
  /** From a folder in MLC's layout, to be run by a prebuilt WebLLM library. */
  | {
      kind: 'prebuilt';
      /** Of the folder: `hf:owner/repo`, or an absolute http(s) URL that ends in a slash. */
      address: string;
      libraryUrl: string;
      /** GPU memory in all, at `contextLength`. */
      memoryBytes: number;
      /** True where the library needs the GPU feature `shader-f16`. */
      needsShaderF16: boolean;
    };

export interface CatalogueModel {
  /** Names the entry in addresses (`import.html?model=ID`); for `site`, also the stored model. */
  id: string;
  name: string;
  description: string;
  parameterCount: number;
  /** Of the recommended build, as its makers name it: `Q4_K_M`. */
  quantization: string;
  /** Of the recommended build; about, unless it is `site`. */
  byteLength: number;
  /** Tokens of context it is configured for at first, and the most it was made for. */
  contextLength: number;
  maxContextLength: number;
  /** KV cache per token of context, of all layers together. */
  kvBytesPerToken: number;
  layerCount: number;
  /** Id of the chat template. */
  template: string;
  /** The sampling temperature its makers recommend; null where they recommend none. */
  temperature: number | null;
  /** SPDX identifier. */
  licence: string;
  sourceUrl: string;
  source: CatalogueSource;
}

/** A model that the chat page can load from this site: structurally the engine's `ModelCard`. */
export type SiteModel = CatalogueModel & {
  url: string;
  modelLibUrl?: string;
  library?: { needsShaderF16: boolean };
};

/** What of an entry decides whether it fits a device. */
export function fitModelOf(model: CatalogueModel): FitModel {
  const { source, contextLength } = model;
  if (source.kind !== 'prebuilt') return { ...model, library: siteLibrary(source) };
  const { memoryBytes, needsShaderF16 } = source;
  return { ...model, library: { needsShaderF16, need: { memoryBytes, contextLength } } };
}

function siteLibrary(source: CatalogueSource): { needsShaderF16: boolean } | null {
  if (source.kind !== 'site' || source.modelLibUrl === undefined) return null;
  return { needsShaderF16: source.needsShaderF16 ?? false };
}

/** `hf:owner/repo`, then perhaps a path, then perhaps `@revision`. */
const HUGGING_FACE = /^hf:[\w.-]+\/[\w.-]+(?:\/[\w./-]+)?(?:@[\w./-]+)?$/;

/**
 * Parses a catalogue. URLs in it are relative to `baseUrl`, its own address.
 * @throws TramontaneError `config-invalid`, naming the field
 */
export function parseCatalogue(value: unknown, baseUrl: string): CatalogueModel[] {
  const fields = new FieldReader(value, 'models/models.json', {
    nextStep:
      'Build the site again (npm run build), or correct models/models.json: docs/hosting.md tells how.',
  });
  fields.integer('version', CATALOGUE_VERSION, CATALOGUE_VERSION);
  const ids = new Set<string>();
  return fields.objects('models').map((entry) => {
    const id = entry.string('id', /^[\w.-]+$/, 'a name of letters, digits, dots, dashes and underscores');
    if (ids.has(id)) throw entry.invalid('id', 'a name that occurs once');
    ids.add(id);
    const maxContextLength = entry.integer('maxContextLength', 1);
    return {
      id,
      name: readText(entry, 'name'),
      description: readText(entry, 'description'),
      parameterCount: entry.integer('parameterCount', 1),
      quantization: readText(entry, 'quantization'),
      byteLength: entry.integer('byteLength', 1),
      contextLength: entry.integer('contextLength', 1, maxContextLength),
      maxContextLength,
      kvBytesPerToken: entry.integer('kvBytesPerToken', 1),
      layerCount: entry.integer('layerCount', 1, 1024),
      template: readText(entry, 'template'),
      temperature: entry.isNull('temperature') ? null : entry.number('temperature', 0, 2),
      licence: readText(entry, 'licence'),
      sourceUrl: readUrl(entry, 'sourceUrl', baseUrl),
      source: readSource(entry.object('source'), baseUrl),
    };
  });
}

function readSource(fields: FieldReader, baseUrl: string): CatalogueSource {
  const kind = fields.oneOf('kind', ['site', 'gguf', 'prebuilt']);
  switch (kind) {
    case 'site':
      return {
        kind,
        url: readUrl(fields, 'url', baseUrl),
        ...(fields.has('modelLibUrl') ? { modelLibUrl: readUrl(fields, 'modelLibUrl', baseUrl) } : {}),
        ...(fields.has('needsShaderF16') ? { needsShaderF16: fields.boolean('needsShaderF16') } : {}),
      };
    case 'gguf':
      return {
        kind,
        files: fields.objects('files').map((file) => ({
          address: readAddress(file, 'address', baseUrl),
          quantization: readText(file, 'quantization'),
          byteLength: file.integer('byteLength', 1),
        })),
      };
    case 'prebuilt':
      return {
        kind,
        address: readAddress(fields, 'address', baseUrl),
        libraryUrl: readUrl(fields, 'libraryUrl', baseUrl),
        memoryBytes: fields.integer('memoryBytes', 1),
        needsShaderF16: fields.boolean('needsShaderF16'),
      };
  }
}

function readText(fields: FieldReader, field: string): string {
  return fields.string(field, /\S/, 'a text');
}

function readUrl(fields: FieldReader, field: string, baseUrl: string): string {
  const text = readText(fields, field);
  if (URL.canParse(text, baseUrl)) {
    const url = new URL(text, baseUrl);
    if (url.protocol === 'https:' || url.protocol === 'http:') return url.href;
  }
  throw fields.invalid(field, 'an http(s) URL, or one relative to the list');
}

function readAddress(fields: FieldReader, field: string, baseUrl: string): string {
  if (!readText(fields, field).startsWith('hf:')) return readUrl(fields, field, baseUrl);
  return fields.string(field, HUGGING_FACE, 'hf:owner/repo/file[@revision], or a URL');
}

/** The entries that the chat page can load by itself. */
export function siteModels(catalogue: readonly CatalogueModel[]): SiteModel[] {
  return catalogue.flatMap((model) => {
    if (model.source.kind !== 'site') return [];
    const { url, modelLibUrl } = model.source;
    const library = siteLibrary(model.source);
    return [
      { ...model, url, ...(modelLibUrl !== undefined && { modelLibUrl }), ...(library && { library }) },
    ];
  });
}

/**
 * Fetches and parses a catalogue.
 * @throws TramontaneError `download-failed`, `config-invalid`; `signal.reason` when aborted
 */
export async function loadCatalogue(
  url: string,
  options: { signal?: AbortSignal } = {},
): Promise<CatalogueModel[]> {
  const { signal } = options;
  let text: string;
  try {
    const response = await fetch(url, signal ? { signal } : {});
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    text = await response.text();
  } catch (cause) {
    signal?.throwIfAborted();
    throw new TramontaneError(
      'download-failed',
      `The list of models could not be read: ${errorMessage(cause)}.`,
      { cause, nextStep: 'Check the connection and reload the page.', data: { url } },
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TramontaneError('config-invalid', 'The list of models is not JSON.', {
      cause,
      nextStep: 'Build the site again (npm run build), or correct models/models.json.',
      data: { url },
    });
  }
  return parseCatalogue(value, new URL(url, globalThis.location?.href).href);
}

/** The models of a site that can be loaded as they are, for `<tramontane-chat>`. @throws as {@link loadCatalogue} */
export async function loadSiteModels(
  url: string,
  options: { signal?: AbortSignal } = {},
): Promise<SiteModel[]> {
  return siteModels(await loadCatalogue(url, options));
}
