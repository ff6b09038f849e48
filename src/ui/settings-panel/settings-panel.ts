/**
 * How answers are made: system prompt, sampling, and how much context the model is loaded with. Empty fields leave the
 * model's own defaults.
 */
import { css, html, LitElement, nothing } from 'lit';
import { property, state } from 'lit/decorators.js';
import { formatInteger } from '../../base/number-text.ts';
import type { ModelCard } from '../../engine/api.ts';
import type { ConversationSettings } from '../../storage/conversations.ts';
import type { TramontaneContextEvent } from '../context-slider/context-slider.ts';
import { controls } from '../controls.styles.ts';
import { base } from '../tokens.css.ts';

interface NumberField {
  key: NumberKey;
  label: string;
  help: string;
  /** What an empty field stands for, where that is the same for every model. */
  usual?: number;
  /** Prebuilt model libraries do not know it. */
  isOurs?: boolean;
  min: number;
  max: number;
  step: number | 'any';
  isInteger: boolean;
  /** True where `min` itself is not allowed. */
  isMinExcluded?: boolean;
}

type NumberKey = Exclude<keyof ConversationSettings, 'systemPrompt' | 'contextLength'>;

const fields: readonly NumberField[] = [
  {
    key: 'temperature',
    label: 'Temperature',
    help: '0 always takes the likeliest word',
    min: 0,
    max: 2,
    step: 0.1,
    isInteger: false,
  },
  {
    key: 'topP',
    label: 'Top-p',
    help: 'Share of likely words to choose from',
    min: 0,
    max: 1,
    step: 0.05,
    isInteger: false,
    isMinExcluded: true,
  },
  {
    key: 'maxTokens',
    label: 'Longest answer',
    help: 'In tokens',
    min: 1,
    max: 1_000_000,
    step: 1,
    isInteger: true,
  },
  {
    key: 'seed',
    label: 'Seed',
    help: 'Same seed, same answer',
    min: 0,
    max: 2 ** 31 - 1,
    step: 1,
    isInteger: true,
  },
];

const penalty = { min: -2, max: 2, step: 0.1, usual: 0, isInteger: false } as const;

const advancedFields: readonly NumberField[] = [
  {
    key: 'topK',
    label: 'Top-k',
    help: 'Choose from so many words; 0 for all',
    usual: 0,
    min: 0,
    max: 1000,
    step: 1,
    isInteger: true,
    isOurs: true,
  },
  {
    key: 'minP',
    label: 'Min-p',
    help: 'Only words this likely, beside the likeliest',
    usual: 0,
    min: 0,
    max: 1,
    step: 0.01,
    isInteger: false,
    isOurs: true,
  },
  {
    key: 'repetitionPenalty',
    label: 'Repetition penalty',
    help: 'Above 1, less repetition',
    usual: 1,
    min: 0,
    max: 2,
    step: 0.05,
    isInteger: false,
    isMinExcluded: true,
  },
  {
    ...penalty,
    key: 'presencePenalty',
    label: 'Presence penalty',
    help: 'Above 0, fewer words that were there before',
  },
  {
    ...penalty,
    key: 'frequencyPenalty',
    label: 'Frequency penalty',
    help: 'The same, more with each time',
  },
];

/** @returns The number, undefined for an empty field, or what is wrong with it. */
function parseField(field: NumberField, text: string): number | undefined | { problem: string } {
  if (text.trim() === '') return undefined;
  const value = Number(text);
  const isInside = field.isMinExcluded ? value > field.min : value >= field.min;
  if (
    !Number.isFinite(value) ||
    !isInside ||
    value > field.max ||
    (field.isInteger && !Number.isInteger(value))
  ) {
    const range = `${field.isMinExcluded ? 'Above' : 'From'} ${field.min}${field.max >= 1_000_000 ? '' : ` to ${field.max}`}`;
    return { problem: field.isInteger ? `A whole number. ${range}.` : `A number. ${range}.` };
  }
  return value;
}

export class TramontaneSettingsEvent extends Event {
  constructor(readonly settings: ConversationSettings) {
    super('settings');
  }
}

/**
 * @fires settings - The person changed something (`settings`). Like the next, it does not leave the shadow tree it is in.
 * @fires reload-model - The model is to be loaded again, with the context that was chosen.
 */
export class TramontaneSettingsPanel extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      :host {
        display: block;
      }

      form {
        display: grid;
        gap: var(--_space-4);
      }

      h2 {
        margin: 0;
        font-size: 1rem;
        font-weight: 620;
      }

      textarea {
        min-height: 5.5rem;
        resize: vertical;
        line-height: 1.5;
      }

      .numbers {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: var(--_space-4);
      }

      .help {
        margin: 0;
        color: var(--_text-quiet);
        font-size: 0.75rem;
        line-height: 1.4;
      }

      details {
        display: grid;
        gap: var(--_space-3);
      }

      /* A box of the browser's own, which hands nothing of this down by itself. */
      details::details-content {
        box-sizing: inherit;
      }

      summary {
        width: fit-content;
        padding-block: var(--_space-1);
        border-radius: var(--_radius-small);
        color: var(--_text-quiet);
        font-size: var(--_text-small);
        cursor: pointer;
      }

      details .numbers {
        margin-top: var(--_space-2);
      }

      footer {
        display: flex;
        justify-content: flex-end;
      }
    `,
  ];

  @property({ attribute: false }) settings: ConversationSettings = {};
  /** Shown in the empty temperature field. */
  @property({ attribute: false }) defaultTemperature: number | null = null;
  /** The model that is loaded, or that would be. */
  @property({ attribute: false }) model: ModelCard | null = null;
  /** Tokens of context it is loaded with; null where it is not. */
  @property({ attribute: false }) loadedContext: number | null = null;
  /** An answer is being written: nothing can be loaded. */
  @property({ type: Boolean }) busy = false;
  /** The model's library is a prebuilt one, which samples in fewer ways. */
  @property({ type: Boolean }) prebuilt = false;
  @state() private problems: Partial<Record<NumberKey, string>> = {};

  protected override render() {
    return html`
      <form @submit=${(event: Event) => event.preventDefault()} aria-labelledby="title">
        <h2 id="title">Settings</h2>
        <label class="field">
          <span>System prompt</span>
          <textarea
            class="input"
            name="systemPrompt"
            placeholder="How the model should behave"
            .value=${this.settings.systemPrompt ?? ''}
            @change=${this.#onText}
          ></textarea>
        </label>
        ${this.#renderContext()}
        <div class="numbers">${fields.map((field) => this.#renderNumber(field))}</div>
        <details>
          <summary>Advanced</summary>
          <div class="numbers">${advancedFields.map((field) => this.#renderNumber(field))}</div>
        </details>
        <footer>
          <button class="button plain small" type="button" @click=${this.#reset}>Use defaults</button>
        </footer>
      </form>
    `;
  }

  #renderContext() {
    const { model, loadedContext } = this;
    if (!model?.contextLength || !model.maxContextLength || !model.kvBytesPerToken) return nothing;
    const chosen = Math.min(this.settings.contextLength ?? model.contextLength, model.maxContextLength);
    return html`<tramontane-context-slider
        .model=${model}
        .contextLength=${chosen}
        @context=${(event: TramontaneContextEvent) => this.#change('contextLength', event.contextLength)}
      ></tramontane-context-slider>
      ${
        loadedContext === null || loadedContext === chosen
          ? nothing
          : html`<button
              class="button"
              type="button"
              ?disabled=${this.busy}
              @click=${() => this.dispatchEvent(new Event('reload-model'))}
            >
              Load again with ${formatInteger(chosen)} tokens
            </button>`
      }`;
  }

  #renderNumber(field: NumberField) {
    const problem = this.problems[field.key];
    const usual = field.key === 'temperature' ? this.defaultTemperature : (field.usual ?? null);
    const isUnknown = this.prebuilt && field.isOurs === true;
    const help = isUnknown ? 'Not with this prebuilt model' : field.help;
    return html`<div class="field">
      <label class="field-label" for=${field.key}>${field.label}</label>
      <input
        class="input"
        id=${field.key}
        name=${field.key}
        type="number"
        inputmode=${field.isInteger ? 'numeric' : 'decimal'}
        min=${field.min}
        max=${field.max}
        step=${field.step}
        placeholder=${usual ?? 'Default'}
        ?disabled=${isUnknown}
        aria-describedby="${field.key}-help"
        aria-invalid=${problem === undefined ? 'false' : 'true'}
        .value=${String(this.settings[field.key] ?? '')}
        @change=${(event: Event) => this.#onNumber(field, event.target as HTMLInputElement)}
      />
      <p class=${problem === undefined ? 'help' : 'field-error'} id="${field.key}-help">${problem ?? help}</p>
    </div>`;
  }

  #onText(event: Event): void {
    this.#change('systemPrompt', (event.target as HTMLTextAreaElement).value || undefined);
  }

  #onNumber(field: NumberField, input: HTMLInputElement): void {
    // A number field reports text that is no number as empty, and tells so here.
    const value = input.validity.badInput ? { problem: 'A number.' } : parseField(field, input.value);
    const { [field.key]: _solved, ...problems } = this.problems;
    if (typeof value === 'object') {
      this.problems = { ...problems, [field.key]: value.problem };
      return;
    }
    this.problems = problems;
    this.#change(field.key, value);
  }

  #change(key: keyof ConversationSettings, value: string | number | undefined): void {
    const { [key]: _before, ...rest } = this.settings;
    this.settings = value === undefined ? rest : { ...rest, [key]: value };
    this.dispatchEvent(new TramontaneSettingsEvent(this.settings));
  }

  #reset(): void {
    this.problems = {};
    this.settings = {};
    for (const input of this.renderRoot.querySelectorAll('input')) input.value = '';
    this.dispatchEvent(new TramontaneSettingsEvent(this.settings));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-settings-panel': TramontaneSettingsPanel;
  }
}
