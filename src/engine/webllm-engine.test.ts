/** What the engine does where WebLLM itself cannot be had. Everything else of it needs a GPU: see tests/gpu and tests/e2e. */
import { afterEach, expect, test, vi } from 'vitest';
import { startHostileServer } from '../../tests/tools/hostile-server.ts';
import { createMlcFolder } from '../../tests/tools/mlc-folder.ts';
import { REQUIRED_LIMITS } from '../models/fit.ts';
import { MemoryWeightStore } from '../storage/weight-store.ts';
import { WebLlmEngine } from './webllm-engine.ts';

vi.mock('@mlc-ai/web-llm', () => {
  throw new TypeError('Failed to fetch dynamically imported module');
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** As large as it takes. */
function stubAdapter(): void {
  const limits = new Proxy({}, { get: () => Math.max(...REQUIRED_LIMITS.map(([, needed]) => needed)) });
  const adapter = {
    info: { vendor: 'test', architecture: '', description: '' },
    limits,
    features: new Set(),
  };
  vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => adapter } });
}

test('a prebuilt library that needs what the GPU lacks is refused before a shard is fetched', async () => {
  stubAdapter();
  const { files } = createMlcFolder();
  files.set('library.wasm', new TextEncoder().encode('\0asm enable f16;\nfn main() {}'));
  const server = await startHostileServer(new Map([...files].map(([name, bytes]) => [`/${name}`, bytes])));
  try {
    const engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: server.url });
    await expect(
      engine.loadModel({ id: 'm', url: server.url, modelLibUrl: 'library.wasm' }),
    ).rejects.toMatchObject({
      code: 'feature-missing',
      message: expect.stringContaining('shader-f16'),
      nextStep: expect.any(String),
    });
    expect(server.answers.filter(({ path }) => path.includes('shard'))).toEqual([]);
  } finally {
    await server.close();
  }
});

test('a WebLLM that cannot be fetched is engine-failed, and leaves no blob address and no caches behind', async () => {
  stubAdapter();
  const { files } = createMlcFolder();
  files.set('library.wasm', new Uint8Array(8));
  const server = await startHostileServer(new Map([...files].map(([name, bytes]) => [`/${name}`, bytes])));
  const created = vi.spyOn(URL, 'createObjectURL');
  const revoked = vi.spyOn(URL, 'revokeObjectURL');
  const before = globalThis.caches;
  try {
    const engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: server.url });
    await expect(
      engine.loadModel({ id: 'm', url: server.url, modelLibUrl: 'library.wasm' }),
    ).rejects.toMatchObject({ code: 'engine-failed', nextStep: expect.any(String) });
  } finally {
    await server.close();
  }
  expect(created).toHaveBeenCalledTimes(1);
  expect(revoked).toHaveBeenCalledWith(created.mock.results[0]!.value);
  expect(globalThis.caches).toBe(before);
});
