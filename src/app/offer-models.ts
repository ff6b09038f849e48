/** Which models a page offers, and in which order: what is here and runs well comes first. */
import { deviceMemoryGib } from '../base/device-memory.ts';
import { formatDate } from '../base/number-text.ts';
import type { ModelOffer } from '../element/model-views.ts';
import type { AdapterReport, ModelCard, StoredModelInfo } from '../engine/api.ts';
import { parseAddress } from '../engine/import/address.ts';
import { type CatalogueModel, siteModels } from '../models/catalogue.ts';
import { assessFit, isDoubtful } from '../models/fit.ts';
import { pageLink } from './page-link.ts';

/**
 * The site's models and those that were imported. Imported ones that suit the device come first, the largest before
 * the others, since a person brought them; those that do not suit it come last.
 */
export function orderModels(
  catalogue: readonly CatalogueModel[],
  stored: readonly StoredModelInfo[],
  adapter: AdapterReport | null,
): ModelCard[] {
  const site = siteModels(catalogue);
  const imported = stored
    .filter(({ id }) => !site.some((model) => model.id === id))
    .sort((a, b) => b.byteLength - a.byteLength)
    .map(describeStored);
  const suits = (card: ModelCard) =>
    !isDoubtful(
      assessFit(card, {
        adapter,
        storage: null,
        bytesToStore: 0,
        contextLength: card.contextLength,
        deviceMemoryGib: deviceMemoryGib(),
        probe: null,
      }),
    );
  return [...imported.filter(suits), ...site, ...imported.filter((card) => !suits(card))];
}

function describeStored(model: StoredModelInfo): ModelCard {
  const { source, storedAt, ...facts } = model;
  const place = source.url === null ? '' : ` (${new URL(source.url).host})`;
  return {
    ...facts,
    description: `Imported from ${source.name}${place}, ${formatDate(storedAt)}.`,
    sourceUrl: source.url,
  };
}

/** What the catalogue has and the visitor has not: a link to the import page each. */
export function offerImports(
  catalogue: readonly CatalogueModel[],
  stored: readonly StoredModelInfo[],
): ModelOffer[] {
  const urls = new Set(stored.map(({ source }) => source.url));
  return catalogue
    .filter(({ source }) => {
      if (source.kind === 'site') return false;
      const addresses = source.kind === 'gguf' ? source.files.map((file) => file.address) : [source.address];
      return !addresses.some((address) => urls.has(parseAddress(address).url));
    })
    .map(({ id, name, byteLength }) => ({ name, byteLength, href: pageLink('import', { model: id }) }));
}
