/** The engine in Node: unmodified WebLLM on Dawn, with a model's folder served to it on this machine. */
import { WebLlmEngine } from '../../src/engine/webllm-engine.ts';
import { MemoryWeightStore, type WeightStore } from '../../src/storage/weight-store.ts';
import { warnOfSoftware } from './chromium.ts';
import { installDawn } from './dawn.ts';
import { startStaticServer } from './static-server.mjs';

export interface DawnEngine {
  engine: WebLlmEngine;
  modelUrl: string;
  close(): Promise<void>;
}

/** For models that are in a store already. Reads `VK_ICD_FILENAMES` like any Vulkan program. */
export async function createStoreEngine(store: WeightStore): Promise<WebLlmEngine> {
  await installDawn();
  const engine = new WebLlmEngine({ store, baseUrl: 'http://localhost/' });
  warnOfSoftware(await engine.getAdapter());
  return engine;
}

/** @param folder an imported model. Reads `VK_ICD_FILENAMES` like any Vulkan program. */
export async function createDawnEngine(folder: string): Promise<DawnEngine> {
  await installDawn();
  const server = await startStaticServer({ mounts: { '/': folder } });
  const engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: server.url });
  warnOfSoftware(await engine.getAdapter());
  return {
    engine,
    modelUrl: server.url,
    async close() {
      await engine.dispose();
      await server.close();
    },
  };
}
