/**
 * The import page: choose a model (from the catalogue, a file, a folder or an address), see what it is and whether it
 * fits before anything large is read, and import it.
 */
import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { property, query, state } from 'lit/decorators.js';
import { isTramontaneError } from '../../base/errors.ts';
import { formatBytes, formatBytesOf, formatDate } from '../../base/number-text.ts';
import { modelViews } from '../../element/model-views.styles.ts';
import { renderFailure } from '../../element/model-views.ts';
import type { ImportSource, ModelManager, PendingModelInfo, StoredModelInfo } from '../../engine/api.ts';
import { type CatalogueModel, fitModelOf } from '../../models/catalogue.ts';
import { type Fit, isDoubtful, memoryNeed } from '../../models/fit.ts';
import { type OriginStorage, originStorage } from '../../storage/quota.ts';
import { controls } from '../../ui/controls.styles.ts';
import { fitStyles } from '../../ui/fit-view.ts';
import { icons } from '../../ui/icons.ts';
import { describeProgress } from '../../ui/progress/describe-progress.ts';
import { base, tokens } from '../../ui/tokens.css.ts';
import { modelsPageStyles } from '../models-page.styles.ts';
import { pageContentStyles } from '../page-content.styles.ts';
import { pageLink } from '../page-link.ts';
import { isOfSite } from '../pending-model.ts';
import { renderBuilds } from './builds-view.ts';
import { describeProbe, renderDevice } from './device-view.ts';
import { importStyles } from './import.styles.ts';
import { type Candidate, ImportController, type ImportState } from './import-controller.ts';
import { renderOffer, sourceAt } from './offer-view.ts';
import { FileDrop, type OfferedFile, pickedFiles } from './offered-files.ts';
import { type PreviewActions, placeOf, renderPreview } from './preview-view.ts';

const PAGE_TITLE = 'Import a model: Tramontane';

export class TramontaneImport extends LitElement {
  static override styles = [
    tokens,
    base,
    controls,
    modelViews,
    fitStyles,
    pageContentStyles,
    modelsPageStyles,
    importStyles,
  ];

  @property({ attribute: false }) manager: ModelManager | null = null;
  @property({ attribute: false }) storage: OriginStorage = originStorage;
  @property({ attribute: false }) catalogue: readonly CatalogueModel[] = [];
  /** Why there is no catalogue; shown in its place. */
  @property({ attribute: false }) catalogueError: Error | null = null;
  /** Id of the catalogue's entry that the person came for. */
  @property() wanted: string | null = null;
  /** Id of an interrupted import to go on with. */
  @property() resume: string | null = null;

  @state() private address = '';
  @state() private announcement = '';
  @query('#files') private fileInput!: HTMLInputElement;
  @query('#folder') private folderInput!: HTMLInputElement;

  readonly #import = new ImportController(this);
  /** Anywhere on the page, unless a model is being imported. */
  readonly #drop = new FileDrop(this, {
    takesFiles: () => this.#import.state.step !== 'import',
    onFiles: (files) => this.#offer(files),
    onError: (error) => this.#import.refuse(error),
  });
  #shownStep: ImportState['step'] = 'choose';
  #hasResumed = false;

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('manager') && this.manager) void this.#import.connect(this.manager, this.storage);
    const { pending } = this.#import;
    const isCatalogueRead = this.catalogue.length > 0 || this.catalogueError !== null;
    if (this.resume !== null && !this.#hasResumed && pending.length > 0 && isCatalogueRead) {
      this.#hasResumed = true;
      const wanted = pending.find(({ id }) => id === this.resume);
      if (wanted?.source.url && !isOfSite(wanted, this.catalogue)) this.#goOn(wanted);
    }
  }

  protected override updated(changed: PropertyValues<this>): void {
    const { state: step } = this.#import;
    document.title = this.#title();
    if (step.step !== this.#shownStep) {
      this.#shownStep = step.step;
      this.#announce(this.#stepText());
      this.renderRoot.querySelector<HTMLElement>('[data-step-title]')?.focus();
    }
    if (changed.has('catalogue') && this.wanted !== null) {
      this.renderRoot.querySelector('[data-wanted]')?.scrollIntoView({ block: 'center' });
    }
  }

  #title(): string {
    const { state: step } = this.#import;
    if (step.step !== 'import' || !step.progress?.totalBytes) return PAGE_TITLE;
    return `${Math.floor((step.progress.bytes / step.progress.totalBytes) * 100)}% · ${PAGE_TITLE}`;
  }

  #stepText(): string {
    const { state: step } = this.#import;
    switch (step.step) {
      case 'choose':
        return step.error ? `That did not work. ${step.error.message}` : 'Choose a model.';
      case 'inspect':
        return `Looking at ${step.label}.`;
      case 'builds':
        return step.error
          ? `That did not work. ${step.error.message}`
          : `${step.builds.repository} has ${step.builds.builds.length} builds. Choose one.`;
      case 'preview':
        return step.error
          ? `The import failed. ${step.error.message}`
          : `This is ${step.candidate.preview.name}.`;
      case 'import':
        return `Importing ${step.candidate.preview.name}.`;
      case 'done':
        return `${step.stored.name} is on this device.`;
      default:
        return step satisfies never;
    }
  }

  #announce(text: string): void {
    this.announcement = text;
  }

  protected override render() {
    const { state: step } = this.#import;
    return html`
      <div class="page ${step.step === 'choose' ? '' : 'one-step'} ${this.#drop.isOver ? 'dragging' : ''}">
        <div class="intro">
          <h1>Import a model</h1>
          ${
            step.step === 'choose'
              ? html`<p>
                  From a file that you have, or from a public address. It is read once and kept on this device; from
                  then on it loads without a network.
                </p>`
              : nothing
          }
          <p class="outside">
            ${icons.globe}<span
              >Unlike the chat, this page may contact the host that you name, to fetch the model. It sends nothing else,
              and it cannot see your conversation.</span
            >
          </p>
        </div>
        ${this.#renderStep(step)}
      </div>
      ${this.#drop.isOver ? html`<div class="overlay"><span>Drop it to see what it is</span></div>` : nothing}
      <input id="files" type="file" multiple accept=".gguf" hidden @change=${this.#onPicked} />
      <input id="folder" type="file" webkitdirectory hidden @change=${this.#onPicked} />
      <div class="visually-hidden" role="status" aria-live="polite">${this.announcement}</div>
    `;
  }

  #renderStep(step: ImportState) {
    switch (step.step) {
      case 'choose':
        return this.#renderChoice(step.error);
      case 'inspect':
        return html`<section class="single panel" aria-labelledby="step">
          <h2 id="step" tabindex="-1" data-step-title>Looking at ${step.label}</h2>
          <tramontane-progress label="Reading its header" .value=${null}></tramontane-progress>
          <div class="buttons">
            <button class="button" type="button" @click=${() => this.#import.cancel()}>Cancel</button>
          </div>
        </section>`;
      case 'builds':
        return html`<div class="single">
          ${this.#renderBack('Choose another', () => this.#import.choose())}
          ${step.error === null ? nothing : this.#renderError(step.error)}
          ${renderBuilds(this.#import, step.builds, (build) => void this.#import.inspectBuild(build, step.builds))}
        </div>`;
      case 'preview':
        return html`<div class="single">
          ${this.#renderBackFrom(step.candidate)}
          ${
            step.error === null
              ? nothing
              : this.#renderError(
                  step.error,
                  html`<button class="button" type="button" @click=${this.#previewActions.import}>
                    ${icons.retry} Try again
                  </button>`,
                )
          }
          ${renderPreview(this.#import, step.candidate, this.#smallerThan(step.candidate), this.#previewActions)}
        </div>`;
      case 'import':
        return this.#renderImport(step.candidate, step.progress);
      case 'done':
        return this.#renderDone(step.stored);
      default:
        return step satisfies never;
    }
  }

  #renderBackFrom({ builds }: Candidate) {
    return builds === null
      ? this.#renderBack('Choose another', () => this.#import.choose())
      : this.#renderBack('Choose another build', () => this.#import.chooseBuild(builds));
  }

  #renderBack(label: string, goBack: () => void) {
    return html`<button class="button plain back" type="button" @click=${goBack}>${icons.back} ${label}</button>`;
  }

  #renderChoice(error: Error | null) {
    const [first] = this.catalogue;
    const advised = this.#advised();
    return html`
      ${error === null ? nothing : this.#renderError(error)}
      ${this.#import.pending.map((pending) => this.#renderPending(pending))}
      <div class="columns">
        <div class="column">
          ${this.#renderSources()}
          ${renderDevice(
            this.#import,
            first ? memoryNeed(fitModelOf(first), first.contextLength).totalBytes : null,
            this.#previewActions.test,
          )}
        </div>
        <section class="column" aria-labelledby="catalogue">
          <h2 id="catalogue">Models to choose from</h2>
          ${this.catalogueError ? renderFailure(this.catalogueError) : nothing}
          <ul class="offers">
            ${this.catalogue.map((entry) =>
              renderOffer(
                entry,
                {
                  fit: this.#fitOf(entry),
                  stored: this.#storedAs(entry),
                  isWanted: entry.id === this.wanted,
                  isAdvised: entry === advised,
                },
                (source) => void this.#import.inspect(source, entry.name, entry),
              ),
            )}
          </ul>
        </section>
      </div>
    `;
  }

  #renderSources() {
    return html`<section class="column" aria-labelledby="step">
      <div class="drop">
        ${icons.file}
        <strong id="step" tabindex="-1" data-step-title role="heading" aria-level="2">Drop a GGUF file here</strong>
        <p class="help">All parts of a split one together. A folder in MLC's layout will do as well.</p>
        <div class="choices">
          <button class="button" type="button" @click=${() => this.fileInput.click()}>Choose files</button>
          <button class="button" type="button" @click=${() => this.folderInput.click()}>Choose a folder</button>
        </div>
      </div>
      <form class="address" @submit=${this.#onAddress}>
        <label class="field-label" for="address">Or an address</label>
        <div class="row">
          <input
            class="input"
            id="address"
            name="address"
            type="text"
            inputmode="url"
            autocomplete="off"
            autocapitalize="off"
            spellcheck="false"
            placeholder="hf:owner/repo"
            aria-describedby="address-help"
            .value=${this.address}
            @input=${(event: Event) => {
              this.address = (event.target as HTMLInputElement).value;
            }}
          />
          <button class="button" type="submit" ?disabled=${this.address.trim() === ''}>Look at it</button>
        </div>
        <p class="help" id="address-help">
          <code>https://…/model.gguf</code>, or <code>hf:owner/repo</code> for what there is in a repository on Hugging
          Face. Only its header is read at first.
        </p>
      </form>
    </section>`;
  }

  async #test(wantedBytes: number): Promise<void> {
    await this.#import.test(wantedBytes);
    const { probe } = this.#import;
    if (probe) this.#announce(`GPU memory: ${describeProbe(probe)}.`);
  }

  #renderPending(pending: PendingModelInfo) {
    const { id, name, source, doneBytes, totalBytes, updatedAt } = pending;
    return html`<section class="panel pending" aria-label="Interrupted import">
      <div>
        <h3>${name}</h3>
        <p class="meta">
          Interrupted ${formatDate(updatedAt)}: ${formatBytesOf(doneBytes, totalBytes)} from
          ${source.url === null ? source.name : placeOf(source.url)}.
        </p>
      </div>
      <div class="buttons">
        ${
          source.url === null
            ? html`<button class="button loud" type="button" @click=${() => this.fileInput.click()}>
                Choose the file again
              </button>`
            : isOfSite(pending, this.catalogue)
              ? html`<a class="button loud" href=${pageLink('index', { model: id })}>Go on in the chat</a>`
              : html`<button class="button loud" type="button" @click=${() => this.#goOn(pending)}>Go on</button>`
        }
        <a class="button" href=${pageLink('storage')}>Storage</a>
      </div>
    </section>`;
  }

  #goOn({ source }: PendingModelInfo): void {
    const { url, name } = source;
    if (url === null) return;
    // An entry knows more than its address: a prebuilt model needs its library again.
    for (const entry of this.catalogue) {
      const known = sourceAt(entry, url);
      if (known) {
        void this.#import.inspect(known, entry.name, entry);
        return;
      }
    }
    void this.#import.inspect({ kind: 'address', address: url }, name);
  }

  #storedAs(entry: CatalogueModel): StoredModelInfo | null {
    const isIt = ({ id, source }: StoredModelInfo) =>
      entry.source.kind === 'site'
        ? id === entry.id
        : source.url !== null && sourceAt(entry, source.url) !== undefined;
    return this.#import.stored.find(isIt) ?? null;
  }

  #fitOf(entry: CatalogueModel): Fit | null {
    return this.#import.fitOfEntry(entry, this.#storedAs(entry) !== null);
  }

  /** The one that the person came for; else the first that is not known to be unfit. */
  #advised(): CatalogueModel | undefined {
    return (
      this.catalogue.find(({ id }) => id === this.wanted) ??
      this.catalogue.find((entry) => {
        const fit = this.#fitOf(entry);
        return entry.source.kind !== 'site' && fit !== null && !isDoubtful(fit);
      })
    );
  }

  readonly #previewActions: PreviewActions = {
    import: () => void this.#import.import(),
    setContext: (contextLength) => this.#import.setContext(contextLength),
    test: (wantedBytes) => void this.#test(wantedBytes),
    show: (entry) => this.#showOffer(entry),
  };

  #showOffer(entry: CatalogueModel): void {
    this.wanted = entry.id;
    this.#import.choose();
    void this.updateComplete.then(() =>
      this.renderRoot.querySelector('[data-wanted]')?.scrollIntoView({ block: 'center' }),
    );
  }

  /** The largest model of the catalogue that is smaller and not known to be unfit. */
  #smallerThan({ preview }: Candidate): CatalogueModel | null {
    const fitting = this.catalogue.filter((entry) => {
      const fit = this.#fitOf(entry);
      return entry.byteLength < preview.storedBytes / 2 && fit !== null && !isDoubtful(fit);
    });
    return fitting.sort((a, b) => b.byteLength - a.byteLength)[0] ?? null;
  }

  #renderImport({ preview }: Candidate, progress: Parameters<typeof describeProgress>[0]) {
    const { label, value, detail } = describeProgress(progress);
    return html`<section class="single panel" aria-labelledby="step">
      <div class="preview-head">
        <h2 id="step" tabindex="-1" data-step-title>Importing ${preview.name}</h2>
        <p class="meta">${preview.source.name}, from ${placeOf(preview.source.url)}</p>
      </div>
      <tramontane-progress label=${label} .value=${value} detail=${detail}></tramontane-progress>
      <p class="help">
        Keep this tab open; you may use others meanwhile. What has been read is kept if you cancel, close the tab or lose
        the connection.
      </p>
      <div class="buttons">
        <button class="button" type="button" @click=${() => this.#import.cancel()}>Cancel</button>
      </div>
    </section>`;
  }

  #renderDone(stored: StoredModelInfo) {
    return html`<section class="single panel done" aria-labelledby="step">
      <span class="done-mark">${icons.check}</span>
      <div class="preview-head">
        <h2 id="step" tabindex="-1" data-step-title>${stored.name} is on this device</h2>
        <p class="meta">
          ${formatBytes(stored.byteLength)}, with checksums. From now on it loads without a network.
        </p>
      </div>
      <div class="buttons">
        <a class="button loud" href=${pageLink('index', { model: stored.id })}>Chat with it ${icons.arrow}</a>
        <button class="button" type="button" @click=${() => this.#import.choose()}>Import another</button>
        <a class="button" href=${pageLink('storage')}>Storage</a>
      </div>
    </section>`;
  }

  #renderError(error: Error, action: TemplateResult | typeof nothing = nothing): TemplateResult {
    const template = isTramontaneError(error) ? error.data.chatTemplate : null;
    return html`
      ${renderFailure(error, action)}
      ${
        typeof template === 'string'
          ? html`<section class="column" aria-labelledby="template-title">
              <h3 id="template-title">The chat template of this file</h3>
              <pre class="template" tabindex="0" aria-labelledby="template-title">${template}</pre>
            </section>`
          : nothing
      }
    `;
  }

  #onAddress(event: Event): void {
    event.preventDefault();
    const address = this.address.trim();
    if (address !== '') void this.#import.inspect({ kind: 'address', address }, address);
  }

  #onPicked(event: Event): void {
    const input = event.target as HTMLInputElement;
    this.#offer(pickedFiles(input));
    // The same file may be chosen again.
    input.value = '';
  }

  #offer(offered: readonly OfferedFile[]): void {
    const [first] = offered;
    if (first === undefined) return;
    const source: ImportSource = {
      kind: 'files',
      files: offered.map(({ file }) => file),
      paths: offered.map(({ path }) => path),
    };
    void this.#import.inspect(source, offered.length === 1 ? first.file.name : `${offered.length} files`);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-import': TramontaneImport;
  }
}
