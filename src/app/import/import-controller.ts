/** The import page's side of the model manager: looking at a source, importing it, and what is known of the device. */
import type { ReactiveController, ReactiveControllerHost } from 'lit';
import { deviceMemoryGib } from '../../base/device-memory.ts';
import { isAbortError, isTramontaneError, toError } from '../../base/errors.ts';
import type {
  AdapterReport,
  BuildList,
  GpuMemoryProbe,
  ImportPreview,
  ImportSource,
  ModelManager,
  PendingModelInfo,
  Progress,
  SourceBuild,
  StoredModelInfo,
} from '../../engine/api.ts';
import { type CatalogueModel, fitModelOf } from '../../models/catalogue.ts';
import { assessFit, type Fit, type FitModel } from '../../models/fit.ts';
import { askToPersist, type OriginStorage, type StorageEstimate } from '../../storage/quota.ts';
import { FrameScheduler } from '../../ui/frame-scheduler.ts';
import { holdWakeLock } from './wake-lock.ts';

/** A source that was looked at. */
export interface Candidate {
  source: ImportSource;
  /** What to call it before its name is known. */
  label: string;
  /** The entry of the catalogue it was chosen from. */
  entry: CatalogueModel | null;
  /** The builds it was chosen from. */
  builds: BuildList | null;
  preview: ImportPreview;
  model: FitModel;
  contextLength: number;
}

export type ImportState =
  | { step: 'choose'; error: Error | null }
  | { step: 'inspect'; label: string }
  | { step: 'builds'; builds: BuildList; error: Error | null }
  | { step: 'preview'; candidate: Candidate; error: Error | null }
  | { step: 'import'; candidate: Candidate; progress: Progress | null }
  | { step: 'done'; stored: StoredModelInfo };

const DEFAULT_CONTEXT = 8192;

export class ImportController implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #frames: FrameScheduler;
  #manager: ModelManager | null = null;
  #storage: OriginStorage | null = null;
  #running: AbortController | null = null;
  #latestProgress: Progress | null = null;

  state: ImportState = { step: 'choose', error: null };
  /** Undefined while the device is being looked at, null without WebGPU. */
  adapter: AdapterReport | null | undefined = undefined;
  estimate: StorageEstimate | null = null;
  stored: readonly StoredModelInfo[] = [];
  pending: readonly PendingModelInfo[] = [];
  /** What the GPU granted; null where it was not tested. */
  probe: GpuMemoryProbe | null = null;
  isProbing = false;
  probeError: Error | null = null;

  constructor(host: ReactiveControllerHost) {
    this.#host = host;
    this.#frames = new FrameScheduler(() => this.#showProgress());
    host.addController(this);
  }

  hostConnected(): void {
    addEventListener('beforeunload', this.#onBeforeUnload);
  }

  hostDisconnected(): void {
    removeEventListener('beforeunload', this.#onBeforeUnload);
    this.#frames.cancel();
    this.#running?.abort();
  }

  /** Resolves when the device and what is stored have been looked at. */
  async connect(manager: ModelManager, storage: OriginStorage): Promise<void> {
    this.#manager = manager;
    this.#storage = storage;
    try {
      const [adapter] = await Promise.all([manager.getAdapter(), this.#readStorage()]);
      this.adapter = adapter;
    } catch (error) {
      if (this.state.step === 'choose') this.#set({ step: 'choose', error: toError(error) });
    }
    this.#host.requestUpdate();
  }

  async #readStorage(): Promise<void> {
    if (!this.#manager || !this.#storage) return;
    [this.stored, this.pending, this.estimate] = await Promise.all([
      this.#manager.listStoredModels(),
      this.#manager.listPendingModels(),
      this.#storage.estimate(),
    ]);
  }

  /** Null while the device is being looked at. */
  fitOf(
    model: FitModel,
    bytesToStore: number,
    contextLength: number | null,
    storage: StorageEstimate | null = this.estimate,
  ): Fit | null {
    if (this.adapter === undefined) return null;
    return assessFit(model, {
      adapter: this.adapter,
      storage,
      bytesToStore,
      contextLength,
      deviceMemoryGib: deviceMemoryGib(),
      probe: this.probe,
    });
  }

  fitOfEntry(entry: CatalogueModel, isStored: boolean): Fit | null {
    return this.fitOf(fitModelOf(entry), isStored ? 0 : entry.byteLength, entry.contextLength);
  }

  /** As far as its size tells. */
  fitOfBuild({ byteLength }: SourceBuild, isStored: boolean): Fit | null {
    const unknown = { parameterCount: null, maxContextLength: null, kvBytesPerToken: null, layerCount: null };
    return this.fitOf({ byteLength, ...unknown }, isStored ? 0 : byteLength, null);
  }

  /** What the browser tells of its storage, as it will be when an interrupted import is given up. */
  estimateAfter(bytesFreed: number): StorageEstimate | null {
    const { estimate } = this;
    return estimate && { ...estimate, usedBytes: Math.max(0, estimate.usedBytes - bytesFreed) };
  }

  /** Reads the header of a source and shows what it is; or the builds there are, where its address leaves a choice. */
  async inspect(source: ImportSource, label: string, entry: CatalogueModel | null = null): Promise<void> {
    await this.#look(label, null, async (manager, signal) => {
      const builds = await manager.listBuilds(source, { signal });
      if (builds === null) return this.#preview(manager, { source, label, entry, builds }, signal);
      const [only, ...others] = builds.builds;
      return only === undefined || others.length > 0 || builds.missing !== null
        ? { step: 'builds', builds, error: null }
        : this.#preview(manager, { source: only.source, label: only.name, entry, builds: null }, signal);
    });
  }

  /** Reads the header of one of some builds. */
  async inspectBuild({ source, name }: SourceBuild, builds: BuildList): Promise<void> {
    await this.#look(name, builds, (manager, signal) =>
      this.#preview(manager, { source, label: name, entry: null, builds }, signal),
    );
  }

  /** @param builds to return to where it fails */
  async #look(
    label: string,
    builds: BuildList | null,
    look: (manager: ModelManager, signal: AbortSignal) => Promise<ImportState>,
  ): Promise<void> {
    const manager = this.#manager;
    if (!manager) return;
    const running = this.#start();
    this.#set({ step: 'inspect', label });
    let next: ImportState;
    try {
      next = await look(manager, running.signal);
    } catch (thrown) {
      const error = isAbortError(thrown) ? null : toError(thrown);
      next = builds === null ? { step: 'choose', error } : { step: 'builds', builds, error };
    }
    if (this.#running !== running) return;
    this.#running = null;
    this.#set(next);
  }

  async #preview(
    manager: ModelManager,
    chosen: Pick<Candidate, 'source' | 'label' | 'entry' | 'builds'>,
    signal: AbortSignal,
  ): Promise<ImportState> {
    const { entry } = chosen;
    const preview = await manager.inspectSource(chosen.source, { signal });
    const model: FitModel = {
      ...preview,
      byteLength: preview.storedBytes,
      ...(entry && { library: fitModelOf(entry).library ?? null }),
    };
    const contextLength = Math.min(entry?.contextLength ?? DEFAULT_CONTEXT, preview.maxContextLength);
    return { step: 'preview', candidate: { ...chosen, preview, model, contextLength }, error: null };
  }

  setContext(contextLength: number): void {
    const { state } = this;
    if (state.step === 'preview') {
      this.#set({ ...state, candidate: { ...state.candidate, contextLength } });
    }
  }

  /** Imports what the preview shows, giving up what its `obstructs` tells of. */
  async import(): Promise<void> {
    const { state } = this;
    const manager = this.#manager;
    if (!manager || state.step !== 'preview') return;
    const { candidate } = state;
    const running = this.#start();
    this.#latestProgress = null;
    this.#set({ step: 'import', candidate, progress: null });
    const done = new AbortController();
    holdWakeLock(done.signal);
    try {
      if (this.#storage) await askToPersist(this.#storage, running.signal);
      const stored = await manager.importModel(candidate.source, {
        contextLength: candidate.contextLength,
        restart: candidate.preview.obstructs !== null,
        signal: running.signal,
        onProgress: (progress) => {
          if (this.#running !== running) return;
          this.#latestProgress = progress;
          this.#frames.schedule();
        },
      });
      await this.#end(running, () => ({ step: 'done', stored }));
    } catch (error) {
      await this.#end(running, () => {
        return {
          step: 'preview',
          candidate: { ...candidate, preview: this.#previewAfter(candidate.preview, error) },
          error: isAbortError(error) ? null : toError(error),
        };
      });
    } finally {
      done.abort();
    }
  }

  /** What was stored of an import that failed counts as such when it is tried again, unless it is another's. */
  #previewAfter(preview: ImportPreview, error: unknown): ImportPreview {
    const pending = this.pending.find(({ id }) => id === preview.id) ?? null;
    const isUntouched = pending !== null && pending.updatedAt === preview.obstructs?.updatedAt;
    const isOfOther = isUntouched || (isTramontaneError(error) && error.code === 'source-changed');
    return { ...preview, resumes: isOfOther ? null : pending, obstructs: isOfOther ? pending : null };
  }

  /** Stops looking or importing; what is stored of the model is kept. */
  cancel(): void {
    this.#running?.abort(new DOMException('Cancelled.', 'AbortError'));
  }

  /** Back to the choice of a source. */
  choose(): void {
    this.#toChoice(null);
  }

  /** Back to the builds that one was chosen from. */
  chooseBuild(builds: BuildList): void {
    this.#set({ step: 'builds', builds, error: null });
  }

  /** Back to the choice of a source, since this one cannot be read. */
  refuse(error: Error): void {
    this.#toChoice(error);
  }

  #toChoice(error: Error | null): void {
    this.#running?.abort(new DOMException('Cancelled.', 'AbortError'));
    this.#running = null;
    this.#set({ step: 'choose', error });
  }

  /** Finds out whether the GPU grants so much memory. */
  async test(wantedBytes: number): Promise<void> {
    if (!this.#manager || this.isProbing) return;
    this.isProbing = true;
    this.probeError = null;
    this.#host.requestUpdate();
    try {
      this.probe = await this.#manager.probeGpuMemory(wantedBytes);
    } catch (error) {
      this.probeError = toError(error);
    }
    this.isProbing = false;
    this.#host.requestUpdate();
  }

  #start(): AbortController {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    return running;
  }

  async #end(running: AbortController, next: () => ImportState): Promise<void> {
    if (this.#running !== running) return;
    this.#running = null;
    this.#frames.cancel();
    // How the import ended is told even where the worker that knows what is stored has ended with it.
    await this.#readStorage().catch(() => undefined);
    this.#set(next());
  }

  #showProgress(): void {
    if (this.state.step === 'import') this.#set({ ...this.state, progress: this.#latestProgress });
  }

  #set(state: ImportState): void {
    this.state = state;
    this.#host.requestUpdate();
  }

  readonly #onBeforeUnload = (event: BeforeUnloadEvent): void => {
    if (this.state.step === 'import') event.preventDefault();
  };
}
