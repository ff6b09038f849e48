/** Gives a page's element its models and its engine, and a fresh engine when the worker has died. */
import { isTramontaneError } from '../base/errors.ts';
import type { Engine, ModelCard } from '../engine/api.ts';
import { loadCatalogue } from '../models/catalogue.ts';
import { createEngine } from './create-engine.ts';

export interface EngineConsumer extends HTMLElement {
  engine: Engine | null;
  models: readonly ModelCard[];
  /** Shown instead of the models: why there are none. */
  modelsError: Error | null;
}

export async function supplyEngine(element: EngineConsumer): Promise<void> {
  const replaceEngine = async () => {
    const before = element.engine;
    element.engine = await createEngine();
    await before?.dispose();
  };
  element.addEventListener('tramontane-error-occurred', ({ error }) => {
    if (isTramontaneError(error) && error.code === 'worker-crashed') void replaceEngine();
  });
  const models = loadCatalogue(new URL('./models/models.json', location.href).href).then(
    (list) => {
      element.models = list;
    },
    (error: unknown) => {
      element.modelsError = error instanceof Error ? error : new Error(String(error));
    },
  );
  await Promise.all([models, replaceEngine()]);
}
