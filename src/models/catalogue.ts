/**
 * The site's list of models: `models/models.json`, written by the build. Parsing is strict, because a card decides
 * what a person downloads: a missing or odd field is an error that names it, never a default.
 */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';

/** One model as a person chooses it. Structurally the engine's `ModelCard`, which this room may not import. */
export interface CatalogueModel {
  id: string;
  /** Absolute. */
  url: string;
  /** Absolute. */
  modelLibUrl?: string;
  name: string;
  description: string;
  byteLength: number;
  parameterCount: number;
  quantization: string;
  contextLength: number;
  licence: string;
  sourceUrl: string;
}

const CATALOGUE_VERSION = 1;

function invalid(found: string, field: string): TramontaneError {
  return new TramontaneError('config-invalid', `The list of models is not valid: ${found}.`, {
    nextStep: 'Build the site again (npm run build), or correct models/models.json.',
    data: { field },
  });
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : shown(value);
}

function readText(record: Record<string, unknown>, field: string, path: string): string {
  const value = record[field];
  if (typeof value !== 'string' || value === '') {
    throw invalid(`${path}.${field} should be a text, found ${describe(value)}`, `${path}.${field}`);
  }
  return value;
}

function readCount(record: Record<string, unknown>, field: string, path: string): number {
  const value = record[field];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value <= 0) {
    throw invalid(
      `${path}.${field} should be a whole number above 0, found ${describe(value)}`,
      `${path}.${field}`,
    );
  }
  return value;
}

function readUrl(record: Record<string, unknown>, field: string, path: string, baseUrl: string): string {
  const text = readText(record, field, path);
  let url: URL;
  try {
    url = new URL(text, baseUrl);
  } catch (cause) {
    throw new TramontaneError(
      'config-invalid',
      `The list of models is not valid: ${path}.${field} is not a URL: ${describe(text)}.`,
      { cause, data: { field: `${path}.${field}` } },
    );
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw invalid(`${path}.${field} should be an http(s) URL, found ${describe(text)}`, `${path}.${field}`);
  }
  return url.href;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses a catalogue. URLs in it are relative to `baseUrl`, its own address.
 * @throws TramontaneError `config-invalid`, naming the field.
 */
export function parseCatalogue(value: unknown, baseUrl: string): CatalogueModel[] {
  if (!isRecord(value)) throw invalid(`it should be an object, found ${describe(value)}`, '');
  if (value.version !== CATALOGUE_VERSION) {
    throw invalid(`version should be ${CATALOGUE_VERSION}, found ${describe(value.version)}`, 'version');
  }
  if (!Array.isArray(value.models)) {
    throw invalid(`models should be a list, found ${describe(value.models)}`, 'models');
  }
  const seen = new Set<string>();
  return value.models.map((entry: unknown, index) => {
    const path = `models[${index}]`;
    if (!isRecord(entry)) throw invalid(`${path} should be an object, found ${describe(entry)}`, path);
    const id = readText(entry, 'id', path);
    if (seen.has(id)) throw invalid(`${path}.id is there twice: ${describe(id)}`, `${path}.id`);
    seen.add(id);
    return {
      id,
      url: readUrl(entry, 'url', path, baseUrl),
      ...(entry.modelLibUrl === undefined
        ? {}
        : { modelLibUrl: readUrl(entry, 'modelLibUrl', path, baseUrl) }),
      name: readText(entry, 'name', path),
      description: readText(entry, 'description', path),
      byteLength: readCount(entry, 'byteLength', path),
      parameterCount: readCount(entry, 'parameterCount', path),
      quantization: readText(entry, 'quantization', path),
      contextLength: readCount(entry, 'contextLength', path),
      licence: readText(entry, 'licence', path),
      sourceUrl: readUrl(entry, 'sourceUrl', path, baseUrl),
    };
  });
}

/**
 * Fetches and parses a catalogue.
 * @throws TramontaneError `download-failed`, `config-invalid`; `signal.reason` when aborted.
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
