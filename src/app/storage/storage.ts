/** The storage page: which models are kept on this device, how much room they take, and what can be done with them. */
import { html, LitElement, nothing, type PropertyValues } from 'lit';
import { property, query, state } from 'lit/decorators.js';
import { isAbortError, toError } from '../../base/errors.ts';
import {
  formatBytes,
  formatBytesOf,
  formatCount,
  formatDate,
  formatInteger,
} from '../../base/number-text.ts';
import { modelViews } from '../../element/model-views.styles.ts';
import { renderFailure } from '../../element/model-views.ts';
import type {
  ModelManager,
  PendingModelInfo,
  Progress,
  StoredModelInfo,
  VerifyReport,
} from '../../engine/api.ts';
import type { CatalogueModel } from '../../models/catalogue.ts';
import { type OriginStorage, originStorage, type StorageEstimate } from '../../storage/quota.ts';
import { controls } from '../../ui/controls.styles.ts';
import { FrameScheduler } from '../../ui/frame-scheduler.ts';
import { icons } from '../../ui/icons.ts';
import { describeProgress } from '../../ui/progress/describe-progress.ts';
import { base, tokens } from '../../ui/tokens.css.ts';
import { describeFreeRoom } from '../free-room.ts';
import { modelsPageStyles } from '../models-page.styles.ts';
import { pageContentStyles } from '../page-content.styles.ts';
import { pageLink } from '../page-link.ts';
import { isOfSite } from '../pending-model.ts';
import { storageStyles } from './storage.styles.ts';

/** What a person is doing with one model. */
type Work =
  | { kind: 'verifying'; progress: Progress | null; abort: AbortController }
  | { kind: 'verified'; report: VerifyReport }
  | { kind: 'exporting' }
  | { kind: 'failed'; error: Error };

/** What is about to be deleted. */
interface Doomed {
  id: string;
  name: string;
  byteLength: number;
  isPending: boolean;
}

/** How long the address of an export stays good: the browser has begun to save it by then. */
const EXPORT_ADDRESS_MS = 60_000;

/** What is done with an interrupted import has a place of its own: a whole model may have the same id. */
function workKey({ id, isPending }: Pick<Doomed, 'id' | 'isPending'>): string {
  return isPending ? `pending ${id}` : id;
}

export class TramontaneStorage extends LitElement {
  static override styles = [
    tokens,
    base,
    controls,
    modelViews,
    pageContentStyles,
    modelsPageStyles,
    storageStyles,
  ];

  @property({ attribute: false }) manager: ModelManager | null = null;
  @property({ attribute: false }) storage: OriginStorage = originStorage;
  /** The site's models; empty until, and unless, they are known. */
  @property({ attribute: false }) catalogue: readonly CatalogueModel[] = [];

  /** Null until they have been read. */
  @state() private models: readonly StoredModelInfo[] | null = null;
  @state() private pending: readonly PendingModelInfo[] = [];
  @state() private estimate: StorageEstimate | null = null;
  @state() private isPersisted: boolean | null = null;
  /** The browser was asked to keep everything, and did not agree. */
  @state() private wasRefused = false;
  @state() private error: Error | null = null;
  @state() private works: ReadonlyMap<string, Work> = new Map();
  @state() private doomed: Doomed | null = null;
  @state() private announcement = '';
  @query('dialog') private dialog!: HTMLDialogElement;
  @query('.quota') private quotaBar!: HTMLElement | null;

  #latestProgress: { id: string; progress: Progress } | null = null;
  readonly #frames = new FrameScheduler(() => this.#showProgress());

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#frames.cancel();
    for (const work of this.works.values()) if (work.kind === 'verifying') work.abort.abort();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('manager') && this.manager) void this.#read();
  }

  /** Not style attributes in the template: a strict style-src forbids them. */
  protected override updated(): void {
    const { quotaBar, estimate } = this;
    if (!quotaBar || estimate === null || estimate.quotaBytes === 0) return;
    const models = this.#modelBytes();
    for (const [index, byteLength] of [models, Math.max(0, estimate.usedBytes - models)].entries()) {
      (quotaBar.children[index] as HTMLElement).style.width = `${(byteLength / estimate.quotaBytes) * 100}%`;
    }
  }

  async #read(): Promise<void> {
    const { manager, storage } = this;
    if (!manager) return;
    try {
      const [models, pending, estimate, isPersisted] = await Promise.all([
        manager.listStoredModels(),
        manager.listPendingModels(),
        storage.estimate(),
        storage.isPersisted(),
      ]);
      this.models = [...models].sort((a, b) => b.byteLength - a.byteLength);
      this.pending = pending;
      this.estimate = estimate;
      this.isPersisted = isPersisted;
      this.error = null;
    } catch (error) {
      this.error = toError(error);
    }
  }

  #modelBytes(): number {
    const stored = (this.models ?? []).reduce((sum, { byteLength }) => sum + byteLength, 0);
    return this.pending.reduce((sum, { doneBytes }) => sum + doneBytes, stored);
  }

  protected override render() {
    const { models, pending, error, doomed } = this;
    return html`
      <div class="page">
        <div class="intro">
          <h1>Storage</h1>
          <p>The models on this device. They lie in this browser's own storage for this site, and nowhere else.</p>
        </div>
        ${
          error === null
            ? nothing
            : renderFailure(
                error,
                html`<button class="button" type="button" @click=${() => void this.#read()}>
                  ${icons.retry} Try again
                </button>`,
              )
        }
        ${models === null ? nothing : this.#renderSummary()}
        ${
          pending.length === 0
            ? nothing
            : html`<section class="section" aria-labelledby="pending">
                <h2 id="pending" tabindex="-1">Interrupted imports</h2>
                <ul class="list">
                  ${pending.map((model) => this.#renderPending(model))}
                </ul>
              </section>`
        }
        ${
          models === null
            ? nothing
            : models.length === 0
              ? this.#renderEmpty()
              : html`<section class="section" aria-labelledby="models">
                  <h2 id="models" tabindex="-1">${models.length === 1 ? 'One model' : `${models.length} models`}</h2>
                  <ul class="list">
                    ${models.map((model) => this.#renderModel(model))}
                  </ul>
                </section>`
        }
      </div>
      <dialog aria-labelledby="dialog-title" @close=${this.#onDialogClose}>
        ${
          doomed === null
            ? nothing
            : html`<form method="dialog">
                <h2 id="dialog-title">${doomed.isPending ? 'Discard' : 'Delete'} ${doomed.name}?</h2>
                <p>
                  This frees ${formatBytes(doomed.byteLength)}.
                  ${
                    doomed.isPending
                      ? 'The import would have to begin anew.'
                      : 'To use the model again, it has to be imported or downloaded again.'
                  }
                </p>
                <div class="buttons">
                  <button class="button" type="submit" value="keep" autofocus>Keep it</button>
                  <button class="button danger" type="submit" value="delete">
                    ${doomed.isPending ? 'Discard' : 'Delete'}
                  </button>
                </div>
              </form>`
        }
      </dialog>
      <div class="visually-hidden" role="status" aria-live="polite">${this.announcement}</div>
    `;
  }

  #renderSummary() {
    const { estimate, isPersisted } = this;
    const models = this.#modelBytes();
    return html`<section class="panel summary" aria-label="Room">
      ${
        estimate === null
          ? nothing
          : html`<div
              class="quota"
              role="meter"
              aria-label="Storage in use"
              aria-valuemin="0"
              aria-valuemax=${estimate.quotaBytes}
              aria-valuenow=${estimate.usedBytes}
              aria-valuetext="${formatBytes(estimate.usedBytes)} of ${formatBytes(estimate.quotaBytes)}"
            >
              <span class="models"></span><span class="other"></span>
            </div>`
      }
      <dl class="totals">
        <div>
          <dt>Models</dt>
          <dd>${formatBytes(models)}</dd>
        </div>
        <div>
          <dt>Free for this site</dt>
          ${estimate === null ? html`<dd class="untold">This browser does not tell</dd>` : html`<dd>${describeFreeRoom(estimate)}</dd>`}
        </div>
      </dl>
      ${
        isPersisted === null
          ? nothing
          : isPersisted
            ? html`<div class="keep kept">
                <p>${icons.lock}<span>The browser keeps all this until you delete it.</span></p>
              </div>`
            : html`<div class="keep">
                <p>
                  ${icons.warning}<span>
                    ${
                      this.wasRefused
                        ? 'The browser did not agree. It decides by how a site is used: a bookmark, or installing the page, helps.'
                        : 'When the disk runs full, the browser may delete what is stored here. It can be asked not to.'
                    }
                  </span>
                </p>
                <button class="button" type="button" @click=${() => void this.#keep()}>Ask it to keep everything</button>
              </div>`
      }
    </section>`;
  }

  #renderEmpty() {
    return html`<section class="panel empty">
      ${icons.disk}
      <h2 tabindex="-1" id="models">No model is stored yet</h2>
      <p>Import Mistral Small from a file or an address, or let the chat download the small model of this site.</p>
      <div class="buttons">
        <a class="button loud" href=${pageLink('import')}>Import a model</a>
        <a class="button" href=${pageLink('index')}>Open the chat</a>
      </div>
    </section>`;
  }

  #renderPending(model: PendingModelInfo) {
    const { id, name, source, doneBytes, totalBytes, updatedAt } = model;
    const doomed: Doomed = { id, name, byteLength: doneBytes, isPending: true };
    const work = this.works.get(workKey(doomed));
    return html`<li class="panel model">
      <div class="model-text">
        <h3>${name}</h3>
        <p class="meta">From ${describeSource(source)} · interrupted ${formatDate(updatedAt)}</p>
      </div>
      <tramontane-progress
        label="Imported so far"
        .value=${totalBytes > 0 ? doneBytes / totalBytes : null}
        detail=${formatBytesOf(doneBytes, totalBytes)}
      ></tramontane-progress>
      ${work === undefined ? nothing : this.#renderWork(work, true)}
      <div class="buttons">
        <a
          class="button"
          href=${isOfSite(model, this.catalogue) ? pageLink('index', { model: id }) : pageLink('import', { resume: id })}
          >Go on</a
        >
        <button
          class="button plain"
          type="button"
          aria-label="Discard the import of ${name}"
          @click=${() => this.#askToDelete(doomed)}
        >
          ${icons.trash} Discard
        </button>
      </div>
    </li>`;
  }

  #renderModel(model: StoredModelInfo) {
    const { id, name, byteLength, source, storedAt } = model;
    const work = this.works.get(id);
    const isBusy = work?.kind === 'verifying' || work?.kind === 'exporting';
    return html`<li class="panel model">
      <div class="model-text">
        <div class="model-head">
          <h3>${name}</h3>
          <span class="size">${formatBytes(byteLength)}</span>
        </div>
        <p class="meta">${describeModel(model)}</p>
        <p class="meta">From ${describeSource(source)} · stored ${formatDate(storedAt)}</p>
      </div>
      ${work === undefined ? nothing : this.#renderWork(work, false)}
      <div class="buttons">
        <a class="button" href=${pageLink('index', { model: id })} aria-label="Chat with ${name}">Chat</a>
        <button
          class="button plain"
          type="button"
          aria-label="Verify ${name}"
          ?disabled=${isBusy}
          @click=${() => void this.#verify(id, name)}
        >
          ${icons.check} Verify
        </button>
        <button
          class="button plain"
          type="button"
          aria-label="Export ${name}"
          ?disabled=${isBusy}
          @click=${() => void this.#export(id, name)}
        >
          ${icons.save} Export
        </button>
        <button
          class="button plain"
          type="button"
          aria-label="Delete ${name}"
          ?disabled=${isBusy}
          @click=${() => this.#askToDelete({ id, name, byteLength, isPending: false })}
        >
          ${icons.trash} Delete
        </button>
      </div>
    </li>`;
  }

  #renderWork(work: Work, isPending: boolean) {
    switch (work.kind) {
      case 'verifying': {
        const { value, detail } = describeProgress(work.progress);
        return html`<div class="loading">
          <tramontane-progress
            label="Reading every byte again"
            .value=${value}
            detail=${detail}
          ></tramontane-progress>
          <button class="button" type="button" @click=${() => work.abort.abort()}>Cancel</button>
        </div>`;
      }
      case 'verified':
        return work.report.damaged.length === 0
          ? html`<div class="notice good">
              ${icons.check}
              <div class="notice-text">
                <strong>Whole.</strong> All ${formatInteger(work.report.files)} files
                (${formatBytes(work.report.byteLength)}) are what was stored.
              </div>
            </div>`
          : html`<div class="notice danger" role="alert">
              <div class="notice-text">
                <strong>
                  ${formatInteger(work.report.damaged.length)} of ${formatInteger(work.report.files)} files are damaged.
                </strong>
                <ul class="damaged" tabindex="0" aria-label="Damaged files">
                  ${work.report.damaged.map((name) => html`<li>${name}</li>`)}
                </ul>
                <span class="next-step">
                  ${
                    isPending
                      ? 'The others are kept: go on, and only these are read again from where the model came from.'
                      : 'Another tab uses the model: verify it again when that tab is done.'
                  }
                  If it happens again, the disk may be failing.
                </span>
              </div>
            </div>`;
      case 'exporting':
        return html`<p class="meta" role="status">Preparing the archive…</p>`;
      case 'failed':
        return renderFailure(work.error);
      default:
        return work satisfies never;
    }
  }

  #setWork(id: string, work: Work | null): void {
    const works = new Map(this.works);
    if (work === null) works.delete(id);
    else works.set(id, work);
    this.works = works;
  }

  async #verify(id: string, name: string): Promise<void> {
    if (!this.manager) return;
    const abort = new AbortController();
    this.#setWork(id, { kind: 'verifying', progress: null, abort });
    this.announcement = `Verifying ${name}.`;
    try {
      const report = await this.manager.verifyModel(id, {
        signal: abort.signal,
        onProgress: (progress) => {
          this.#latestProgress = { id, progress };
          this.#frames.schedule();
        },
      });
      if (report.damaged.length === 0) {
        this.#setWork(id, { kind: 'verified', report });
        this.announcement = `${name} is whole.`;
      } else {
        await this.#showDamage(id, report);
      }
    } catch (error) {
      this.#setWork(id, isAbortError(error) ? null : { kind: 'failed', error: toError(error) });
    }
  }

  /** Without its damaged files the model is one that has to be gone on with, unless another tab was using it. */
  async #showDamage(id: string, report: VerifyReport): Promise<void> {
    await this.#read();
    const isPending = !this.models?.some((model) => model.id === id);
    this.#setWork(id, null);
    this.#setWork(workKey({ id, isPending }), { kind: 'verified', report });
    await this.updateComplete;
    // The button that was pressed is gone; somebody who is elsewhere by now stays there.
    if (isPending && !this.shadowRoot?.activeElement)
      this.renderRoot.querySelector<HTMLElement>('#pending')?.focus();
  }

  #showProgress(): void {
    if (this.#latestProgress === null) return;
    const { id, progress } = this.#latestProgress;
    const work = this.works.get(id);
    if (work?.kind === 'verifying') this.#setWork(id, { ...work, progress });
  }

  /** Hands the archive to the browser, which reads its bytes from the store as it saves them. */
  async #export(id: string, name: string): Promise<void> {
    if (!this.manager) return;
    this.#setWork(id, { kind: 'exporting' });
    try {
      const archive = await this.manager.exportModel(id);
      const link = document.createElement('a');
      link.href = URL.createObjectURL(archive.contents);
      link.download = archive.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), EXPORT_ADDRESS_MS);
      this.#setWork(id, null);
      this.announcement = `${name} is being saved as ${archive.name}.`;
    } catch (error) {
      this.#setWork(id, { kind: 'failed', error: toError(error) });
    }
  }

  #askToDelete(doomed: Doomed): void {
    this.doomed = doomed;
    void this.updateComplete.then(() => this.dialog.showModal());
  }

  #onDialogClose(): void {
    const { doomed, dialog } = this;
    this.doomed = null;
    if (doomed !== null && dialog.returnValue === 'delete') void this.#delete(doomed);
    dialog.returnValue = '';
  }

  async #delete(doomed: Doomed): Promise<void> {
    const { manager } = this;
    if (!manager) return;
    const { id, name, isPending } = doomed;
    try {
      await (isPending ? manager.discardPendingModel(id) : manager.deleteModel(id));
      this.#setWork(workKey(doomed), null);
      await this.#read();
      this.announcement = `${name} was ${isPending ? 'discarded' : 'deleted'}.`;
      // The button that was pressed is gone.
      await this.updateComplete;
      this.renderRoot.querySelector<HTMLElement>('#models')?.focus();
    } catch (error) {
      this.#setWork(workKey(doomed), { kind: 'failed', error: toError(error) });
    }
  }

  async #keep(): Promise<void> {
    this.isPersisted = await this.storage.requestPersistence().catch(() => false);
    this.wasRefused = !this.isPersisted;
    this.announcement = this.isPersisted ? 'The browser keeps what is stored.' : 'The browser did not agree.';
  }
}

function describeModel(model: StoredModelInfo): string {
  const { quantization, parameterCount, contextLength, licence, library } = model;
  return [
    quantization,
    library === null ? null : `prebuilt library${library.needsShaderF16 ? ', needs shader-f16' : ''}`,
    parameterCount === null ? null : `${formatCount(parameterCount)} parameters`,
    contextLength === null ? null : `${formatInteger(contextLength)} tokens of context`,
    licence,
  ]
    .filter((text) => text !== null)
    .join(' · ');
}

/** Host and file, or the file's name alone. */
function describeSource({ name, url }: { name: string; url: string | null }): string {
  return url === null ? `${name}, on this device` : `${name}, ${new URL(url).host}`;
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-storage': TramontaneStorage;
  }
}
