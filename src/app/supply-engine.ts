/** Gives a page's element its models and its engine, and a fresh engine when the worker has died. */
import { isTramontaneError, toError } from '../base/errors.ts';
import type { ModelOffer } from '../element/model-views.ts';
import type { Engine, ModelCard } from '../engine/api.ts';
import { type CatalogueModel, loadCatalogue, siteModels } from '../models/catalogue.ts';
import { createEngine } from './create-engine.ts';
import { offerImports, orderModels } from './offer-models.ts';

export interface EngineConsumer extends HTMLElement {
  engine: Engine | null;
  models: readonly ModelCard[];
  /** Shown instead of the models: why there are none. */
  modelsError: Error | null;
  /** Models to be imported elsewhere, where the element shows such. */
  offers?: readonly ModelOffer[];
}

/** A worker that dies this soon would die again: then the error stays, with its next step. */
const MIN_LIFE_MS = 5000;

/** @param create Makes an engine; tests pass their own. */
export async function supplyEngine(
  element: EngineConsumer,
  create: () => Promise<Engine> = createEngine,
): Promise<void> {
  let bornAtMs = 0;
  const replaceEngine = async () => {
    const before = element.engine;
    bornAtMs = performance.now();
    element.engine = await create();
    await before?.dispose();
  };
  element.addEventListener('tramontane-error-occurred', ({ error }) => {
    const isCrash = isTramontaneError(error) && error.code === 'worker-crashed';
    if (isCrash && performance.now() - bornAtMs > MIN_LIFE_MS) void replaceEngine();
  });
  const [catalogue] = await Promise.all([
    loadCatalogue(new URL('./models/models.json', location.href).href).catch((error: unknown) => {
      element.modelsError = toError(error);
      return [] as CatalogueModel[];
    }),
    replaceEngine(),
  ]);
  const { engine } = element;
  if (!engine) return;
  try {
    const [adapter, stored] = await Promise.all([engine.getAdapter(), engine.listStoredModels()]);
    if ('offers' in element) element.offers = offerImports(catalogue, stored);
    element.models = orderModels(catalogue, stored, adapter);
  } catch {
    // The element asks the engine the same, and shows why it could not answer.
    element.models = siteModels(catalogue);
  }
}
