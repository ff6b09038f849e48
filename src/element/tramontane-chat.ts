/**
 * `<tramontane-chat>`: a whole chat with a model that runs on this device. The site's chat page is this element at
 * full size. It is given an engine and a list of models; it knows neither workers nor WebLLM.
 */
import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { property, query, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { TramontaneError } from '../base/errors.ts';
import { formatInteger } from '../base/number-text.ts';
import type { Engine, ModelCard } from '../engine/api.ts';
import { isDoubtful } from '../models/fit.ts';
import {
  type ConversationMessage,
  type ConversationSettings,
  type ConversationStore,
  IndexedDbConversationStore,
} from '../storage/conversations.ts';
import type { TramontaneComposer, TramontaneSubmitEvent } from '../ui/composer/composer.ts';
import { controls } from '../ui/controls.styles.ts';
import { icons, mark } from '../ui/icons.ts';
import { speakable } from '../ui/markdown/speakable.ts';
import { placePopover } from '../ui/place-popover.ts';
import type { TramontaneSettingsEvent } from '../ui/settings-panel/settings-panel.ts';
import { StickyScroll } from '../ui/sticky-scroll.ts';
import { base, tokens } from '../ui/tokens.css.ts';
import { type ChatRequestOptions, ConversationController } from './conversation-controller.ts';
import {
  TramontaneAnswerFinishedEvent,
  TramontaneConversationClearedEvent,
  TramontaneConversationRestoredEvent,
  TramontaneErrorOccurredEvent,
  TramontaneMessageSentEvent,
  TramontaneModelLoadedEvent,
  TramontaneSettingsChangedEvent,
} from './events.ts';
import { ModelController } from './model-controller.ts';
import { modelViews } from './model-views.styles.ts';
import {
  type ModelOffer,
  renderFailure,
  renderModelChoice,
  renderModelDock,
  renderModelList,
} from './model-views.ts';
import { chatStyles } from './tramontane-chat.styles.ts';

/** From this part of the context on, the meter warns. */
const CONTEXT_WARNING = 0.85;

const defaultSuggestions: readonly string[] = [
  'Explain the tramontane wind to a ten-year-old.',
  'Write a function that groups a list by a key.',
  'Plan a quiet weekend by the sea.',
  'Write four lines about the north wind.',
];

/** Attribute text to a number, or null where there is none. */
const numberConverter = {
  fromAttribute(value: string | null): number | null {
    return value === null || value.trim() === '' || !Number.isFinite(Number(value)) ? null : Number(value);
  },
};

/** When the element loads its model without being asked. */
export type Autoload = 'never' | 'stored' | 'always';

const autoloadConverter = {
  fromAttribute: (value: string | null): Autoload =>
    value === 'stored' ? 'stored' : value === '' || value === 'always' ? 'always' : 'never',
};

/**
 * A chat with a model that runs on this device.
 *
 * @slot empty - Shown above the models or suggestions while there is no conversation; replaces our own welcome.
 * @slot footer - Below the composer.
 *
 * @fires tramontane-model-loaded - A model is ready to answer (`model`).
 * @fires tramontane-message-sent - A message was sent (`message`).
 * @fires tramontane-answer-finished - An answer ended, in whatever way (`message`, with `message.end`).
 * @fires tramontane-conversation-cleared - The conversation was emptied.
 * @fires tramontane-conversation-restored - The conversation that was emptied is back.
 * @fires tramontane-settings-changed - The person changed the settings (`settings`).
 * @fires tramontane-error-occurred - Something failed; it is shown already (`error`).
 *
 * @csspart frame - Everything.
 * @csspart toolbar - The row at the top.
 * @csspart conversation - The part that scrolls.
 * @csspart question - A turn of the person.
 * @csspart answer - A turn of the model.
 * @csspart answer-text - The rendered text of an answer.
 * @csspart actions - Buttons and numbers under an answer.
 * @csspart suggestion - A suggested first message.
 * @csspart model-card - A model to choose.
 * @csspart load-button - The button that loads a model.
 * @csspart loading - Progress of a load.
 * @csspart progress-track - The progress bar's whole length.
 * @csspart progress-indicator - The part of it that is done.
 * @csspart unsupported - What is shown without WebGPU.
 * @csspart dock - Composer and what stands above it.
 * @csspart composer - The frame around text and send button.
 * @csspart input - The text area.
 * @csspart send-button - Sends or stops.
 * @csspart settings - The settings popover.
 * @csspart models - The popover with the other models.
 *
 * @cssproperty [--tramontane-surface] - The ground.
 * @cssproperty [--tramontane-surface-raised] - Cards, fields, code.
 * @cssproperty [--tramontane-surface-sunken] - Wells and inline code.
 * @cssproperty [--tramontane-border] - Quiet lines.
 * @cssproperty [--tramontane-border-strong] - Lines around fields.
 * @cssproperty [--tramontane-text] - Text.
 * @cssproperty [--tramontane-text-quiet] - Secondary text.
 * @cssproperty [--tramontane-link] - Links.
 * @cssproperty [--tramontane-fill-loud] - The main buttons.
 * @cssproperty [--tramontane-fill-loud-hover] - The same, pointed at.
 * @cssproperty [--tramontane-on-loud] - Text on them.
 * @cssproperty [--tramontane-fill-quiet] - The person's own messages.
 * @cssproperty [--tramontane-on-quiet] - Text on them.
 * @cssproperty [--tramontane-focus] - Focus rings.
 * @cssproperty [--tramontane-shadow] - Shadow of raised things.
 * @cssproperty [--tramontane-font] - Font family of text.
 * @cssproperty [--tramontane-font-code] - Font family of code.
 * @cssproperty [--tramontane-radius=16px] - Radius of large corners.
 * @cssproperty [--tramontane-measure=46rem] - Longest line.
 */
export class TramontaneChat extends LitElement {
  static override styles = [tokens, base, controls, modelViews, chatStyles];

  /** What answers. The element never disposes of it. */
  @property({ attribute: false }) engine: Engine | null = null;
  /** The models to choose from. */
  @property({ attribute: false }) models: readonly ModelCard[] = [];
  /** Models that are not here yet, each with the address of a page that brings it. */
  @property({ attribute: false }) offers: readonly ModelOffer[] = [];
  /** Why there is no list of models; shown in its place. */
  @property({ attribute: false }) modelsError: Error | null = null;
  /** First messages to choose from. */
  @property({ attribute: false }) suggestions: readonly string[] = defaultSuggestions;
  /** Where conversations are kept. */
  @property({ attribute: false }) store: ConversationStore = new IndexedDbConversationStore();

  /** Id of the model to offer first. Default: the conversation's, else the first of `models`. */
  @property() model: string | null = null;
  /** Keeps the conversation on this device under this name. Without it nothing is stored. */
  @property({ attribute: 'conversation-key' }) conversationKey: string | null = null;
  /** Loads the model at once: `stored` only if its weights are on this device, `always` (or empty) in any case. */
  @property({ converter: autoloadConverter }) autoload: Autoload = 'never';
  @property({ attribute: 'system-prompt' }) systemPrompt: string | null = null;
  @property({ converter: numberConverter }) temperature: number | null = null;
  @property({ attribute: 'top-p', converter: numberConverter }) topP: number | null = null;
  @property({ attribute: 'max-tokens', converter: numberConverter }) maxTokens: number | null = null;
  @property({ converter: numberConverter }) seed: number | null = null;
  @property() placeholder = 'Write a message';
  /** `light` or `dark`; without it the system decides. */
  @property({ reflect: true }) theme: string | null = null;

  @state() private announcement = '';
  @query('tramontane-composer') private composer!: TramontaneComposer;
  @query('.scroller') private scroller!: HTMLElement;
  @query('.messages') private messageList!: HTMLElement;
  @query('.settings') private settingsPopover!: HTMLElement;
  @query('.models') private modelsPopover!: HTMLElement | null;

  readonly #model = new ModelController(this, {
    onLoaded: (loaded) => {
      this.#conversation.modelId = loaded.id;
      this.#announce('The model is ready.');
      this.dispatchEvent(new TramontaneModelLoadedEvent(loaded));
      this.#restoreFocus();
    },
    onFailed: (error) => {
      this.dispatchEvent(new TramontaneErrorOccurredEvent(error));
    },
  });

  readonly #conversation = new ConversationController(this, {
    onSent: (message) => this.dispatchEvent(new TramontaneMessageSentEvent(message)),
    onFinished: (message, error) => this.#onFinished(message, error),
    onStorageProblem: (error) => this.dispatchEvent(new TramontaneErrorOccurredEvent(error)),
  });

  readonly #sticky = new StickyScroll(this);
  #hasAutoloaded = false;

  /** The conversation, oldest first. */
  get messages(): readonly ConversationMessage[] {
    return this.#conversation.messages;
  }

  get isAnswering(): boolean {
    return this.#conversation.isAnswering;
  }

  /** True when a model is loaded and nothing is being answered. */
  get isReady(): boolean {
    return this.#model.state.status === 'ready' && !this.isAnswering;
  }

  /** Settings in force: what the person chose, else what the attributes say. */
  get settings(): ConversationSettings {
    return this.#conversation.settings ?? this.#attributeSettings();
  }

  /**
   * Sends a message and resolves when its answer has ended, in whatever way; `messages` tells.
   * @throws TramontaneError `model-not-loaded`, `request-invalid` for an empty text or while answering
   */
  async send(text: string): Promise<void> {
    const engine = this.#requireEngine();
    if (text.trim() === '') throw new TramontaneError('request-invalid', 'The message is empty.');
    if (this.isAnswering) {
      throw new TramontaneError('request-invalid', 'An answer is being written.', {
        nextStep: 'Wait for it, or stop it first.',
      });
    }
    this.#announce('Answering.');
    this.#sticky.pin();
    await this.#conversation.send(engine, text, this.settings.systemPrompt, this.#requestOptions());
  }

  /** Ends the answer being written; what is there of it stays. */
  stop(): void {
    this.#conversation.stop();
  }

  /** Answers the last question anew. @throws TramontaneError `model-not-loaded` */
  async regenerate(): Promise<void> {
    const engine = this.#requireEngine();
    this.#announce('Answering again.');
    this.#sticky.pin();
    await this.#conversation.regenerate(engine, this.settings.systemPrompt, this.#requestOptions());
  }

  /** Empties the conversation, on disk too. Until something is sent, {@link undoNewChat} brings it back. */
  async newChat(): Promise<void> {
    const isCleared = this.#conversation.clear();
    this.#announce(
      this.#conversation.canRestore
        ? 'New chat. The one before was deleted; Undo brings it back.'
        : 'New chat.',
    );
    this.dispatchEvent(new TramontaneConversationClearedEvent());
    await isCleared;
  }

  /** Brings back what {@link newChat} deleted; nothing happens where there is no such thing. */
  undoNewChat(): void {
    if (!this.#conversation.canRestore) return;
    this.#conversation.restore();
    this.#sticky.pin();
    this.#announce('The chat is back.');
    this.dispatchEvent(new TramontaneConversationRestoredEvent());
  }

  /**
   * Loads a model and resolves when it is ready, when loading failed (an event tells), or when it was cancelled.
   * @param id One of `models`. Default: the one offered first.
   * @throws TramontaneError `model-unknown`
   */
  async loadModel(id?: string): Promise<void> {
    const card = id === undefined ? this.#card : (this.models.find((model) => model.id === id) ?? null);
    if (card === null) {
      throw new TramontaneError('model-unknown', `There is no model "${id ?? ''}" in this page's list.`, {
        data: { id: id ?? null },
      });
    }
    this.#announce(`Loading ${card.name}.`);
    await this.#model.load(card, this.#contextLengthOf(card));
  }

  /** Stops loading; what was downloaded is kept. */
  cancelLoad(): void {
    this.#model.cancel();
    this.#announce('Loading was cancelled.');
  }

  override focus(options?: FocusOptions): void {
    this.composer?.focus(options);
  }

  get #card(): ModelCard | null {
    const byId = (id: string | null) => this.models.find((card) => card.id === id);
    const { state: model } = this.#model;
    const inUse = model.status === 'ready' ? byId(model.loaded.id) : undefined;
    return inUse ?? byId(this.model) ?? byId(this.#conversation.modelId) ?? this.models[0] ?? null;
  }

  /** What the person chose for it, as far as it goes; undefined for the model's own. */
  #contextLengthOf(card: ModelCard): number | undefined {
    const { contextLength } = this.settings;
    return contextLength === undefined
      ? undefined
      : Math.min(contextLength, card.maxContextLength ?? contextLength);
  }

  #requireEngine(): Engine {
    if (!this.engine || this.#model.state.status !== 'ready') {
      throw new TramontaneError('model-not-loaded', 'No model is loaded.', {
        nextStep: 'Load a model first.',
      });
    }
    return this.engine;
  }

  #attributeSettings(): ConversationSettings {
    return {
      ...(this.systemPrompt ? { systemPrompt: this.systemPrompt } : {}),
      ...(this.temperature === null ? {} : { temperature: this.temperature }),
      ...(this.topP === null ? {} : { topP: this.topP }),
      ...(this.maxTokens === null ? {} : { maxTokens: this.maxTokens }),
      ...(this.seed === null ? {} : { seed: this.seed }),
    };
  }

  #requestOptions(): ChatRequestOptions {
    const { temperature, topP, maxTokens, seed, repetitionPenalty, presencePenalty, frequencyPenalty } =
      this.settings;
    // A prebuilt library refuses what it does not know.
    const { topK, minP } = this.#isPrebuilt ? {} : this.settings;
    return {
      ...(temperature === undefined ? {} : { temperature }),
      ...(topP === undefined ? {} : { top_p: topP }),
      ...(maxTokens === undefined ? {} : { max_completion_tokens: maxTokens }),
      ...(seed === undefined ? {} : { seed }),
      ...(topK === undefined ? {} : { top_k: topK }),
      ...(minP === undefined ? {} : { min_p: minP }),
      ...(repetitionPenalty === undefined ? {} : { repetition_penalty: repetitionPenalty }),
      ...(presencePenalty === undefined ? {} : { presence_penalty: presencePenalty }),
      ...(frequencyPenalty === undefined ? {} : { frequency_penalty: frequencyPenalty }),
    };
  }

  get #isPrebuilt(): boolean {
    const { state: model } = this.#model;
    return model.status === 'ready' && model.loaded.library === 'prebuilt';
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('conversationKey') || changed.has('store')) {
      if (this.conversationKey) void this.#conversation.open(this.store, this.conversationKey);
      else this.#conversation.close();
    }
    if (changed.has('engine')) void this.#model.setEngine(this.engine).then(() => this.#autoload());
    if (changed.has('models') || changed.has('autoload')) void this.#autoload();
  }

  protected override firstUpdated(): void {
    this.#sticky.observe(this.scroller, this.messageList);
  }

  /** Once, as soon as engine, models and adapter are there. */
  async #autoload(): Promise<void> {
    await this.#conversation.opened;
    const card = this.#card;
    if (this.#hasAutoloaded || this.autoload === 'never' || card === null) return;
    if (this.#model.state.status !== 'none' || this.#model.adapter === undefined) return;
    const isAllowed = this.autoload === 'always' || this.#model.storedIds.has(card.id);
    const fit = this.#model.fitOf(card, this.#contextLengthOf(card));
    if (!isAllowed || fit === null || isDoubtful(fit)) return;
    this.#hasAutoloaded = true;
    await this.loadModel(card.id);
  }

  #onFinished(message: ConversationMessage, error: Error | null): void {
    const { end } = message;
    this.#announce(
      end?.error
        ? `The answer failed. ${end.error.message} ${end.error.nextStep ?? ''}`
        : end?.reason === 'abort'
          ? 'The answer was stopped.'
          : `The answer: ${speakable(message.content)}`,
    );
    if (error) {
      this.#model.noteFailure(error, this.#card);
      this.dispatchEvent(new TramontaneErrorOccurredEvent(error));
    }
    this.dispatchEvent(new TramontaneAnswerFinishedEvent(message));
  }

  #announce(text: string): void {
    // The same text twice in a row would not be read again.
    this.announcement = this.announcement === text ? `${text}\u00a0` : text;
  }

  /** Where the focused control has gone (the load button does), typing is what comes next. */
  #restoreFocus(): void {
    const isLost = document.activeElement === document.body || document.activeElement === this;
    if (!isLost || !matchMedia('(hover: hover)').matches) return;
    void this.updateComplete.then(() => {
      if (!this.shadowRoot?.activeElement) this.focus({ preventScroll: true });
    });
  }

  protected override render() {
    const { messages } = this;
    const isEmpty = messages.length === 0;
    const isReady = this.#model.state.status === 'ready';
    const problem = this.#conversation.storageProblem;
    return html`
      <div class="frame" part="frame">
        ${this.#renderToolbar()}
        <div
          class="scroller"
          part="conversation"
          role="log"
          aria-live="off"
          aria-label="Conversation"
          tabindex="0"
        >
          <div class="column">
            <div class="empty" ?hidden=${!isEmpty}>
              <slot name="empty">${this.#renderWelcome(isReady)}</slot>
              ${!isEmpty ? nothing : isReady ? this.#renderSuggestions() : this.#renderModels()}
            </div>
            <div class="messages" ?hidden=${isEmpty}>
              ${repeat(messages, (message) => message.id, this.#renderMessage)}
            </div>
          </div>
        </div>
        <div class="dock" part="dock">
          <button
            class="button small jump"
            type="button"
            ?hidden=${isEmpty || this.#sticky.isPinned}
            @click=${() => this.#sticky.pin()}
          >
            ${icons.down} Latest
          </button>
          <div class="column">
            ${problem ? renderFailure(problem) : nothing}
            ${this.#conversation.canRestore ? this.#renderUndo() : nothing}
            ${isEmpty || this.#offersReload() ? nothing : renderModelDock(this.#model, this.#card, this.#actions)}
            <tramontane-composer
              ?hidden=${isEmpty && !isReady && this.#model.state.status !== 'loading'}
              exportparts="composer, input, send-button"
              placeholder=${this.placeholder}
              hint="Load a model first"
              ?ready=${isReady}
              ?busy=${this.isAnswering}
              @submit-text=${(event: TramontaneSubmitEvent) => void this.send(event.text)}
              @stop=${this.stop}
            ></tramontane-composer>
            ${this.#renderFootnote()}
            <slot name="footer"></slot>
          </div>
        </div>
        <div class="visually-hidden" role="status" aria-live="polite">${this.announcement}</div>
        <div class="settings" part="settings" id="settings" popover @beforetoggle=${this.#onSettingsToggle}>
          <tramontane-settings-panel
            .settings=${this.settings}
            .defaultTemperature=${
              this.#model.state.status === 'ready' ? this.#model.state.loaded.defaultTemperature : null
            }
            .model=${this.#card}
            .loadedContext=${
              this.#model.state.status === 'ready' && this.#model.state.loaded.id === this.#card?.id
                ? this.#model.state.loaded.contextLength
                : null
            }
            ?busy=${this.isAnswering}
            ?prebuilt=${this.#isPrebuilt}
            @settings=${this.#onSettings}
            @reload-model=${() => void this.loadModel()}
          ></tramontane-settings-panel>
        </div>
        ${this.#renderSwitch()}
      </div>
    `;
  }

  /** The last answer failed with its model, and says so with a button of its own. */
  #offersReload(): boolean {
    const { state: model } = this.#model;
    const error = this.messages.at(-1)?.end?.error;
    return model.status === 'failed' && error?.message === model.error.message;
  }

  #renderToolbar() {
    const { state: model } = this.#model;
    const text =
      model.status === 'ready'
        ? (this.models.find((card) => card.id === model.loaded.id)?.name ?? model.loaded.id)
        : { none: 'No model loaded', loading: 'Loading the model', failed: 'The model is not available' }[
            model.status
          ];
    const title =
      model.status === 'ready' ? `${model.loaded.adapter.description} · ${model.loaded.library}` : '';
    const dot = html`<span class="status-dot" aria-hidden="true"></span>`;
    return html`<div class="toolbar" part="toolbar">
      <div class="status ${model.status}" title=${title}>
        ${
          this.#canSwitch
            ? html`<button
                class="switch"
                id="models-button"
                type="button"
                popovertarget="models"
                aria-label="Model: ${text}. Change"
                ?disabled=${this.isAnswering}
              >
                ${dot}<span class="status-text">${text}</span>${icons.chevron}
              </button>`
            : html`${dot}<span class="status-text">${text}</span>`
        }
      </div>
      <button
        class="button plain small"
        type="button"
        ?disabled=${this.messages.length === 0}
        @click=${this.#onNewChat}
      >
        ${icons.plus}<span>New chat</span>
      </button>
      <button class="button plain small" id="settings-button" type="button" popovertarget="settings">
        ${icons.settings}<span>Settings</span>
      </button>
    </div>`;
  }

  /** A model is loaded, and there are others. */
  get #canSwitch(): boolean {
    return this.#model.state.status === 'ready' && this.models.length + this.offers.length > 1;
  }

  #renderSwitch() {
    if (!this.#canSwitch) return nothing;
    const choice = { cards: this.models, chosen: this.#card, offers: this.offers };
    return html`<div class="models" part="models" id="models" popover @beforetoggle=${this.#onModelsToggle}>
      ${renderModelList(this.#model, choice, {
        ...this.#actions,
        load: (card) => {
          this.modelsPopover?.hidePopover();
          void this.loadModel(card.id);
        },
      })}
    </div>`;
  }

  #renderWelcome(isReady: boolean) {
    return html`<div class="hero">
      ${mark}
      <h1>${isReady ? 'What would you like to know?' : 'A private chat, on your own device'}</h1>
      <p>
        ${
          isReady
            ? 'The model is loaded and runs on this device. Nothing you write leaves it.'
            : 'The model runs on your GPU, in this tab. It is loaded once; from then on it works without a network, and nothing you write leaves this device.'
        }
      </p>
    </div>`;
  }

  #renderModels() {
    return html`${this.modelsError ? renderFailure(this.modelsError) : nothing}
    ${renderModelChoice(
      this.#model,
      { cards: this.models, chosen: this.#card, offers: this.offers },
      this.#actions,
    )}`;
  }

  #renderSuggestions() {
    if (this.suggestions.length === 0) return nothing;
    return html`<ul class="suggestions" aria-label="Suggestions">
      ${this.suggestions.map(
        (text) => html`<li>
          <button class="suggestion" part="suggestion" type="button" @click=${() => this.#onSuggestion(text)}>
            ${text}
          </button>
        </li>`,
      )}
    </ul>`;
  }

  readonly #renderMessage = (message: ConversationMessage, index: number) => {
    const isLast = index === this.messages.length - 1;
    return html`<tramontane-message
      exportparts="question, answer, answer-text, actions"
      .message=${message}
      ?last=${isLast}
      ?ready=${this.isReady}
      ?streaming=${isLast && this.isAnswering}
      .progress=${isLast ? this.#conversation.progress : null}
      @regenerate=${this.#onRegenerate}
      @reload-model=${() => void this.loadModel()}
    ></tramontane-message>`;
  };

  #renderUndo() {
    return html`<div class="undo">
      <span>The chat was deleted.</span>
      <button class="button small" type="button" @click=${this.#onUndo}>Undo</button>
    </div>`;
  }

  #renderFootnote() {
    const { state: model } = this.#model;
    const hint =
      model.status === 'ready'
        ? 'Enter sends, Shift+Enter starts a new line'
        : model.status === 'loading'
          ? 'You can send as soon as the model is loaded'
          : '';
    const used = this.#conversation.contextTokens;
    const total = model.status === 'ready' ? model.loaded.contextLength : null;
    const isNearlyFull = used !== null && total !== null && used / total >= CONTEXT_WARNING;
    return html`<div class="footnote">
      <span class=${model.status === 'ready' ? 'keys' : ''}>${hint}</span>
      ${
        used === null || total === null
          ? nothing
          : html`<span class="context ${isNearlyFull ? 'full' : ''}">
              <span>Context ${formatInteger(used)} of ${formatInteger(total)}</span>
              <meter
                aria-label="Context in use"
                min="0"
                max=${total}
                low=${total * CONTEXT_WARNING}
                optimum="0"
                value=${used}
              ></meter>
            </span>`
      }
    </div>`;
  }

  readonly #actions = {
    load: (card: ModelCard): void => void this.loadModel(card.id),
    cancel: (): void => this.cancelLoad(),
  };

  #onSuggestion(text: string): void {
    void this.send(text);
    this.focus();
  }

  #onRegenerate(): void {
    void this.regenerate();
    this.focus();
  }

  #onNewChat(): void {
    void this.newChat();
    this.focus();
  }

  #onUndo(): void {
    this.undoNewChat();
    this.focus();
  }

  #onSettings(event: TramontaneSettingsEvent): void {
    this.#conversation.setSettings(event.settings);
    this.dispatchEvent(new TramontaneSettingsChangedEvent(event.settings));
  }

  #onSettingsToggle(event: ToggleEvent): void {
    const button = this.renderRoot.querySelector('#settings-button');
    if (event.newState === 'open' && button) placePopover(this.settingsPopover, button);
  }

  #onModelsToggle(event: ToggleEvent): void {
    const button = this.renderRoot.querySelector('#models-button');
    if (event.newState === 'open' && button && this.modelsPopover) {
      placePopover(this.modelsPopover, button, 'left');
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-chat': TramontaneChat;
  }
}
