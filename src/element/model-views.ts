/** How a model's state looks; the chat and the JSON playground share it. */
import { html, nothing, type TemplateResult } from 'lit';
import { isTramontaneError } from '../base/errors.ts';
import type { ModelCard } from '../engine/api.ts';
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

/** Every model as a card, or what a device without WebGPU can do. */
export function renderModelChoice(
  model: ModelController,
  cards: readonly ModelCard[],
  actions: ModelActions,
): TemplateResult {
  const { state } = model;
  if (model.adapter === null) return renderNoWebGpu();
  if (state.status === 'loading') {
    return html`<div class="panel">${renderLoading(model, actions)}</div>`;
  }
  const failed = state.status === 'failed' ? state : null;
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
    ${(failed?.card === null ? [] : cards).map(
      (card) => html`<tramontane-model-card
        exportparts="card: model-card, load-button"
        .model=${card}
        .fit=${model.fitOf(card)}
        ?stored=${model.storedIds.has(card.id)}
        @load=${() => actions.load(card)}
      ></tramontane-model-card>`,
    )}
  `;
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
