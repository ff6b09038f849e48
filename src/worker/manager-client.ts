/** The page's side of the protocol: a ModelManager that forwards every call to the worker behind an endpoint. */
import { TramontaneError } from '../base/errors.ts';
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
} from '../engine/api.ts';
import { CallClient } from './call-client.ts';
import type { CallAnswer, Endpoint, ManagerCalls, ManagerMessage } from './protocol.ts';

export class ManagerClient implements ModelManager {
  readonly #calls: CallClient<ManagerCalls>;

  constructor(endpoint: Endpoint<CallAnswer, ManagerMessage>) {
    this.#calls = new CallClient((message) => endpoint.postMessage(message));
    endpoint.addEventListener('message', ({ data }) => this.#calls.receive(data));
  }

  /** Ends every pending call and all later ones with `error`: the worker is gone. */
  fail(error: TramontaneError): void {
    this.#calls.fail(error);
  }

  getAdapter(options: CallOptions = {}): Promise<AdapterReport | null> {
    return this.#calls.call('getAdapter', null, options);
  }

  listBuilds(source: ImportSource, options: CallOptions = {}): Promise<BuildList | null> {
    return this.#calls.call('listBuilds', source, options);
  }

  inspectSource(source: ImportSource, options: CallOptions = {}): Promise<ImportPreview> {
    return this.#calls.call('inspectSource', source, options);
  }

  async importModel(source: ImportSource, options: ImportModelOptions = {}): Promise<StoredModelInfo> {
    const { signal, onProgress, ...importOptions } = options;
    signal?.throwIfAborted();
    return this.#calls.call(
      'importModel',
      { source, options: importOptions },
      { ...(signal && { signal }), ...(onProgress && { onProgress }) },
    );
  }

  listStoredModels(): Promise<StoredModelInfo[]> {
    return this.#calls.call('listStoredModels', null);
  }

  listPendingModels(): Promise<PendingModelInfo[]> {
    return this.#calls.call('listPendingModels', null);
  }

  verifyModel(id: string, options: LoadCallOptions = {}): Promise<VerifyReport> {
    return this.#calls.call('verifyModel', id, options);
  }

  exportModel(id: string): Promise<{ name: string; contents: Blob }> {
    return this.#calls.call('exportModel', id);
  }

  async deleteModel(id: string): Promise<void> {
    await this.#calls.call('deleteModel', id);
  }

  async discardPendingModel(id: string): Promise<void> {
    await this.#calls.call('discardPendingModel', id);
  }

  probeGpuMemory(wantedBytes: number, options: CallOptions = {}): Promise<GpuMemoryProbe> {
    return this.#calls.call('probeGpuMemory', wantedBytes, options);
  }

  async dispose(): Promise<void> {
    if (this.#calls.failure === null) await this.#calls.call('dispose', null);
    this.fail(new TramontaneError('engine-failed', 'The model manager was disposed of.'));
  }
}
