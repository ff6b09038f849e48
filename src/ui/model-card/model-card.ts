/** A model as a person chooses it: what it is, what it costs, whether this device can run it, and the button. */
import { css, html, LitElement, nothing } from 'lit';
import { property } from 'lit/decorators.js';
import { formatBytes, formatCount, formatInteger } from '../../base/number-text.ts';
import type { ModelCard } from '../../engine/api.ts';
import type { Fit } from '../../models/fit.ts';
import { controls } from '../controls.styles.ts';
import { fitStyles, renderFit } from '../fit-view.ts';
import { base } from '../tokens.css.ts';

/**
 * @fires load - The button was pressed. Does not leave the shadow tree it is in.
 * @csspart card - The frame.
 * @csspart load-button - The button that loads the model.
 */
export class TramontaneModelCard extends LitElement {
  static override styles = [
    base,
    controls,
    fitStyles,
    css`
      :host {
        display: block;
        text-align: start;
      }

      .card {
        display: grid;
        gap: var(--_space-4);
        padding: var(--_space-5);
        border: 1px solid var(--_border);
        border-radius: var(--_radius-large);
        background: var(--_surface-raised);
        box-shadow: var(--_shadow);
      }

      header {
        display: flex;
        flex-wrap: wrap;
        align-items: baseline;
        justify-content: space-between;
        gap: var(--_space-1) var(--_space-3);
      }

      h2 {
        margin: 0;
        font-size: 1.125rem;
        font-weight: 620;
        letter-spacing: -0.01em;
      }

      .stored {
        color: var(--_good);
        font-size: var(--_text-small);
        font-weight: 550;
      }

      .description {
        margin: 0;
        color: var(--_text-quiet);
        font-size: var(--_text-medium);
        line-height: 1.55;
      }

      dl {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(6.5rem, 1fr));
        gap: var(--_space-3) var(--_space-4);
        margin: 0;
        padding: var(--_space-4) 0;
        border-block: 1px solid var(--_border);
      }

      dt {
        color: var(--_text-quiet);
        font-size: var(--_text-small);
      }

      dd {
        margin: 0.125rem 0 0;
        font-size: var(--_text-medium);
        font-variant-numeric: tabular-nums;
        font-weight: 550;
      }

      footer {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        justify-content: space-between;
        gap: var(--_space-3) var(--_space-4);
      }

      .source {
        color: var(--_text-quiet);
        font-size: var(--_text-small);
      }

      .source a {
        color: inherit;
        text-underline-offset: 0.18em;
      }
    `,
  ];

  @property({ attribute: false }) model: ModelCard | null = null;
  /** Null while the device is being looked at. */
  @property({ attribute: false }) fit: Fit | null = null;
  @property({ type: Boolean }) stored = false;
  @property({ type: Boolean }) disabled = false;

  protected override render() {
    const { model } = this;
    if (!model) return nothing;
    return html`
      <article class="card" part="card" aria-labelledby="name">
        <header>
          <h2 id="name">${model.name}</h2>
          ${this.stored ? html`<span class="stored">On this device</span>` : nothing}
        </header>
        <p class="description">${model.description}</p>
        <dl>
          ${describeFacts(model, this.stored).map(
            ([label, value]) => html`<div>
              <dt>${label}</dt>
              <dd>${value}</dd>
            </div>`,
          )}
        </dl>
        ${renderFit(this.fit)}
        <footer>
          <button
            class="button loud"
            part="load-button"
            type="button"
            ?disabled=${this.disabled || this.fit === null || this.fit.verdict === 'impossible'}
            @click=${() => this.dispatchEvent(new Event('load'))}
          >
            ${this.stored ? 'Load' : `Download and load`}
          </button>
          <span class="source">
            ${model.licence}${
              model.sourceUrl === null
                ? nothing
                : html`${model.licence === null ? nothing : ', '}<a
                      href=${model.sourceUrl}
                      target="_blank"
                      rel="noopener noreferrer"
                      >source</a
                    >`
            }
          </span>
        </footer>
      </article>
    `;
  }
}

/** What is known of a model, in words. */
function describeFacts(model: ModelCard, isStored: boolean): [label: string, value: string][] {
  const { byteLength, parameterCount, quantization, contextLength } = model;
  const facts: [string, string | null][] = [
    [isStored ? 'Size' : 'Download', formatBytes(byteLength)],
    ['Parameters', parameterCount === null ? null : formatCount(parameterCount)],
    ['Weights', quantization],
    ['Context', contextLength === null ? null : `${formatInteger(contextLength)} tokens`],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== null);
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-model-card': TramontaneModelCard;
  }
}
