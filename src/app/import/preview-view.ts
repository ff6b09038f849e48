/** What a source is, whether it fits at a context that the person chooses, and the button that imports it. */
import { html, nothing, type TemplateResult } from 'lit';
import {
  formatBytes,
  formatBytesOf,
  formatCount,
  formatDate,
  formatInteger,
} from '../../base/number-text.ts';
import type { ImportPreview } from '../../engine/api.ts';
import type { CatalogueModel } from '../../models/catalogue.ts';
import { type Fit, isDoubtful, speedLimit } from '../../models/fit.ts';
import type { StorageEstimate } from '../../storage/quota.ts';
import type { TramontaneContextEvent } from '../../ui/context-slider/context-slider.ts';
import { renderCheck, renderFit } from '../../ui/fit-view.ts';
import { icons } from '../../ui/icons.ts';
import { describeFreeRoom } from '../free-room.ts';
import { renderTest } from './device-view.ts';
import type { Candidate, ImportController } from './import-controller.ts';

export interface PreviewActions {
  import(): void;
  setContext(contextLength: number): void;
  test(wantedBytes: number): void;
  show(entry: CatalogueModel): void;
}

/** Where a source comes from, as people know it. */
export function placeOf(url: string | null): string {
  return url === null ? 'this device' : new URL(url).host;
}

/** @param smaller A model of the catalogue to suggest where this one does not fit. */
export function renderPreview(
  model: ImportController,
  candidate: Candidate,
  smaller: CatalogueModel | null,
  actions: PreviewActions,
): TemplateResult {
  const { preview, contextLength } = candidate;
  const bytesToStore = Math.max(0, preview.storedBytes - (preview.resumes?.doneBytes ?? 0));
  const estimate = model.estimateAfter(preview.obstructs?.doneBytes ?? 0);
  const fit = model.fitOf(candidate.model, bytesToStore, contextLength, estimate);
  const { probe } = model;
  const available = probe !== null && probe.grantedBytes < probe.wantedBytes ? probe.grantedBytes : null;
  const label =
    preview.resumes !== null
      ? 'Go on with the import'
      : fit?.canStore && isDoubtful(fit)
        ? 'Import it all the same'
        : 'Import';
  return html`<section class="panel" aria-labelledby="step">
    <div class="preview-head">
      <h2 id="step" tabindex="-1" data-step-title>${preview.name}</h2>
      <p class="meta">${preview.source.name}, from ${placeOf(preview.source.url)}</p>
    </div>
    <dl class="facts">
      ${describeFacts(preview).map(
        ([name, value]) => html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
      )}
    </dl>
    ${renderSha256(preview)} ${renderEarlier(preview)}
    <tramontane-context-slider
      .model=${candidate.model}
      .contextLength=${contextLength}
      .availableBytes=${available}
      @context=${(event: TramontaneContextEvent) => actions.setContext(event.contextLength)}
    ></tramontane-context-slider>
    <div class="verdict">
      <div class="checks" role="status">
        ${renderFit(fit, 'It fits the memory of this device, as far as can be told.')}
        ${fit?.canStore ? renderCheck(describeStorage(estimate, bytesToStore)) : nothing}
      </div>
      ${
        model.adapter?.isSoftware
          ? nothing
          : html`<p class="help">
              Each token reads all weights: at most ${speedLimit(candidate.model, 100e9)} tokens a second with 100 GB/s of
              memory bandwidth, ${speedLimit(candidate.model, 1e12)} with 1,000.
            </p>`
      }
      ${renderInstead(fit, smaller, actions)}
      ${fit?.verdict === 'untested' ? renderTest(model, fit.need.totalBytes, actions.test) : nothing}
    </div>
    <div class="go">
      <button class="button loud" type="button" ?disabled=${!fit?.canStore} @click=${actions.import}>
        ${icons.save} ${label}
      </button>
      <span class="meta">Reads ${formatBytes(bytesToStore)} once, and keeps what it reads on this device.</span>
    </div>
  </section>`;
}

/** Nothing compares it: a file is not hashed as it comes. */
function renderSha256({ listedSha256, source }: ImportPreview) {
  if (listedSha256 === null) return nothing;
  return html`<p class="help">
    SHA-256 of the file, as ${placeOf(source.url)} lists it, to compare with a file of yours:
    <code class="sha256">${listedSha256}</code>
  </p>`;
}

/** What of the same name is here already, whole or in part. */
function renderEarlier({ resumes, replaces, obstructs }: ImportPreview) {
  const notice = (tone: 'good' | 'warning', title: string, text: string) =>
    html`<div class="notice ${tone}">
      <div class="notice-text"><strong>${title}</strong> ${text}</div>
    </div>`;
  return html`
    ${
      resumes === null
        ? nothing
        : notice(
            'good',
            'Interrupted before.',
            `${formatBytesOf(resumes.doneBytes, resumes.totalBytes)} are here already and will not be read again.`,
          )
    }
    ${
      replaces === null
        ? nothing
        : notice(
            'warning',
            'A model of this name is stored.',
            `It is from ${formatDate(replaces.storedAt)} and will be replaced when this import is whole.`,
          )
    }
    ${
      obstructs === null
        ? nothing
        : notice(
            'warning',
            'Another import of this name was interrupted.',
            `It read ${obstructs.source.name}; its ${formatBytes(obstructs.doneBytes)} are given up when this one begins.`,
          )
    }
  `;
}

function renderInstead(fit: Fit | null, smaller: CatalogueModel | null, actions: PreviewActions) {
  if (fit === null || !isDoubtful(fit)) return nothing;
  const { contextInstead } = fit;
  return html`
    ${
      contextInstead === null
        ? nothing
        : html`<div class="buttons">
            <button class="button" type="button" @click=${() => actions.setContext(contextInstead)}>
              Use ${formatInteger(contextInstead)} tokens, which fit
            </button>
          </div>`
    }
    ${
      smaller === null
        ? nothing
        : html`<p class="help">
            Smaller, and likely to fit:
            <button class="button" type="button" @click=${() => actions.show(smaller)}>${smaller.name}</button>
          </p>`
    }
  `;
}

function describeStorage(estimate: StorageEstimate | null, bytesToStore: number): string {
  const takes = `It takes ${formatBytes(bytesToStore)} of storage`;
  if (estimate === null) return `${takes}.`;
  return `${takes}, of ${describeFreeRoom(estimate)} that are free for this site.`;
}

function describeFacts(preview: ImportPreview): [label: string, value: string][] {
  const total = preview.formats.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const formats = [...preview.formats]
    .sort((a, b) => b.byteLength - a.byteLength)
    .map(({ type, byteLength }) => [type, Math.round((byteLength / total) * 100)] as const)
    .map(([type, percent]) => (percent === 0 ? type : `${type} ${percent}%`));
  return [
    ['Size', formatBytes(preview.sourceBytes)],
    ['Parameters', formatCount(preview.parameterCount)],
    ['Build', preview.quantization],
    ['Weights', formats.join(', ')],
    ['Chat template', preview.template],
    ['Temperature', String(preview.temperature)],
    ['Licence', preview.licence ?? 'not told'],
  ];
}
