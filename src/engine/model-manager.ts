/**
 * The model manager over a weight store: what comes into it, what lies in it, and what leaves it. Runs in a worker of
 * its own, which has no part of WebLLM or of the model library.
 */
import { TramontaneError } from '../base/errors.ts';
import { withModelAlone } from '../storage/model-lock.ts';
import type { WeightStore } from '../storage/weight-store.ts';
import { readAdapter } from './adapter-report.ts';
import type {
  AdapterReport,
  BuildList,
  CallOptions,
  GpuMemoryProbe,
  ImportModelOptions,
  ImportPreview,
  ImportSource,
  LoadCallOptions,
  ModelManager,
  PendingModelInfo,
  StoredModelInfo,
  VerifyReport,
} from './api.ts';
import { exportModel } from './export-model.ts';
import type { ImportLimits } from './import/import-plan.ts';
import { listBuilds } from './import/list-builds.ts';
import { openSource } from './import/open-source.ts';
import type { OpenOptions } from './import/opened-source.ts';
import { type PlannedImport, planSource, previewImport } from './import/plan-source.ts';
import { previewPrebuilt, storePrebuilt } from './import/prebuilt-model.ts';
import { storeModel } from './import/store-model.ts';
import { probeGpuMemory } from './memory-probe.ts';
import { describeStoredModel, listPendingModels, listStoredModels, sweepModel } from './stored-models.ts';
import { verifyModel } from './verify-model.ts';

export interface ModelManagerOptions {
  store: WeightStore;
  /** Most bytes of a record and of a shard. Default: those of the importer. */
  limits?: Partial<ImportLimits>;
  /** For tests: where `hf:` addresses lead, and how to wait between attempts. */
  download?: Pick<OpenOptions, 'hub' | 'clock' | 'stallMs'>;
}

export class StoreModelManager implements ModelManager {
  readonly #options: ModelManagerOptions;
  readonly #disposed = new AbortController();

  constructor(options: ModelManagerOptions) {
    this.#options = options;
  }

  getAdapter(): Promise<AdapterReport | null> {
    return readAdapter();
  }

  async listBuilds(source: ImportSource, { signal }: CallOptions = {}): Promise<BuildList | null> {
    if (source.kind !== 'address' || isPrebuilt(source)) return null;
    return listBuilds(source.address, { ...this.#options.download, signal: this.#joinSignal(signal) });
  }

  async inspectSource(source: ImportSource, { signal }: CallOptions = {}): Promise<ImportPreview> {
    const { store, download } = this.#options;
    const joined = this.#joinSignal(signal);
    if (isPrebuilt(source)) return previewPrebuilt(store, source, { ...download, signal: joined });
    return previewImport(store, await this.#plan(source, joined));
  }

  async importModel(source: ImportSource, options: ImportModelOptions = {}): Promise<StoredModelInfo> {
    const { store } = this.#options;
    const signal = this.#joinSignal(options.signal);
    const model = isPrebuilt(source)
      ? await storePrebuilt(store, source, { ...this.#options.download, ...options, signal })
      : await storeModel(store, await this.#plan(source, signal), { ...options, signal });
    await sweepModel(store, model.id);
    return describeStoredModel(store, model);
  }

  listStoredModels(): Promise<StoredModelInfo[]> {
    return listStoredModels(this.#options.store);
  }

  listPendingModels(): Promise<PendingModelInfo[]> {
    return listPendingModels(this.#options.store);
  }

  verifyModel(id: string, { signal, onProgress }: LoadCallOptions = {}): Promise<VerifyReport> {
    return verifyModel(this.#options.store, id, {
      signal: this.#joinSignal(signal),
      ...(onProgress && { onProgress }),
    });
  }

  exportModel(id: string): Promise<{ name: string; contents: Blob }> {
    return exportModel(this.#options.store, id);
  }

  async deleteModel(id: string): Promise<void> {
    await withModelAlone(id, () => this.#options.store.deleteModel(id));
  }

  async discardPendingModel(id: string): Promise<void> {
    const { store } = this.#options;
    await withModelAlone(id, async () => {
      await store.deletePending(id);
      // Small files of a model that was damaged belong to nothing any more.
      await store.sweep(id);
    });
  }

  probeGpuMemory(wantedBytes: number, { signal }: CallOptions = {}): Promise<GpuMemoryProbe> {
    return probeGpuMemory(wantedBytes, { signal: this.#joinSignal(signal) });
  }

  async dispose(): Promise<void> {
    this.#disposed.abort(new TramontaneError('engine-failed', 'The model manager was disposed of.'));
  }

  async #plan(source: ImportSource, signal: AbortSignal): Promise<PlannedImport> {
    const { limits, download } = this.#options;
    return planSource(await openSource(source, { ...download, signal }), limits);
  }

  /** A call ends when its caller or the whole manager says so. */
  #joinSignal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#disposed.signal : AbortSignal.any([signal, this.#disposed.signal]);
  }
}

function isPrebuilt(source: ImportSource): source is ImportSource & { address: string; libraryUrl: string } {
  return source.kind === 'address' && source.libraryUrl !== undefined;
}
