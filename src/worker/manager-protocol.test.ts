/** The manager's protocol over a MessageChannel: what crosses is structured-cloned, as between page and worker. */
import { afterEach, expect, test } from 'vitest';
import { delay } from '../base/abort.ts';
import { FormatError, TramontaneError } from '../base/errors.ts';
import type {
  BuildList,
  ImportModelOptions,
  ImportSource,
  ModelManager,
  Progress,
  StoredModelInfo,
} from '../engine/api.ts';
import { ManagerClient } from './manager-client.ts';
import { serveManager } from './serve-manager.ts';

const STORED: StoredModelInfo = {
  id: 'tiny-q4_0',
  name: 'Tiny',
  quantization: 'Q4_0',
  parameterCount: 1,
  byteLength: 3,
  contextLength: 2048,
  maxContextLength: 2048,
  kvBytesPerToken: 4,
  layerCount: 2,
  licence: null,
  library: null,
  source: { name: 'tiny.gguf', url: null },
  storedAt: 1,
};

const BUILDS: BuildList = { repository: 'o/r', missing: 'Q9', builds: [] };

/** What reaches the other side, and answers that are easy to tell apart. */
class RecordingManager implements ModelManager {
  readonly calls: [name: string, input: unknown][] = [];
  disposed = false;

  #record(name: string, input: unknown): void {
    this.calls.push([name, input]);
  }
  async getAdapter() {
    return null;
  }
  async listBuilds(source: ImportSource) {
    this.#record('listBuilds', source);
    return BUILDS;
  }
  async inspectSource(): Promise<never> {
    throw new FormatError(
      'The file starts with 0x0',
      { field: 'magic', offset: 0 },
      { nextStep: 'Choose another.' },
    );
  }
  async importModel(source: ImportSource, options: ImportModelOptions = {}): Promise<StoredModelInfo> {
    const { signal, onProgress, ...rest } = options;
    this.#record('importModel', { source, rest });
    onProgress?.({ phase: 'import', bytes: 1, totalBytes: 3, bytesPerSecond: 1, etaMs: 2000 });
    if (source.kind === 'address') await delay(10_000, signal);
    return STORED;
  }
  async listStoredModels() {
    return [STORED];
  }
  async listPendingModels() {
    return [];
  }
  async verifyModel(id: string) {
    this.#record('verifyModel', id);
    return { files: 2, byteLength: 3, damaged: ['b'] };
  }
  async exportModel(id: string) {
    this.#record('exportModel', id);
    return { name: `${id}.tar`, contents: new Blob(['abc']) };
  }
  async deleteModel(id: string) {
    this.#record('deleteModel', id);
  }
  async discardPendingModel(id: string) {
    this.#record('discardPendingModel', id);
  }
  async probeGpuMemory(wantedBytes: number) {
    return { wantedBytes, grantedBytes: wantedBytes - 1 };
  }
  async dispose() {
    this.disposed = true;
  }
}

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

function connect(): { client: ManagerClient; manager: RecordingManager } {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  const manager = new RecordingManager();
  const client = new ManagerClient({
    postMessage: (message) => port1.postMessage(message),
    addEventListener: (type, listener) => port1.addEventListener(type, listener as EventListener),
  });
  serveManager(manager, {
    postMessage: (message) => port2.postMessage(message),
    addEventListener: (type, listener) => port2.addEventListener(type, listener as EventListener),
  });
  port1.start();
  port2.start();
  return { client, manager };
}

const address: ImportSource = { kind: 'address', address: 'hf:o/r/m.gguf' };

test('every call reaches the manager with its input, and its answer comes back', async () => {
  const { client, manager } = connect();
  const progress: Progress[] = [];
  const source: ImportSource = { kind: 'files', files: [] };
  const onProgress = (reading: Progress) => progress.push(reading);
  expect(await client.importModel(source, { contextLength: 512, restart: true, onProgress })).toEqual(STORED);
  expect(progress).toHaveLength(1);
  expect(await client.getAdapter()).toBeNull();
  expect(await client.listBuilds(address)).toEqual(BUILDS);
  expect(await client.listStoredModels()).toEqual([STORED]);
  expect(await client.listPendingModels()).toEqual([]);
  expect(await client.verifyModel('m')).toEqual({ files: 2, byteLength: 3, damaged: ['b'] });
  expect(await client.probeGpuMemory(9)).toEqual({ wantedBytes: 9, grantedBytes: 8 });
  const { name, contents } = await client.exportModel('m');
  expect([name, await contents.text()]).toEqual(['m.tar', 'abc']);
  await client.deleteModel('m');
  await client.discardPendingModel('m');
  expect(manager.calls).toEqual([
    ['importModel', { source, rest: { contextLength: 512, restart: true } }],
    ['listBuilds', address],
    ['verifyModel', 'm'],
    ['exportModel', 'm'],
    ['deleteModel', 'm'],
    ['discardPendingModel', 'm'],
  ]);
});

test("an aborted import rejects with the caller's own reason", async () => {
  const { client } = connect();
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const importing = client.importModel(address, {
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  });
  await expect(importing).rejects.toBe(reason);
  await expect(client.importModel(address, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

test('an error keeps its code, its facts and its next step', async () => {
  const { client } = connect();
  await expect(client.inspectSource(address)).rejects.toMatchObject({
    name: 'FormatError',
    code: 'format-invalid',
    nextStep: 'Choose another.',
    data: { field: 'magic', offset: 0 },
  });
});

test('when the worker is gone, or was disposed of, every call says so', async () => {
  const { client } = connect();
  const importing = client.importModel(address);
  const crash = new TramontaneError('worker-crashed', 'gone');
  client.fail(crash);
  await expect(importing).rejects.toBe(crash);
  await expect(client.listStoredModels()).rejects.toBe(crash);

  const other = connect();
  await other.client.dispose();
  expect(other.manager.disposed).toBe(true);
  await expect(other.client.listStoredModels()).rejects.toMatchObject({ code: 'engine-failed' });
});
