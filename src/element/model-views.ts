/** How a model's state looks; the chat and the JSON playground share it. */
import { html, nothing, type TemplateResult } from 'lit';
import { isTramontaneError } from '../base/errors.ts';
import { formatBytes } from '../base/number-text.ts';
import type { ModelCard } from '../engine/api.ts';
import { isDoubtful } from '../models/fit.ts';
import { icons } from '../ui/icons.ts';
import { describeProgress } from '../ui/progress/describe-progress.ts';
import { adviseOnWebGpu } from '../ui/webgpu-advice.ts';
import type { ModelController } from './model-controller.ts';

export interface ModelActions {
  load(card: ModelCard): void;
  cancel(): void;
}

/** An error as its message, its next step, and what to press. */
export function renderFailure(
  error: Error,
  action: TemplateResult | typeof nothing = nothing,
): TemplateResult {
  const nextStep = isTramontaneError(error) ? error.nextStep : null;
  return html`<div class="notice danger" role="alert">
    <div class="notice-text">
      <strong>${error.message}</strong>
      ${nextStep === null ? nothing : html`<span class="next-step">${nextStep}</span>`}
    </div>
    ${action}
  </div>`;
}

export function renderLoading(
  model: ModelController,
  actions: ModelActions,
): TemplateResult | typeof nothing {
  const { state } = model;
  if (state.status !== 'loading') return nothing;
  const { label, value, detail } = describeProgress(state.progress);
  return html`<div class="loading" part="loading">
    <tramontane-progress
      label=${`${label}: ${state.card.name}`}
      .value=${value}
      detail=${detail}
      exportparts="track: progress-track, indicator: progress-indicator"
    ></tramontane-progress>
    <button class="button small" type="button" @click=${actions.cancel}>Cancel</button>
  </div>`;
}

/** A model that is not here yet, and the page that brings it. */
export interface ModelOffer {
  name: string;
  /** About. */
  byteLength: number;
  href: string;
}

/** The chosen model as a card, the others in a list below it; or what a device without WebGPU can do. */
export function renderModelChoice(
  model: ModelController,
  choice: { cards: readonly ModelCard[]; chosen: ModelCard | null; offers: readonly ModelOffer[] },
  actions: ModelActions,
): TemplateResult {
  const { state } = model;
  if (model.adapter === null) return renderNoWebGpu();
  if (state.status === 'loading') {
    return html`<div class="panel">${renderLoading(model, actions)}</div>`;
  }
  const failed = state.status === 'failed' ? state : null;
  const chosen = failed?.card === null ? null : choice.chosen;
  return html`
    ${
      failed
        ? renderFailure(
            failed.error,
            failed.card
              ? html`<button class="button" type="button" @click=${() => actions.load(failed.card!)}>
                  ${icons.retry} Try again
                </button>`
              : nothing,
          )
        : nothing
    }
    ${
      chosen === null
        ? nothing
        : html`<tramontane-model-card
            exportparts="card: model-card, load-button"
            .model=${chosen}
            .fit=${model.fitOf(chosen)}
            ?stored=${model.storedIds.has(chosen.id)}
            @load=${() => actions.load(chosen)}
          ></tramontane-model-card>`
    }
    ${renderModelList(model, { ...choice, chosen }, actions)}
  `;
}

/** Every model but the chosen one, a line each, and those that can be imported. */
export function renderModelList(
  model: ModelController,
  {
    cards,
    chosen,
    offers,
  }: { cards: readonly ModelCard[]; chosen: ModelCard | null; offers: readonly ModelOffer[] },
  actions: ModelActions,
): TemplateResult | typeof nothing {
  const others = cards.filter((card) => card.id !== chosen?.id);
  if (others.length + offers.length === 0) return nothing;
  return html`<ul class="other-models" aria-label="Other models">
    ${others.map((card) => {
      const fit = model.fitOf(card);
      const isStored = model.storedIds.has(card.id);
      const place = isStored ? 'on this device' : 'from this site';
      return html`<li>
        <span class="other-name">
          <strong>${card.name}</strong>
          <span>${formatBytes(card.byteLength)}, ${fit && isDoubtful(fit) ? fit.findings[0]?.text : place}</span>
        </span>
        <button
          class="button"
          type="button"
          aria-label="Load ${card.name}"
          ?disabled=${(fit?.verdict ?? 'impossible') === 'impossible'}
          @click=${() => actions.load(card)}
        >
          Load
        </button>
      </li>`;
    })}
    ${offers.map(
      (offer) => html`<li>
        <span class="other-name">
          <strong>${offer.name}</strong>
          <span>about ${formatBytes(offer.byteLength)}, to be imported</span>
        </span>
        <a class="button" href=${offer.href} aria-label="Import ${offer.name}">Import</a>
      </li>`,
    )}
  </ul>`;
}

/** One line for a conversation that waits for its model. */
export function renderModelDock(
  model: ModelController,
  card: ModelCard | null,
  actions: ModelActions,
): TemplateResult | typeof nothing {
  const { state } = model;
  if (model.adapter === null) return renderNoWebGpu();
  if (state.status === 'loading')
    return html`<div class="panel compact">${renderLoading(model, actions)}</div>`;
  const wanted = (state.status === 'failed' ? state.card : null) ?? card;
  if (state.status === 'ready' || wanted === null) return nothing;
  const fit = model.fitOf(wanted);
  const button = html`<button
    class="button loud"
    type="button"
    part="load-button"
    ?disabled=${(fit?.verdict ?? 'impossible') === 'impossible'}
    @click=${() => actions.load(wanted)}
  >
    ${state.status === 'failed' ? 'Reload model' : model.storedIds.has(wanted.id) ? 'Load' : 'Download and load'}
  </button>`;
  if (state.status === 'failed') return renderFailure(state.error, button);
  return html`<div class="panel compact waiting-model">
    <span>
      Load <strong>${wanted.name}</strong> to go on with this conversation.
      ${fit?.verdict === 'impossible' ? fit.findings[0]?.text : nothing}
    </span>
    ${button}
  </div>`;
}

/** What a device without WebGPU can do. */
export function renderNoWebGpu(): TemplateResult {
  const { problem, steps } = adviseOnWebGpu({
    userAgent: navigator.userAgent,
    isSecureContext,
    hasWebGpu: 'gpu' in navigator,
  });
  return html`<section class="panel no-webgpu" part="unsupported" aria-labelledby="no-webgpu-title">
    <h2 id="no-webgpu-title">This browser cannot reach the GPU</h2>
    <p>${problem}</p>
    <ol>
      ${steps.map((step) => html`<li>${step}</li>`)}
    </ol>
    <button class="button" type="button" @click=${() => location.reload()}>${icons.retry} Look again</button>
  </section>`;
}
