/** One turn of a conversation: what the person typed, or what the model answered with how that went. */
import { css, html, LitElement, nothing } from 'lit';
import { property, state } from 'lit/decorators.js';
import { formatInteger, formatLatency, formatRate } from '../../base/number-text.ts';
import type { Progress } from '../../engine/api.ts';
import type { AnswerStatistics, ConversationMessage } from '../../storage/conversations.ts';
import { controls } from '../controls.styles.ts';
import { icons } from '../icons.ts';
import { describeProgress } from '../progress/describe-progress.ts';
import { base } from '../tokens.css.ts';

/** After these the model has to be loaded again before anything else can be done. */
const reloadCodes: readonly string[] = [
  'device-lost',
  'worker-crashed',
  'out-of-memory',
  'model-not-loaded',
  'protocol-invalid',
];

/** How far an answer is that is being written. */
export interface AnswerProgress {
  /** Of the prompt; null once there is a first token. */
  reading: Progress | null;
  /** Null before there is a rate. */
  tokensPerSecond: number | null;
}

/**
 * @fires regenerate - The person wants another answer. Like the next, it does not leave the shadow tree it is in.
 * @fires reload-model - The person wants the model loaded again.
 * @csspart question - A turn of the person.
 * @csspart answer - A turn of the model.
 * @csspart actions - The row of buttons and numbers under an answer.
 */
export class TramontaneMessage extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      :host {
        display: block;
        min-width: 0;
      }

      .question {
        width: fit-content;
        max-width: min(85%, 38rem);
        margin-inline-start: auto;
        padding: 0.625rem var(--_space-4);
        border-radius: var(--_radius-large) var(--_radius-large) var(--_radius-small) var(--_radius-large);
        background: var(--_fill-quiet);
        color: var(--_on-quiet);
        line-height: 1.6;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
      }

      .answer {
        display: grid;
        gap: var(--_space-2);
        min-width: 0;
      }

      .waiting {
        display: inline-flex;
        gap: 5px;
        align-items: center;
        height: 1.65em;
      }

      .waiting i {
        width: 7px;
        height: 7px;
        border-radius: 50%;
        background: var(--_text-quiet);
        animation: breathe 1.2s ease-in-out infinite;
      }

      .waiting i:nth-child(2) {
        animation-delay: 0.15s;
      }

      .waiting i:nth-child(3) {
        animation-delay: 0.3s;
      }

      @keyframes breathe {
        0%,
        70%,
        100% {
          opacity: 0.25;
        }
        35% {
          opacity: 1;
        }
      }

      /* Most prompts are read before anybody would read this. */
      .reading {
        margin-inline-start: var(--_space-2);
        color: var(--_text-quiet);
        font-size: var(--_text-small);
        font-variant-numeric: tabular-nums;
        animation: appear 1ms 400ms both;
      }

      @keyframes appear {
        from {
          visibility: hidden;
        }
      }

      .actions {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: var(--_space-1);
        margin-inline-start: -0.5rem;
        min-height: 1.875rem;
        color: var(--_text-quiet);
        font-size: var(--_text-small);
        font-variant-numeric: tabular-nums;
      }

      .statistics {
        display: flex;
        flex-wrap: wrap;
        margin-inline-start: var(--_space-2);
      }

      .statistics span + span::before {
        content: '·';
        margin: 0 0.5em;
      }

      .remark {
        margin: 0;
        color: var(--_text-quiet);
        font-size: var(--_text-small);
      }
    `,
  ];

  @property({ attribute: false }) message: ConversationMessage | null = null;
  /** The last turn can be answered anew. */
  @property({ type: Boolean }) last = false;
  /** The model can answer now. */
  @property({ type: Boolean }) ready = false;
  @property({ type: Boolean }) streaming = false;
  /** Of the answer being written, if anything is known. */
  @property({ attribute: false }) progress: AnswerProgress | null = null;
  @state() private copied: 'no' | 'yes' | 'failed' = 'no';

  protected override render() {
    const { message } = this;
    if (!message) return nothing;
    if (message.role === 'user') {
      return html`<article class="question" part="question"><span class="visually-hidden">You: </span>${message.content}</article>`;
    }
    return html`
      <article class="answer" part="answer" aria-busy=${this.streaming}>
        <span class="visually-hidden">Answer:</span>
        ${
          message.content === '' && this.streaming
            ? this.#renderWaiting()
            : html`<tramontane-markdown .text=${message.content} exportparts="content: answer-text"></tramontane-markdown>`
        }
        ${this.streaming ? this.#renderSpeed(message) : this.#renderEnd(message)}
      </article>
    `;
  }

  #renderWaiting() {
    const reading = this.progress?.reading ?? null;
    const text = reading === null ? null : describeProgress(reading);
    return html`<div>
      <span class="waiting" role="img" aria-label="Thinking"><i></i><i></i><i></i></span>
      ${text === null ? nothing : html`<span class="reading">${text.label} ${text.detail}</span>`}
    </div>`;
  }

  /** Where the answer's statistics will be when it has ended. */
  #renderSpeed(message: ConversationMessage) {
    const rate = this.progress?.tokensPerSecond ?? null;
    if (message.content === '') return nothing;
    return html`<div class="actions" part="actions">
      ${rate === null ? nothing : html`<span class="statistics"><span>${formatRate(rate)} tokens/s</span></span>`}
    </div>`;
  }

  #renderEnd(message: ConversationMessage) {
    const { end } = message;
    const error = end?.error ?? null;
    const remark =
      end === null
        ? 'Interrupted: the page was closed while this was being written.'
        : end.reason === 'abort'
          ? message.content === ''
            ? 'Stopped before the first word.'
            : 'Stopped.'
          : end.reason === 'length'
            ? 'Cut off: the limit of tokens was reached.'
            : null;
    return html`
      ${remark === null ? nothing : html`<p class="remark">${remark}</p>`}
      ${error === null ? nothing : this.#renderError(error)}
      <div class="actions" part="actions">
        ${
          message.content === ''
            ? nothing
            : html`<button class="button plain small" type="button" @click=${this.#copy}>
                ${this.copied === 'yes' ? icons.check : icons.copy}
                ${{ no: 'Copy', yes: 'Copied', failed: 'Not allowed' }[this.copied]}
              </button>`
        }
        ${
          this.last && error === null
            ? html`<button
                class="button plain small"
                type="button"
                ?disabled=${!this.ready}
                @click=${() => this.dispatchEvent(new Event('regenerate'))}
              >
                ${icons.retry} Regenerate
              </button>`
            : nothing
        }
        ${end?.statistics ? renderStatistics(end.statistics) : nothing}
      </div>
    `;
  }

  #renderError(error: { code: string; message: string; nextStep: string | null }) {
    const needsModel = reloadCodes.includes(error.code) && !this.ready;
    return html`
      <div class="notice danger">
        <div class="notice-text">
          <strong>${error.message}</strong>
          ${error.nextStep === null ? nothing : html`<span class="next-step">${error.nextStep}</span>`}
        </div>
        ${
          !this.last
            ? nothing
            : needsModel
              ? html`<button
                  class="button"
                  type="button"
                  @click=${() => this.dispatchEvent(new Event('reload-model'))}
                >
                  ${icons.retry} Reload model
                </button>`
              : html`<button
                  class="button"
                  type="button"
                  ?disabled=${!this.ready}
                  @click=${() => this.dispatchEvent(new Event('regenerate'))}
                >
                  ${icons.retry} Try again
                </button>`
        }
      </div>
    `;
  }

  readonly #copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(this.message?.content ?? '');
      this.copied = 'yes';
    } catch {
      this.copied = 'failed';
    }
    setTimeout(() => {
      this.copied = 'no';
    }, 1500);
  };
}

function renderStatistics(statistics: AnswerStatistics) {
  const { tokensPerSecond, timeToFirstTokenMs, completionTokens, promptTokens, cachedTokens } = statistics;
  const title = `${formatInteger(promptTokens)} tokens read, ${formatInteger(cachedTokens)} of them remembered from before`;
  return html`<span class="statistics" title=${title}>
    ${tokensPerSecond === null ? nothing : html`<span>${formatRate(tokensPerSecond)} tokens/s</span>`}
    <span>first after ${formatLatency(timeToFirstTokenMs)}</span>
    <span>${formatInteger(completionTokens)} ${completionTokens === 1 ? 'token' : 'tokens'}</span>
  </span>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-message': TramontaneMessage;
  }
}
