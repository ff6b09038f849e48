/** Where a person types: grows with its text; Enter sends, Shift+Enter breaks the line, Escape stops. */
import { css, html, LitElement } from 'lit';
import { property, query } from 'lit/decorators.js';
import { controls } from '../controls.styles.ts';
import { icons } from '../icons.ts';
import { base } from '../tokens.css.ts';

export class TramontaneSubmitEvent extends Event {
  constructor(readonly text: string) {
    super('submit-text');
  }
}

/**
 * @fires submit-text - The person sends (`text`). Like the next, it does not leave the shadow tree it is in.
 * @fires stop - The person wants the answer stopped.
 * @csspart composer - The frame around text and button.
 * @csspart input - The text area.
 * @csspart send-button - Sends, or stops while an answer is being written.
 */
export class TramontaneComposer extends LitElement {
  static override shadowRootOptions: ShadowRootInit = {
    ...LitElement.shadowRootOptions,
    delegatesFocus: true,
  };
  static override styles = [
    base,
    controls,
    css`
      :host {
        display: block;
      }

      form {
        display: flex;
        align-items: flex-end;
        gap: var(--_space-2);
        padding: var(--_space-2);
        border: 1px solid var(--_border-strong);
        border-radius: var(--_radius-large);
        background: var(--_surface-raised);
        box-shadow: var(--_shadow);
        transition: border-color 120ms;
      }

      form:focus-within {
        border-color: var(--_focus);
        outline: 1px solid var(--_focus);
      }

      .grow {
        display: grid;
        flex: 1;
        min-width: 0;
        max-height: min(14rem, 40vh);
        overflow-y: auto;
      }

      /* The copy of the text behind it gives the text area its height. */
      .grow::after {
        content: attr(data-text) ' ';
        visibility: hidden;
      }

      .grow::after,
      textarea {
        grid-area: 1 / 1;
        width: 100%;
        min-width: 0;
        min-height: 2.25rem;
        margin: 0;
        padding: 0.375rem var(--_space-2);
        border: 0;
        font: inherit;
        font-size: var(--_text-large);
        line-height: 1.5;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
      }

      textarea {
        overflow: hidden;
        resize: none;
        background: transparent;
        color: var(--_text);
      }

      textarea::placeholder {
        color: var(--_text-quiet);
        opacity: 1;
      }

      textarea:focus-visible {
        outline: none;
      }

      .button {
        border-radius: var(--_radius-medium);
      }
    `,
  ];

  @property() value = '';
  @property() placeholder = 'Write a message';
  /** False while nothing could answer; typing stays possible. */
  @property({ type: Boolean }) ready = false;
  /** True while an answer is being written: the button stops it. */
  @property({ type: Boolean }) busy = false;
  /** Why sending is not possible. */
  @property() hint = '';
  @query('textarea') private area!: HTMLTextAreaElement;

  override focus(options?: FocusOptions): void {
    this.area?.focus(options);
  }

  protected override render() {
    const canSend = this.ready && this.value.trim() !== '';
    return html`
      <form part="composer" @submit=${this.#onSubmit}>
        <div class="grow" data-text=${this.value}>
          <textarea
            part="input"
            rows="1"
            aria-label="Message"
            aria-keyshortcuts="Enter"
            enterkeyhint="send"
            placeholder=${this.placeholder}
            .value=${this.value}
            @input=${this.#onInput}
            @keydown=${this.#onKeyDown}
          ></textarea>
        </div>
        ${
          this.busy
            ? html`<button
                class="button icon"
                part="send-button"
                type="button"
                aria-label="Stop"
                title="Stop (Escape)"
                @click=${this.#stop}
              >
                ${icons.stop}
              </button>`
            : html`<button
                class="button loud icon"
                part="send-button"
                type="submit"
                aria-label="Send"
                title=${this.ready ? 'Send (Enter)' : this.hint}
                ?disabled=${!canSend}
              >
                ${icons.send}
              </button>`
        }
      </form>
    `;
  }

  #onInput(event: Event): void {
    this.value = (event.target as HTMLTextAreaElement).value;
  }

  #onKeyDown(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape' && this.busy) {
      event.preventDefault();
      this.#stop();
    }
  }

  #onSubmit(event: Event): void {
    event.preventDefault();
    this.#submit();
  }

  #submit(): void {
    if (!this.ready || this.busy || this.value.trim() === '') return;
    const text = this.value;
    this.value = '';
    this.dispatchEvent(new TramontaneSubmitEvent(text));
  }

  #stop(): void {
    this.dispatchEvent(new Event('stop'));
    this.focus();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-composer': TramontaneComposer;
  }
}
