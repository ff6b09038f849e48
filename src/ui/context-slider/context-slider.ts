/** How much context a model gets, and what that costs: a slider, with the memory that it takes drawn to scale. */
import { css, html, LitElement, nothing } from 'lit';
import { property, query } from 'lit/decorators.js';
import { formatInteger, formatMemory } from '../../base/number-text.ts';
import { contextSteps, type FitModel, memoryNeed } from '../../models/fit.ts';
import { base } from '../tokens.css.ts';

export class TramontaneContextEvent extends Event {
  constructor(readonly contextLength: number) {
    super('context');
  }
}

/**
 * Shows nothing for a model whose files do not tell what a token of context costs.
 * @fires context - The person moved the slider (`contextLength`). Does not leave the shadow tree it is in.
 */
export class TramontaneContextSlider extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: grid;
        gap: var(--_space-2);
        min-width: 0;
      }

      .head {
        display: flex;
        flex-wrap: wrap;
        align-items: baseline;
        justify-content: space-between;
        gap: 0 var(--_space-3);
        font-size: var(--_text-medium);
      }

      label {
        font-weight: 550;
      }

      output {
        font-variant-numeric: tabular-nums;
      }

      output strong {
        font-weight: 600;
      }

      input {
        width: 100%;
        /* Room for a finger around a thin track. */
        height: 1.75rem;
        margin: 0;
        accent-color: var(--_fill-loud);
        cursor: pointer;
      }

      input:disabled {
        cursor: not-allowed;
      }

      .scale {
        position: relative;
        padding-block: 4px;
      }

      .bar {
        display: flex;
        height: 10px;
        overflow: hidden;
        border-radius: 5px;
        background: var(--_surface-sunken);
        box-shadow: inset 0 0 0 1px var(--_border);
        forced-color-adjust: none;
      }

      .bar span {
        flex: 0 0 auto;
        transition: width 160ms ease-out;
      }

      .weights {
        background: var(--_fill-loud);
      }

      .cache {
        background: color-mix(in srgb, var(--_fill-loud) 55%, var(--_surface-raised));
      }

      .working {
        background: color-mix(in srgb, var(--_fill-loud) 25%, var(--_surface-raised));
      }

      .available {
        position: absolute;
        inset-block: 0;
        width: 2px;
        border-radius: 1px;
        background: var(--_text);
        forced-color-adjust: none;
      }

      dl {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr));
        gap: var(--_space-2) var(--_space-4);
        margin: 0;
        font-size: var(--_text-small);
      }

      dt {
        display: flex;
        align-items: center;
        gap: 0.375rem;
        color: var(--_text-quiet);
      }

      dt i {
        flex: none;
        width: 8px;
        height: 8px;
        border-radius: 2px;
        forced-color-adjust: none;
      }

      dd {
        margin: 0;
        font-variant-numeric: tabular-nums;
      }

      .total dd {
        font-weight: 600;
      }
    `,
  ];

  @property({ attribute: false }) model: FitModel | null = null;
  @property({ attribute: false }) contextLength = 0;
  /** Memory that the GPU is known to grant, marked on the bar; null where it is not known. */
  @property({ attribute: false }) availableBytes: number | null = null;
  @property({ type: Boolean }) disabled = false;

  @query('.bar') private bar!: HTMLElement | null;
  @query('.available') private mark!: HTMLElement | null;

  /** Not style attributes in the template: a strict style-src forbids them. */
  protected override updated(): void {
    const { model, bar } = this;
    if (!model || !bar) return;
    const need = memoryNeed(model, this.contextLength);
    const most = memoryNeed(model, model.maxContextLength).totalBytes;
    const scale = Math.max(most, this.availableBytes ?? 0);
    const parts = [need.weightBytes, need.workingBytes, need.kvCacheBytes];
    for (const [index, byteLength] of parts.entries()) {
      (bar.children[index] as HTMLElement).style.width = `${(byteLength / scale) * 100}%`;
    }
    if (this.mark && this.availableBytes !== null) {
      this.mark.style.insetInlineStart = `calc(${(this.availableBytes / scale) * 100}% - 1px)`;
    }
  }

  protected override render() {
    const { model, contextLength } = this;
    if (!model?.maxContextLength || !model.kvBytesPerToken) return nothing;
    const steps = contextSteps(model.maxContextLength);
    const index = steps.findLastIndex((step) => step <= contextLength);
    const need = memoryNeed(model, contextLength);
    const tokens = `${formatInteger(contextLength)} tokens`;
    const total = formatMemory(need.totalBytes);
    const parts = [
      ['weights', 'Weights', formatMemory(need.weightBytes)],
      ['working', 'Working memory', formatMemory(need.workingBytes)],
      [
        'cache',
        'KV cache',
        `${formatMemory(need.kvCacheBytes)}, ${formatMemory(model.kvBytesPerToken)} per token`,
      ],
    ] as const;
    return html`
      <div class="head">
        <label for="context">Context</label>
        <output for="context"><strong>${tokens}</strong> · ${total} of memory</output>
      </div>
      <input
        id="context"
        type="range"
        min="0"
        max=${steps.length - 1}
        step="1"
        ?disabled=${this.disabled || steps.length < 2}
        .value=${String(Math.max(0, index))}
        aria-valuetext="${tokens}, ${total} of memory in all"
        aria-describedby="parts"
        @input=${(event: Event) => this.#onInput(steps, event.target as HTMLInputElement)}
      />
      <div class="scale" aria-hidden="true">
        <div class="bar">${parts.map(([name]) => html`<span class=${name}></span>`)}</div>
        ${this.availableBytes === null ? nothing : html`<div class="available"></div>`}
      </div>
      <dl id="parts">
        ${parts.map(
          ([name, label, text]) =>
            html`<div>
              <dt><i class=${name} aria-hidden="true"></i>${label}</dt>
              <dd>${text}</dd>
            </div>`,
        )}
        <div class="total">
          <dt>In all</dt>
          <dd>
            ${total}${this.availableBytes === null ? nothing : ` of ${formatMemory(this.availableBytes)} granted`}
          </dd>
        </div>
      </dl>
    `;
  }

  #onInput(steps: readonly number[], input: HTMLInputElement): void {
    const contextLength = steps[Number(input.value)];
    if (contextLength === undefined) return;
    this.contextLength = contextLength;
    this.dispatchEvent(new TramontaneContextEvent(contextLength));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-context-slider': TramontaneContextSlider;
  }
}
