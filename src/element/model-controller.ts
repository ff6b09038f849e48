/** The model's side of an element: what the device can do, which models are stored, loading and its progress. */
import type { ReactiveController, ReactiveControllerHost } from 'lit';
import { deviceMemoryGib } from '../base/device-memory.ts';
import { isAbortError, toError } from '../base/errors.ts';
import type { AdapterReport, Engine, LoadedModel, ModelCard, Progress } from '../engine/api.ts';
import { assessFit, type Fit } from '../models/fit.ts';
import { estimateStorage, type StorageEstimate } from '../storage/quota.ts';
import { FrameScheduler } from '../ui/frame-scheduler.ts';

export type ModelState =
  | { status: 'none' }
  | { status: 'loading'; card: ModelCard; progress: Progress | null }
  | { status: 'ready'; loaded: LoadedModel }
  | { status: 'failed'; card: ModelCard | null; error: Error };

export interface ModelCallbacks {
  onLoaded(loaded: LoadedModel): void;
  onFailed(error: Error): void;
}

export class ModelController implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #callbacks: ModelCallbacks;
  readonly #frames: FrameScheduler;
  #engine: Engine | null = null;
  #loading: AbortController | null = null;
  #latestProgress: Progress | null = null;

  state: ModelState = { status: 'none' };
  /** Undefined while the device is being looked at, null without WebGPU. */
  adapter: AdapterReport | null | undefined = undefined;
  storedIds: ReadonlySet<string> = new Set();
  storage: StorageEstimate | null = null;

  constructor(host: ReactiveControllerHost, callbacks: ModelCallbacks) {
    this.#host = host;
    this.#callbacks = callbacks;
    this.#frames = new FrameScheduler(() => this.#showProgress());
    host.addController(this);
  }

  hostDisconnected(): void {
    this.#frames.cancel();
  }

  /** Resolves when the device has been looked at. */
  async setEngine(engine: Engine | null): Promise<void> {
    this.cancel();
    this.#engine = engine;
    this.adapter = undefined;
    this.storedIds = new Set();
    const loaded = engine?.getLoadedModel() ?? null;
    this.#set(loaded ? { status: 'ready', loaded } : { status: 'none' });
    if (!engine) return;
    try {
      const [adapter, storage] = await Promise.all([engine.getAdapter(), estimateStorage()]);
      if (this.#engine !== engine) return;
      this.adapter = adapter;
      this.storage = storage;
      await this.#readStored(engine);
    } catch (error) {
      if (this.#engine === engine) this.#fail(toError(error), null);
    }
  }

  async #readStored(engine: Engine): Promise<void> {
    const models = await engine.listStoredModels();
    if (this.#engine !== engine) return;
    this.storedIds = new Set(models.map((model) => model.id));
    this.#host.requestUpdate();
  }

  /** Null while the device is being looked at. */
  fitOf(card: ModelCard, contextLength: number | null = card.contextLength): Fit | null {
    if (this.adapter === undefined) return null;
    return assessFit(card, {
      adapter: this.adapter,
      storage: this.storage,
      bytesToStore: this.storedIds.has(card.id) ? 0 : card.byteLength,
      contextLength,
      deviceMemoryGib: deviceMemoryGib(),
      probe: null,
    });
  }

  /**
   * Resolves when the model is ready, when loading failed (`state` tells), or when it was cancelled.
   * @param contextLength Default: the model's own.
   */
  async load(card: ModelCard, contextLength?: number): Promise<void> {
    const engine = this.#engine;
    if (!engine) return;
    this.cancel();
    const loading = new AbortController();
    this.#loading = loading;
    this.#latestProgress = null;
    this.#set({ status: 'loading', card, progress: null });
    try {
      const loaded = await engine.loadModel(card, {
        signal: loading.signal,
        ...(contextLength === undefined ? {} : { contextLength }),
        onProgress: (progress) => {
          if (this.#loading !== loading) return;
          this.#latestProgress = progress;
          this.#frames.schedule();
        },
      });
      if (this.#loading !== loading) return;
      this.#loading = null;
      this.#frames.cancel();
      this.#set({ status: 'ready', loaded });
      this.#callbacks.onLoaded(loaded);
      await this.#readStored(engine);
    } catch (error) {
      if (this.#loading !== loading) return;
      this.#loading = null;
      this.#frames.cancel();
      if (isAbortError(error)) this.#set({ status: 'none' });
      else this.#fail(toError(error), card);
    }
  }

  /** Stops loading; what was stored is kept. */
  cancel(): void {
    const loading = this.#loading;
    if (!loading) return;
    this.#loading = null;
    this.#frames.cancel();
    this.#set({ status: 'none' });
    loading.abort(new DOMException('Loading was cancelled.', 'AbortError'));
  }

  /** Looks again whether the model is still there, after an answer failed. */
  noteFailure(error: Error, card: ModelCard | null): void {
    if (this.state.status === 'ready' && !this.#engine?.getLoadedModel()) {
      this.#set({ status: 'failed', card, error });
    }
  }

  #fail(error: Error, card: ModelCard | null): void {
    this.#set({ status: 'failed', card, error });
    this.#callbacks.onFailed(error);
  }

  #showProgress(): void {
    if (this.state.status === 'loading') {
      this.#set({ ...this.state, progress: this.#latestProgress });
    }
  }

  #set(state: ModelState): void {
    this.state = state;
    this.#host.requestUpdate();
  }
}
