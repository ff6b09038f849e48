/** The JSON playground: a schema, a prompt, the model's answer as it comes, and whether it fits the schema. */
import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { property, state } from 'lit/decorators.js';
import { isAbortError, toError } from '../../base/errors.ts';
import { formatInteger, formatLatency, formatRate } from '../../base/number-text.ts';
import { TramontaneErrorOccurredEvent, TramontaneModelLoadedEvent } from '../../element/events.ts';
import { ModelController } from '../../element/model-controller.ts';
import { modelViews } from '../../element/model-views.styles.ts';
import { renderFailure, renderModelChoice } from '../../element/model-views.ts';
import type { ChatChunk, Engine, FinishReason, ModelCard } from '../../engine/api.ts';
import { controls } from '../../ui/controls.styles.ts';
import { FrameScheduler } from '../../ui/frame-scheduler.ts';
import { icons } from '../../ui/icons.ts';
import { base, tokens } from '../../ui/tokens.css.ts';
import { pageContentStyles } from '../page-content.styles.ts';
import { checkSchema, type SchemaProblem } from './check-schema.ts';
import { examples } from './examples.ts';
import { jsonStyles } from './json.styles.ts';
import { judge, type Verdict } from './judge.ts';

const DEFAULT_MAX_TOKENS = 512;

type SchemaReading =
  | { value: Record<string, unknown> | boolean; problems: [] }
  | { problems: SchemaProblem[] };

function readSchema(text: string): SchemaReading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problems: [{ path: '', message: `This is not JSON: ${(error as Error).message}.` }] };
  }
  const problems = checkSchema(value);
  return problems.length > 0 ? { problems } : { value: value as Record<string, unknown>, problems: [] };
}

/** As people write JSON: short lists on one line would be nicer still, but this is what `JSON.stringify` offers. */
function formatSchema(schema: unknown): string {
  return JSON.stringify(schema, null, 2);
}

/**
 * @fires tramontane-model-loaded - A model is ready (`model`).
 * @fires tramontane-error-occurred - Something failed; it is shown already (`error`).
 */
export class TramontaneJson extends LitElement {
  static override styles = [tokens, base, controls, modelViews, pageContentStyles, jsonStyles];

  @property({ attribute: false }) engine: Engine | null = null;
  @property({ attribute: false }) models: readonly ModelCard[] = [];
  @property({ attribute: false }) modelsError: Error | null = null;
  @property() autoload = '';

  @state() private schemaText = formatSchema(examples[0]!.schema);
  @state() private prompt = examples[0]!.prompt;
  @state() private maxTokens = String(DEFAULT_MAX_TOKENS);
  @state() private problems: readonly SchemaProblem[] = [];
  @state() private output = '';
  @state() private verdict: Verdict | null = null;
  @state() private failure: Error | null = null;
  @state() private lastChunk: ChatChunk | null = null;
  @state() private isRunning = false;
  @state() private isCopied = false;

  #running: AbortController | null = null;
  #text = '';
  #hasAutoloaded = false;
  readonly #frames = new FrameScheduler(() => {
    this.output = this.#text;
  });

  readonly #model = new ModelController(this, {
    onLoaded: (loaded) => this.dispatchEvent(new TramontaneModelLoadedEvent(loaded)),
    onFailed: (error) => this.dispatchEvent(new TramontaneErrorOccurredEvent(error)),
  });

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#running?.abort();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('engine')) void this.#model.setEngine(this.engine).then(() => this.#autoload());
    if (changed.has('models')) this.#autoload();
  }

  #autoload(): void {
    const card = this.models[0];
    if (this.#hasAutoloaded || this.autoload !== 'stored' || !card) return;
    if (this.#model.state.status !== 'none' || !this.#model.storedIds.has(card.id)) return;
    this.#hasAutoloaded = true;
    void this.#model.load(card);
  }

  protected override render() {
    const isReady = this.#model.state.status === 'ready';
    return html`
      <div class="page">
        <div class="intro">
          <h1>JSON that fits</h1>
          <p>
            Write a schema and a question. The model may only write what the schema allows, and the answer is checked
            against it once more when it is done.
          </p>
        </div>
        ${
          isReady
            ? nothing
            : html`<div class="models">
                ${this.modelsError ? renderFailure(this.modelsError) : nothing}
                ${renderModelChoice(
                  this.#model,
                  { cards: this.models, chosen: this.models[0] ?? null, offers: [] },
                  this.#actions,
                )}
              </div>`
        }
        <div class="columns">${this.#renderForm(isReady)} ${this.#renderResult()}</div>
      </div>
    `;
  }

  #renderForm(isReady: boolean) {
    return html`<form @submit=${this.#onSubmit}>
      <div class="field">
        <div class="field-row">
          <label class="field-label" for="schema">Schema</label>
          <select class="input" aria-label="Examples" @change=${this.#onExample}>
            ${examples.map((example, index) => html`<option value=${index}>${example.name}</option>`)}
          </select>
        </div>
        <textarea
          class="input schema"
          id="schema"
          name="schema"
          spellcheck="false"
          autocomplete="off"
          aria-invalid=${this.problems.length > 0 ? 'true' : 'false'}
          aria-describedby="schema-problems"
          .value=${this.schemaText}
          @input=${this.#onSchema}
        ></textarea>
        <ul class="problems" id="schema-problems" role="status">
          ${this.problems.map(
            ({ path, message }) =>
              html`<li>${path === '' ? nothing : html`<code>${path}</code>: `}${message}</li>`,
          )}
        </ul>
      </div>
      <label class="field">
        <span>Prompt</span>
        <textarea
          class="input prompt"
          name="prompt"
          .value=${this.prompt}
          @input=${(event: Event) => {
            this.prompt = (event.target as HTMLTextAreaElement).value;
          }}
        ></textarea>
      </label>
      <div class="run">
        <label class="field">
          <span>At most tokens</span>
          <input
            class="input"
            name="max-tokens"
            type="number"
            min="1"
            step="1"
            inputmode="numeric"
            required
            .value=${this.maxTokens}
            @input=${(event: Event) => {
              this.maxTokens = (event.target as HTMLInputElement).value;
            }}
          />
        </label>
        ${
          this.isRunning
            ? html`<button class="button" type="button" @click=${() => this.#running?.abort(new DOMException('Stopped.', 'AbortError'))}>
                ${icons.stop} Stop
              </button>`
            : html`<button
                class="button loud"
                type="submit"
                title=${isReady ? '' : 'Load a model first'}
                ?disabled=${!isReady || this.problems.length > 0 || this.prompt.trim() === ''}
              >
                ${icons.play} Run
              </button>`
        }
      </div>
    </form>`;
  }

  #renderResult() {
    const { output, verdict, failure, lastChunk } = this;
    const isEmpty = output === '' && !this.isRunning;
    return html`<section class="result" aria-labelledby="result-title" aria-busy=${this.isRunning}>
      <div class="result-head">
        <h2 id="result-title">Answer</h2>
        ${
          output === '' || this.isRunning
            ? nothing
            : html`<button class="button plain small" type="button" @click=${this.#copy}>
                ${this.isCopied ? icons.check : icons.copy} ${this.isCopied ? 'Copied' : 'Copy'}
              </button>`
        }
      </div>
      <pre class="output ${isEmpty ? 'nothing' : ''}" tabindex="0" aria-labelledby="result-title">${
        isEmpty ? 'The answer appears here, exactly as the model writes it.' : output
      }</pre>
      <div role="status" aria-live="polite">
        ${verdict === null ? nothing : renderVerdict(verdict, this.maxTokens)}
      </div>
      ${failure === null ? nothing : renderFailure(failure)}
      ${lastChunk === null ? nothing : renderStatistics(lastChunk)}
    </section>`;
  }

  readonly #actions = {
    load: (card: ModelCard): void => void this.#model.load(card),
    cancel: (): void => this.#model.cancel(),
  };

  #onSchema(event: Event): void {
    this.schemaText = (event.target as HTMLTextAreaElement).value;
    this.problems = readSchema(this.schemaText).problems;
  }

  #onExample(event: Event): void {
    const example = examples[Number((event.target as HTMLSelectElement).value)];
    if (!example) return;
    this.schemaText = formatSchema(example.schema);
    this.prompt = example.prompt;
    this.problems = [];
  }

  #onSubmit(event: Event): void {
    event.preventDefault();
    void this.#run();
  }

  async #run(): Promise<void> {
    const { engine } = this;
    const reading = readSchema(this.schemaText);
    this.problems = reading.problems;
    if (!engine || this.isRunning || !('value' in reading)) return;
    const running = new AbortController();
    this.#running = running;
    this.isRunning = true;
    this.#text = '';
    this.output = '';
    this.verdict = null;
    this.failure = null;
    this.lastChunk = null;
    let finish: FinishReason = 'abort';
    try {
      const schema = typeof reading.value === 'boolean' ? {} : reading.value;
      const request = {
        messages: [{ role: 'user' as const, content: this.prompt }],
        max_completion_tokens: Number(this.maxTokens),
        response_format: {
          type: 'json_schema' as const,
          json_schema: { name: 'answer', schema, strict: true },
        },
      };
      for await (const chunk of engine.streamChat(request, { signal: running.signal })) {
        this.#text += chunk.choices[0]?.delta.content ?? '';
        this.#frames.schedule();
        finish = chunk.choices[0]?.finish_reason ?? finish;
        if (chunk.usage) this.lastChunk = chunk;
      }
      this.verdict = judge(this.#text, reading.value, finish);
    } catch (error) {
      if (isAbortError(error)) {
        this.verdict = { kind: 'cut-off', reason: 'abort' };
      } else {
        this.failure = toError(error);
        this.#model.noteFailure(this.failure, this.models[0] ?? null);
        this.dispatchEvent(new TramontaneErrorOccurredEvent(this.failure));
      }
    } finally {
      this.#frames.cancel();
      this.output = this.#text;
      this.isRunning = false;
      this.#running = null;
    }
  }

  async #copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.output);
      this.isCopied = true;
      setTimeout(() => {
        this.isCopied = false;
      }, 1500);
    } catch (error) {
      this.failure = toError(error);
    }
  }
}

function renderVerdict(verdict: Verdict, maxTokens: string) {
  switch (verdict.kind) {
    case 'valid':
      return html`<div class="notice good">
        ${icons.check}
        <div class="notice-text"><strong>Valid.</strong> This is JSON, and it fits the schema.</div>
      </div>`;
    case 'invalid':
      return html`<div class="notice danger">
        <div class="notice-text">
          <strong>Invalid.</strong> This is JSON, but it does not fit the schema.
          <ul class="misfits">
            ${verdict.misfits.map(({ path, message }) => html`<li><code>${path || '/'}</code>: ${message}</li>`)}
          </ul>
        </div>
      </div>`;
    case 'not-json':
      return html`<div class="notice danger">
        <div class="notice-text"><strong>Invalid.</strong> This is not JSON: ${verdict.message}.</div>
      </div>`;
    case 'cut-off':
      return html`<div class="notice warning">
        ${icons.warning}
        <div class="notice-text">
          <strong>Cut off.</strong>
          ${
            verdict.reason === 'length'
              ? `The answer was longer than ${maxTokens} tokens. Allow more, or ask for less.`
              : 'The answer was stopped before it was whole.'
          }
        </div>
      </div>`;
    default:
      return verdict satisfies never;
  }
}

function renderStatistics({ usage, timings }: ChatChunk) {
  if (!usage || !timings) return nothing;
  const rate = timings.decodeMs > 0 ? (timings.decodeTokens / timings.decodeMs) * 1000 : 0;
  return html`<p class="statistics">
    ${rate > 0 ? `${formatRate(rate)} tokens/s · ` : ''}first after ${formatLatency(timings.timeToFirstTokenMs)} ·
    ${formatInteger(usage.completion_tokens)} tokens · grammar ${formatLatency(timings.grammarMs)}
  </p>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-json': TramontaneJson;
  }
}
