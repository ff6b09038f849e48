import { readFile } from 'node:fs/promises';
import { prebuiltAppConfig } from '@mlc-ai/web-llm';
import { expect, test } from 'vitest';
import { isTramontaneError } from '../base/errors.ts';
import { type CatalogueModel, parseCatalogue, siteModels } from './catalogue.ts';

const entry = {
  id: 'smollm2-135m-instruct',
  name: 'SmolLM2 135M',
  description: 'Small.',
  parameterCount: 134_515_008,
  quantization: 'Q4_1',
  byteLength: 98_000_000,
  contextLength: 4096,
  maxContextLength: 8192,
  kvBytesPerToken: 23_040,
  layerCount: 30,
  template: 'chatml',
  temperature: 0.2,
  licence: 'Apache-2.0',
  sourceUrl: 'https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct',
  source: { kind: 'site', url: 'smollm2-135m-instruct/' },
};
const file = { address: 'hf:owner/repo/file.gguf@main', quantization: 'Q4_K_M', byteLength: 1 };
const prebuilt = {
  kind: 'prebuilt',
  address: 'hf:owner/repo',
  libraryUrl: 'https://example.org/library.wasm',
  memoryBytes: 1,
  needsShaderF16: true,
};
const base = 'https://example.org/some/path/models/models.json';
const list = (...models: unknown[]) => ({ version: 2, models });

function fieldOf(value: unknown): unknown {
  try {
    parseCatalogue(value, base);
  } catch (error) {
    if (isTramontaneError(error) && error.code === 'config-invalid') return error.data.field;
    throw error;
  }
  return undefined;
}

test('URLs are relative to the catalogue; what the site has can be loaded', () => {
  const source = { ...entry.source, modelLibUrl: '../lib.wasm', needsShaderF16: true };
  const own = { ...entry, id: 'own', source: { kind: 'gguf', files: [{ ...file, address: '../own.gguf' }] } };
  const catalogue = parseCatalogue(list(own, { ...entry, source }), base);
  expect(catalogue[0]?.source).toMatchObject({
    files: [{ address: 'https://example.org/some/path/own.gguf' }],
  });
  const models = siteModels(catalogue);
  expect(models).toHaveLength(1);
  expect(models[0]?.url).toBe('https://example.org/some/path/models/smollm2-135m-instruct/');
  expect(models[0]?.modelLibUrl).toBe('https://example.org/some/path/lib.wasm');
  expect(models[0]?.library).toEqual({ needsShaderF16: true });
});

test('an empty list is fine, and so are a model without a recommended file and one without a temperature', () => {
  expect(parseCatalogue(list(), base)).toEqual([]);
  const models = [{ ...entry, temperature: null, source: { kind: 'gguf', files: [] } }];
  expect(parseCatalogue({ version: 2, models }, base)).toEqual(models);
});

test.each([
  ['not an object', [], ''],
  ['another version', { version: 1, models: [] }, 'version'],
  ['no list', { version: 2 }, 'models'],
  ['an entry that is no object', list(null), 'models[0]'],
  ['the same id twice', list(entry, entry), 'models[1].id'],
  ['an id with a slash', list({ ...entry, id: 'a/b' }), 'models[0].id'],
  ['a context longer than the model’s', list({ ...entry, contextLength: 8193 }), 'models[0].contextLength'],
  ['half a byte', list({ ...entry, byteLength: 0.5 }), 'models[0].byteLength'],
  ['a blank name', list({ ...entry, name: ' ' }), 'models[0].name'],
  ['a source of no known kind', list({ ...entry, source: { kind: 'torrent' } }), 'models[0].source.kind'],
  [
    'a script URL',
    list({ ...entry, source: { kind: 'site', url: 'javascript:alert(1)' } }),
    'models[0].source.url',
  ],
  [
    'a Hugging Face address without a repository',
    list({ ...entry, source: { kind: 'gguf', files: [{ ...file, address: 'hf:owner' }] } }),
    'models[0].source.files[0].address',
  ],
  [
    'a file without a size',
    list({ ...entry, source: { kind: 'gguf', files: [{ ...file, byteLength: undefined }] } }),
    'models[0].source.files[0].byteLength',
  ],
  [
    'a library that is no URL',
    list({ ...entry, source: { ...prebuilt, libraryUrl: 'http://' } }),
    'models[0].source.libraryUrl',
  ],
])('%s is refused, and the field is named', (_what, value, field) => {
  expect(fieldOf(value)).toBe(field);
});

test.each(Object.keys(entry))('an entry without %s is refused', (key) => {
  const { [key as keyof typeof entry]: _left, ...rest } = entry;
  expect(fieldOf(list(rest))).toBe(`models[0].${key}`);
});

test.each(Object.keys(prebuilt))('a prebuilt source without %s is refused', (key) => {
  const { [key as keyof typeof prebuilt]: _left, ...source } = prebuilt;
  expect(fieldOf(list({ ...entry, source }))).toBe(`models[0].source.${key}`);
});

async function committed(): Promise<CatalogueModel[]> {
  const text = await readFile(new URL('../../models/models.json', import.meta.url), 'utf8');
  return parseCatalogue(JSON.parse(text), base);
}

test('the committed list is valid, and begins with Mistral Small 3.2', async () => {
  const models = await committed();
  expect(models[0]).toMatchObject({
    name: 'Mistral Small 3.2 24B',
    kvBytesPerToken: 160 * 1024,
    temperature: 0.15,
    licence: 'Apache-2.0',
    template: 'mistral-v11',
  });
  for (const { source, byteLength, quantization } of models) {
    if (source.kind === 'gguf') expect(source.files[0]).toMatchObject({ byteLength, quantization });
  }
});

test('what it says of prebuilt libraries is what WebLLM says', async () => {
  const models = (await committed()).filter(({ source }) => source.kind === 'prebuilt');
  expect(models).toHaveLength(2);
  for (const { source, contextLength } of models) {
    if (source.kind !== 'prebuilt') throw new Error('not prebuilt');
    const folder = source.address.replace('hf:', 'https://huggingface.co/');
    const record = prebuiltAppConfig.model_list.find((model) => model.model === folder);
    expect(record?.model_lib).toBe(source.libraryUrl);
    expect(record?.overrides?.context_window_size).toBe(contextLength);
    // WebLLM's list forgets it for one of the two; both are compiled for f16.
    expect(source.needsShaderF16).toBe(/q\df16/.test(source.libraryUrl));
    expect(Math.round((record?.vram_required_MB ?? 0) * 2 ** 20)).toBe(source.memoryBytes);
  }
});
