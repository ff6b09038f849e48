/** The model manager of a page, and its storage: the real ones in a worker, or scripted ones with `?engine=fake`. */
import type { ModelManager } from '../engine/api.ts';
import { type OriginStorage, originStorage } from '../storage/quota.ts';

export interface ModelStorage {
  manager: ModelManager;
  storage: OriginStorage;
}

export async function createManager(address: string = location.href): Promise<ModelStorage> {
  const parameters = new URL(address).searchParams;
  if (parameters.get('engine') === 'fake') {
    const { createFakeManager, fakeManagerOptionsFromUrl, fakeStorageFromUrl } = await import(
      '../engine/fake-manager.ts'
    );
    return {
      manager: createFakeManager(fakeManagerOptionsFromUrl(parameters)),
      storage: fakeStorageFromUrl(parameters),
    };
  }
  const { createWorkerManager } = await import('../worker/client.ts');
  return { manager: createWorkerManager(), storage: originStorage };
}
