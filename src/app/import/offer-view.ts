/** A model of the catalogue: what it is, whether it fits, and where it can be had. */
import { html, nothing, type TemplateResult } from 'lit';
import { formatBytes, formatCount, formatInteger } from '../../base/number-text.ts';
import type { ImportSource, StoredModelInfo } from '../../engine/api.ts';
import { parseAddress } from '../../engine/import/address.ts';
import type { CatalogueModel } from '../../models/catalogue.ts';
import type { Fit } from '../../models/fit.ts';
import { renderFit } from '../../ui/fit-view.ts';
import { pageLink } from '../page-link.ts';

export interface OfferFacts {
  /** Null while the device is being looked at. */
  fit: Fit | null;
  /** The model, where it is on this device already. */
  stored: StoredModelInfo | null;
  /** The person came for it. */
  isWanted: boolean;
  /** It is the one to take where the person has no wish of their own. */
  isAdvised: boolean;
}

/** A place where a model can be had. */
interface Build {
  source: ImportSource & { kind: 'address' };
  quantization: string;
  byteLength: number;
}

/** Where an entry can be had, the recommended place first; nowhere for what the chat loads by itself. */
function buildsOf(entry: CatalogueModel): Build[] {
  const { source, quantization, byteLength } = entry;
  switch (source.kind) {
    case 'site':
      return [];
    case 'gguf':
      return source.files.map(({ address, ...build }) => ({
        ...build,
        source: { kind: 'address', address },
      }));
    case 'prebuilt': {
      const { address, libraryUrl } = source;
      const temperature = entry.temperature === null ? {} : { temperature: entry.temperature };
      return [{ source: { kind: 'address', address, libraryUrl, ...temperature }, quantization, byteLength }];
    }
  }
}

/** The source of an entry that is kept under an address; undefined where the entry is not to be had there. */
export function sourceAt(entry: CatalogueModel, url: string): ImportSource | undefined {
  return buildsOf(entry).find(({ source }) => parseAddress(source.address).url === url)?.source;
}

export function renderOffer(
  entry: CatalogueModel,
  { fit, stored, isWanted, isAdvised }: OfferFacts,
  choose: (source: ImportSource) => void,
): TemplateResult {
  return html`<li class="panel offer" ?data-wanted=${isWanted}>
    <div class="offer-head">
      <h3>${entry.name}</h3>
      ${stored ? html`<span class="stored-mark">On this device</span>` : nothing}
    </div>
    <p class="description">${entry.description}</p>
    <p class="meta">
      ${describeEntry(entry)} ·
      <a href=${entry.sourceUrl} target="_blank" rel="noopener noreferrer" aria-label="About ${entry.name}"
        >source</a
      >
    </p>
    <div>${renderFit(fit)}</div>
    ${renderWays(entry, stored, isAdvised, choose)}
  </li>`;
}

function renderWays(
  entry: CatalogueModel,
  stored: StoredModelInfo | null,
  isAdvised: boolean,
  choose: (source: ImportSource) => void,
): TemplateResult {
  if (stored || entry.source.kind === 'site') {
    return html`<div class="buttons">
      <a class="button" href=${pageLink('index', { model: stored?.id ?? entry.id })}
        >${stored ? 'Chat with it' : 'Load it in the chat'}</a
      >
    </div>`;
  }
  const builds = buildsOf(entry);
  if (builds.length === 0) {
    return html`<p class="help">Choose a GGUF of it that you have, or type its address.</p>`;
  }
  return html`<ul class="builds">
    ${builds.map((build, index) => renderBuild(entry, build, isAdvised && index === 0, choose))}
  </ul>`;
}

function renderBuild(
  entry: CatalogueModel,
  { source, quantization, byteLength }: Build,
  isAdvised: boolean,
  choose: (source: ImportSource) => void,
): TemplateResult {
  const publisher = publisherOf(source.address);
  return html`<li class="build">
    <span>
      <span class="build-name">${quantization}, about ${formatBytes(byteLength)}</span>
      <span class="build-place" title=${source.address}>${publisher}</span>
    </span>
    <button
      class="button ${isAdvised ? 'loud' : ''}"
      type="button"
      aria-label="Choose ${entry.name}, ${quantization}, from ${publisher}"
      @click=${() => choose(source)}
    >
      Choose
    </button>
  </li>`;
}

/** `huggingface.co/lmstudio-community`: whose file it is. */
function publisherOf(address: string): string {
  const { host, pathname } = new URL(parseAddress(address).url);
  return `${host}${pathname.split('/').slice(0, 2).join('/')}`;
}

function describeEntry(entry: CatalogueModel): string {
  const { parameterCount, maxContextLength, template, temperature, licence } = entry;
  return [
    `${formatCount(parameterCount)} parameters`,
    `up to ${formatInteger(maxContextLength)} tokens`,
    `template ${template}`,
    temperature === null ? null : `temperature ${temperature}`,
    licence,
  ]
    .filter((text) => text !== null)
    .join(' · ');
}
