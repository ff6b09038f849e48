/** The page's engine: WebLLM in a worker, or a scripted one with `?engine=fake`. Either is loaded when asked for. */
import type { BenchmarkEngine } from '../engine/api.ts';

export async function createEngine(address: string = location.href): Promise<BenchmarkEngine> {
  const parameters = new URL(address).searchParams;
  if (parameters.get('engine') === 'fake') {
    const { createFakeEngine, fakeEngineOptionsFromUrl } = await import('../engine/fake-engine.ts');
    return createFakeEngine(fakeEngineOptionsFromUrl(parameters));
  }
  const { createWorkerEngine } = await import('../worker/client.ts');
  return createWorkerEngine();
}
