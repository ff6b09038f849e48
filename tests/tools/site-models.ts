/** The list of models of a site whose only model is tiny-mistral. */
import { CATALOGUE_VERSION, type CatalogueModel } from '../../src/models/catalogue.ts';

const model: CatalogueModel = {
  id: 'tiny-mistral',
  name: 'Tiny Mistral',
  description: 'Random weights, for tests.',
  parameterCount: 800_000,
  quantization: 'Q4_0',
  byteLength: 800_000,
  contextLength: 2048,
  maxContextLength: 2048,
  kvBytesPerToken: 1024,
  layerCount: 2,
  template: 'mistral-v11',
  temperature: 0.15,
  licence: 'Apache-2.0',
  sourceUrl: 'https://example.org/',
  source: { kind: 'site', url: 'tiny-mistral/' },
};

/** Content of `models/models.json`; the model's folder is `models/tiny-mistral/`. */
export const TINY_MODELS_JSON = JSON.stringify({ version: CATALOGUE_VERSION, models: [model] });
