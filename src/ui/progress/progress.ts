/** Progress of a long task: a bar with a label above and details below. */
import { css, html, LitElement } from 'lit';
import { property, query } from 'lit/decorators.js';
import { base } from '../tokens.css.ts';

/**
 * @csspart label - What is going on.
 * @csspart track - The bar's whole length.
 * @csspart indicator - The part that is done.
 * @csspart detail - Numbers below the bar.
 */
export class TramontaneProgress extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: grid;
        gap: var(--_space-2);
      }

      .label {
        display: flex;
        justify-content: space-between;
        gap: var(--_space-3);
        font-size: var(--_text-medium);
        font-weight: 550;
      }

      .percent,
      .detail {
        color: var(--_text-quiet);
        font-variant-numeric: tabular-nums;
      }

      .percent {
        font-weight: 450;
      }

      .detail {
        min-height: 1.4em;
        font-size: var(--_text-small);
      }

      .track {
        height: 6px;
        overflow: hidden;
        border-radius: 3px;
        background: var(--_surface-sunken);
        box-shadow: inset 0 0 0 1px var(--_border);
      }

      .indicator {
        width: 100%;
        height: 100%;
        border-radius: inherit;
        background: var(--_fill-loud);
        transform-origin: left;
        transition: transform 160ms linear;
      }

      :host(:dir(rtl)) .indicator {
        transform-origin: right;
      }

      .unknown .indicator {
        width: 30%;
        animation: sweep 1.4s ease-in-out infinite;
      }

      @keyframes sweep {
        from {
          transform: translateX(-100%);
        }
        to {
          transform: translateX(340%);
        }
      }

      @media (forced-colors: active) {
        .track {
          border: 1px solid CanvasText;
        }
        .indicator {
          background: Highlight;
          forced-color-adjust: none;
        }
      }
    `,
  ];

  @property() label = '';
  /** From 0 to 1; null while unknown. */
  @property({ attribute: false }) value: number | null = null;
  @property() detail = '';

  @query('.indicator') private indicator!: HTMLElement;

  /** Not a style attribute in the template: a strict style-src forbids even an empty one. */
  protected override updated(): void {
    const { value } = this;
    this.indicator.style.transform = value === null ? '' : `scaleX(${Math.min(Math.max(value, 0), 1)})`;
  }

  protected override render() {
    const { value } = this;
    const percent = value === null ? null : Math.floor(Math.min(Math.max(value, 0), 1) * 100);
    return html`
      <div class="label" part="label" id="label">
        <span>${this.label}</span>
        <span class="percent" aria-hidden="true">${percent === null ? '' : `${percent}%`}</span>
      </div>
      <div
        class="track ${value === null ? 'unknown' : ''}"
        part="track"
        role="progressbar"
        aria-labelledby="label"
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${percent ?? ''}
        aria-valuetext=${[percent === null ? '' : `${percent}%`, this.detail].filter(Boolean).join(', ')}
      >
        <div class="indicator" part="indicator"></div>
      </div>
      <div class="detail" part="detail">${this.detail}</div>
    `;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-progress': TramontaneProgress;
  }
}
