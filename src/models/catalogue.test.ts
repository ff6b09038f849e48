import { expect, test } from 'vitest';
import { isTramontaneError } from '../base/errors.ts';
import { parseCatalogue } from './catalogue.ts';

const card = {
  id: 'smollm2-135m-instruct',
  url: 'smollm2-135m-instruct/',
  name: 'SmolLM2 135M',
  description: 'Small.',
  byteLength: 98_000_000,
  parameterCount: 134_515_008,
  quantization: 'Q4_1',
  contextLength: 8192,
  licence: 'Apache-2.0',
  sourceUrl: 'https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct',
};
const base = 'https://example.org/some/path/models/models.json';

function fieldOf(value: unknown): unknown {
  try {
    parseCatalogue(value, base);
  } catch (error) {
    if (isTramontaneError(error) && error.code === 'config-invalid') return error.data.field;
    throw error;
  }
  return undefined;
}

test('URLs are relative to the catalogue', () => {
  const [model] = parseCatalogue({ version: 1, models: [{ ...card, modelLibUrl: '../lib.wasm' }] }, base);
  expect(model?.url).toBe('https://example.org/some/path/models/smollm2-135m-instruct/');
  expect(model?.modelLibUrl).toBe('https://example.org/some/path/lib.wasm');
});

test('an empty list is fine', () => {
  expect(parseCatalogue({ version: 1, models: [] }, base)).toEqual([]);
});

test.each([
  ['not an object', [], ''],
  ['another version', { version: 2, models: [] }, 'version'],
  ['no list', { version: 1 }, 'models'],
  ['an entry that is no object', { version: 1, models: [null] }, 'models[0]'],
  ['the same id twice', { version: 1, models: [card, card] }, 'models[1].id'],
  ['a script URL', { version: 1, models: [{ ...card, url: 'javascript:alert(1)' }] }, 'models[0].url'],
  ['half a byte', { version: 1, models: [{ ...card, byteLength: 0.5 }] }, 'models[0].byteLength'],
])('%s is refused, and the field is named', (_what, value, field) => {
  expect(fieldOf(value)).toBe(field);
});

test.each(Object.keys(card))('a card without %s is refused', (key) => {
  const { [key as keyof typeof card]: _left, ...rest } = card;
  expect(fieldOf({ version: 1, models: [rest] })).toBe(`models[0].${key}`);
});
