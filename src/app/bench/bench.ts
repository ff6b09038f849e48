/** The benchmark: choose a model and what to measure, see how long it will take, run it, read and keep the report. */
import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { property, state } from 'lit/decorators.js';
import { isAbortError, toError } from '../../base/errors.ts';
import { createTimerProbe } from '../../bench/busy-probe.ts';
import { toCsv, toJson, toMarkdown } from '../../bench/export.ts';
import { formatSpread } from '../../bench/figure-text.ts';
import smolLm2Goldens from '../../bench/goldens/smollm2-135m-instruct.json' with { type: 'json' };
import { readBrowserHost } from '../../bench/machine.ts';
import type { BenchReport, SuiteName } from '../../bench/report.ts';
import { type BenchEstimate, type BenchProgress, runBenchmark } from '../../bench/run.ts';
import { type SavedRun, SavedRuns } from '../../bench/saved-runs.ts';
import { FULL, SUITES } from '../../bench/workloads.ts';
import { TramontaneErrorOccurredEvent } from '../../element/events.ts';
import { renderFailure } from '../../element/model-views.ts';
import type { BenchmarkEngine, ModelCard, ModelSource, Progress } from '../../engine/api.ts';
import { controls } from '../../ui/controls.styles.ts';
import { definePart } from '../../ui/define-part.ts';
import { icons } from '../../ui/icons.ts';
import { describeProgress } from '../../ui/progress/describe-progress.ts';
import { base, tokens } from '../../ui/tokens.css.ts';
import { pageContentStyles } from '../page-content.styles.ts';
import { versions } from '../versions.ts';
import { benchStyles } from './bench.styles.ts';
import { TramontaneChart } from './chart.ts';
import { TramontaneBenchFinishedEvent } from './events.ts';
import { measureInWorker } from './measure-in-worker.ts';
import { formatDuration, renderComparison, renderReport, suiteName } from './report-view.ts';

definePart('tramontane-chart', TramontaneChart);

/** Long enough to be asked about first. */
const ASK_ABOVE_MS = 20_000;
const DEEP = 8192;
const DEEP_CONTEXT = DEEP + Math.max(FULL.promptTokens, FULL.outputTokens);

type State =
  | { status: 'idle' }
  | { status: 'loading'; progress: Progress | null }
  | { status: 'asking'; estimate: BenchEstimate; answer: (goOn: boolean) => void }
  | { status: 'running'; progress: BenchProgress | null };

type Size = 'auto' | 'full' | 'short';

/** A model to measure. */
type Choice = ModelSource & Pick<ModelCard, 'name'> & { maxContextLength?: number | null };

/**
 * Measures a model on this device. Give it an `engine` and `models`; nothing is uploaded.
 * @fires tramontane-bench-finished - A run has ended, complete or not (`report`).
 * @fires tramontane-error-occurred - Something failed; it is shown already (`error`).
 */
export class TramontaneBench extends LitElement {
  static override styles = [tokens, base, controls, pageContentStyles, benchStyles];

  @property({ attribute: false }) engine: BenchmarkEngine | null = null;
  @property({ attribute: false }) models: readonly ModelCard[] = [];
  @property({ attribute: false }) modelsError: Error | null = null;

  @state() private current: State = { status: 'idle' };
  @state() private report: BenchReport | null = null;
  @state() private failure: Error | null = null;
  @state() private runs: readonly SavedRun[] = [];
  @state() private compared: ReadonlySet<string> = new Set();
  @state() private choices: readonly Choice[] = [];
  @state() private modelId = '';
  @state() private suites: ReadonlySet<SuiteName> = new Set(['selfcheck', 'load', 'standard'] as const);
  @state() private size: Size = 'auto';
  @state() private isDeep = false;
  @state() private isCopied = false;
  @state() private announcement = '';

  #running: AbortController | null = null;
  readonly #savedRuns = new SavedRuns();

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#listRuns();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#running?.abort(new DOMException('The page was left.', 'AbortError'));
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('engine') || changed.has('models')) void this.#listModels();
  }

  protected override updated(changed: PropertyValues): void {
    const before = changed.get('current') as State | undefined;
    if (before !== undefined && before.status !== this.current.status) this.#keepFocus();
  }

  /** A button that has gone takes the focus with it: the next one gets it, or the report. */
  #keepFocus(): void {
    const isLost = document.activeElement === document.body || document.activeElement === this;
    if (!isLost || this.shadowRoot?.activeElement) return;
    const isDone = this.current.status === 'idle' && this.report !== null;
    const next = this.renderRoot.querySelector<HTMLElement>(isDone ? '#report-title' : '.run button');
    next?.focus({ preventScroll: !isDone });
  }

  /** The site's models, and those that were imported. */
  async #listModels(): Promise<void> {
    const stored = (await this.engine?.listStoredModels().catch(() => [])) ?? [];
    const known = new Set(this.models.map(({ id }) => id));
    this.choices = [
      ...this.models,
      ...stored
        .filter(({ id }) => !known.has(id))
        .map(({ id, name, maxContextLength }) => ({ id, name, maxContextLength })),
    ];
    if (!this.choices.some(({ id }) => id === this.modelId)) this.modelId = this.choices[0]?.id ?? '';
  }

  async #listRuns(): Promise<void> {
    try {
      this.runs = await this.#savedRuns.list();
    } catch (error) {
      this.#fail(error);
    }
  }

  protected override render() {
    return html`<div class="page">
      <div class="intro">
        <h1>How fast is it here?</h1>
        <p>
          Measures a model on this very GPU, in llama-bench's terms, and says how far the figures can be trusted. Nothing
          is uploaded. Close what else uses the GPU, and plug a laptop in.
        </p>
      </div>
      ${this.modelsError ? renderFailure(this.modelsError) : nothing} ${this.#renderForm()}
      ${this.failure === null ? nothing : renderFailure(this.failure)}
      <div class="report" aria-live="off">
        ${
          this.report === null
            ? nothing
            : html`<section class="panel" aria-labelledby="report-title">
                <div class="panel-head">
                  <h2 id="report-title" tabindex="-1">${this.report.model.name} ${this.report.model.quantization}</h2>
                  ${this.current.status === 'idle' ? this.#renderExports(this.report) : nothing}
                </div>
                ${renderReport(this.report)}
              </section>`
        }
      </div>
      ${this.#renderRuns()}
      <div class="visually-hidden" role="status">${this.announcement}</div>
    </div>`;
  }

  #renderForm() {
    const isIdle = this.current.status === 'idle';
    const sizes: [Size, string][] = [
      ['auto', 'as long as it takes, at most about ten minutes a suite'],
      ['full', 'full, however long'],
      ['short', 'short'],
    ];
    return html`<form class="panel" @submit=${this.#onSubmit}>
      <div class="fields">
        <label class="field">
          <span>Model</span>
          <select
            class="input"
            name="model"
            ?disabled=${!isIdle}
            @change=${(event: Event) => {
              this.modelId = (event.target as HTMLSelectElement).value;
            }}
          >
            ${this.choices.map(
              ({ id, name }) => html`<option value=${id} ?selected=${id === this.modelId}>${name}</option>`,
            )}
          </select>
        </label>
        <label class="field">
          <span>Length</span>
          <select
            class="input"
            name="size"
            ?disabled=${!isIdle}
            @change=${(event: Event) => {
              this.size = (event.target as HTMLSelectElement).value as Size;
            }}
          >
            ${sizes.map(
              ([value, text]) =>
                html`<option value=${value} ?selected=${value === this.size}>${text}</option>`,
            )}
          </select>
        </label>
      </div>
      <fieldset ?disabled=${!isIdle}>
        <legend>Measure</legend>
        ${SUITES.map(
          (suite) => html`<label class="choice">
            <input
              type="checkbox"
              name="suite"
              value=${suite}
              .checked=${this.suites.has(suite)}
              @change=${() => this.#toggleSuite(suite)}
            />
            ${suiteName(suite)}
          </label>`,
        )}
        <label class="choice">
          <input
            type="checkbox"
            name="deep"
            .checked=${this.isDeep && this.#canBeDeep}
            ?disabled=${!this.#canBeDeep}
            @change=${(event: Event) => {
              this.isDeep = (event.target as HTMLInputElement).checked;
            }}
          />
          also at a depth of ${DEEP.toLocaleString('en')}
          tokens${this.#canBeDeep ? '' : ', for which this model has no room'}
        </label>
      </fieldset>
      ${this.#renderState()}
    </form>`;
  }

  get #canBeDeep(): boolean {
    const most = this.choices.find(({ id }) => id === this.modelId)?.maxContextLength;
    return most === undefined || most === null || most >= DEEP_CONTEXT;
  }

  #renderState() {
    const { current } = this;
    const cancel = html`<button class="button" type="button" @click=${this.#cancel}>Cancel</button>`;
    switch (current.status) {
      case 'idle':
        return html`<div class="run">
          <button
            class="button loud"
            type="submit"
            ?disabled=${this.engine === null || this.modelId === '' || this.suites.size === 0}
          >
            ${icons.play} Run
          </button>
        </div>`;
      case 'loading': {
        const { label, value, detail } = describeProgress(current.progress);
        return html`<div class="run">
          <tramontane-progress label=${label} .value=${value} detail=${detail}></tramontane-progress>
          ${cancel}
        </div>`;
      }
      case 'asking': {
        const { durationMs, shortSuites } = current.estimate;
        const short =
          shortSuites.length === 0
            ? ''
            : ` ${shortSuites.map(suiteName).join(', ')} in short form, since in full it would take over ten minutes.`;
        return html`<div class="run" role="alert">
          <span>This will take about <strong>${formatDuration(durationMs)}</strong>.${short}</span>
          <button class="button loud" type="button" @click=${() => current.answer(true)}>${icons.play} Start</button>
          <button class="button" type="button" @click=${() => current.answer(false)}>Cancel</button>
        </div>`;
      }
      case 'running': {
        const { progress } = current;
        const done =
          progress === null || progress.etaMs === null
            ? null
            : progress.elapsedMs / Math.max(1, progress.elapsedMs + progress.etaMs);
        const detail =
          progress === null
            ? ''
            : `${suiteName(progress.suite)} · ${progress.suite === 'kernels' ? '' : 'sample '}${progress.repetition} of ${progress.of}` +
              (progress.etaMs === null ? '' : ` · about ${formatDuration(progress.etaMs)} left`);
        return html`<div class="run">
          <tramontane-progress
            label=${progress === null ? 'A trial' : progress.test}
            .value=${done}
            detail=${detail}
          ></tramontane-progress>
          ${cancel}
        </div>`;
      }
      default:
        return current satisfies never;
    }
  }

  #renderExports(report: BenchReport) {
    const name = `tramontane-${report.model.id}-${report.startedAt.slice(0, 19).replaceAll(':', '-')}`;
    const save = (extension: string, type: string, text: string) => {
      const url = URL.createObjectURL(new Blob([text], { type }));
      const link = Object.assign(document.createElement('a'), {
        href: url,
        download: `${name}.${extension}`,
      });
      link.click();
      URL.revokeObjectURL(url);
    };
    return html`<div class="exports">
      <button
        class="button small"
        type="button"
        @click=${() => save('json', 'application/json', toJson(report))}
      >
        JSON
      </button>
      <button class="button small" type="button" @click=${() => save('csv', 'text/csv', toCsv(report))}>CSV</button>
      <button class="button small" type="button" @click=${() => this.#copyMarkdown(report)}>
        ${this.isCopied ? icons.check : icons.copy} ${this.isCopied ? 'Copied' : 'Markdown'}
      </button>
    </div>`;
  }

  #renderRuns() {
    const { runs } = this;
    const compared = runs.filter(({ id }) => this.compared.has(id)).map(({ report }) => report);
    return html`<section class="runs" aria-labelledby="runs-title">
      <h2 id="runs-title">Saved runs</h2>
      ${
        runs.length === 0
          ? html`<p class="quiet">None yet. Every run is kept here, on this device.</p>`
          : html`<ul>
              ${runs.map((run) => this.#renderRun(run))}
            </ul>`
      }
      ${compared.length > 1 ? renderComparison(compared) : nothing}
    </section>`;
  }

  #renderRun(run: SavedRun) {
    const { id, report } = run;
    const { model, startedAt, tests, labels } = report;
    const figures = tests
      .filter(({ suite, depth }) => suite === 'standard' && depth === 0)
      .map((test) => `${test.id} ${formatSpread(test)}`);
    const when = new Date(startedAt).toLocaleString();
    return html`<li>
      <label class="choice">
        <input type="checkbox" .checked=${this.compared.has(id)} @change=${() => this.#toggleCompared(id)} />
        <span>
          <strong>${model.name} ${model.quantization}</strong>
          <span class="quiet">${[when, ...figures, ...labels].join(' · ')}</span>
        </span>
      </label>
      <span class="run-actions">
        <button
          class="button small"
          type="button"
          aria-label="Show the run of ${when}"
          ?disabled=${this.current.status !== 'idle'}
          @click=${() => {
            this.report = report;
          }}
        >
          Show
        </button>
        <button
          class="button small plain"
          type="button"
          aria-label="Delete the run of ${when}"
          @click=${() => this.#deleteRun(id)}
        >
          Delete
        </button>
      </span>
    </li>`;
  }

  #toggleSuite(suite: SuiteName): void {
    const suites = new Set(this.suites);
    if (!suites.delete(suite)) suites.add(suite);
    this.suites = suites;
  }

  #toggleCompared(id: string): void {
    const compared = new Set(this.compared);
    if (!compared.delete(id)) compared.add(id);
    this.compared = compared;
  }

  readonly #cancel = (): void => {
    this.#running?.abort(new DOMException('The benchmark was cancelled.', 'AbortError'));
  };

  #onSubmit(event: Event): void {
    event.preventDefault();
    void this.#run();
  }

  async #run(): Promise<void> {
    const { engine } = this;
    const source = this.choices.find(({ id }) => id === this.modelId);
    if (engine === null || source === undefined || this.#running !== null) return;
    const running = new AbortController();
    const isDeep = this.isDeep && this.#canBeDeep;
    this.#running = running;
    this.failure = null;
    this.report = null;
    this.announcement = 'Loading the model.';
    this.current = { status: 'loading', progress: null };
    try {
      const adapter = await engine.getAdapter({ signal: running.signal });
      const report = await runBenchmark(engine, source, {
        suites: [...this.suites],
        host: await readBrowserHost(),
        version: versions.tramontane,
        probe: createTimerProbe(adapter?.isSoftware ?? true),
        size: this.size,
        ...(isDeep ? { depths: [...FULL.depths, DEEP], load: { contextLength: DEEP_CONTEXT } } : {}),
        measureKernels: measureInWorker,
        goldens: [smolLm2Goldens],
        firstRuns: this.#savedRuns,
        signal: running.signal,
        onLoadProgress: (progress) => {
          this.current = { status: 'loading', progress };
        },
        onEstimate: (estimate) => this.#askWhetherToGoOn(estimate, running),
        onProgress: (progress) => {
          this.current = { status: 'running', progress };
        },
        onReport: (partial) => {
          this.report = partial;
        },
      });
      this.report = report;
      this.dispatchEvent(new TramontaneBenchFinishedEvent(report));
      if (report.tests.length > 0) await this.#savedRuns.save(report);
      await this.#listRuns();
      // A worker that has died answers nothing more: then the page is to hear of it, and gets another.
      if (report.stoppedBy !== null && !running.signal.aborted) await engine.getAdapter();
    } catch (error) {
      if (!isAbortError(error)) this.#fail(error);
    } finally {
      this.#running = null;
      this.current = { status: 'idle' };
      this.announcement = this.report === null ? 'Nothing was measured.' : 'The report is ready.';
    }
  }

  async #askWhetherToGoOn(estimate: BenchEstimate, running: AbortController): Promise<void> {
    if (estimate.durationMs > ASK_ABOVE_MS) {
      const goOn = await new Promise<boolean>((answer) => {
        this.current = { status: 'asking', estimate, answer };
        running.signal.addEventListener('abort', () => answer(false), { once: true });
      });
      if (!goOn) this.#cancel();
    }
    running.signal.throwIfAborted();
    this.announcement = 'Measuring.';
    this.current = { status: 'running', progress: null };
  }

  async #deleteRun(id: string): Promise<void> {
    try {
      await this.#savedRuns.delete(id);
      await this.#listRuns();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #copyMarkdown(report: BenchReport): Promise<void> {
    try {
      await navigator.clipboard.writeText(toMarkdown(report));
      this.isCopied = true;
      setTimeout(() => {
        this.isCopied = false;
      }, 1500);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.failure = toError(error);
    this.dispatchEvent(new TramontaneErrorOccurredEvent(this.failure));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-bench': TramontaneBench;
  }
}
