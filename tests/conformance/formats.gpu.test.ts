/**
 * Every GGUF type in whole models, mixed as llama.cpp mixes them: files that the `gguf` package wrote, imported and run
 * through unmodified WebLLM. Logits against the float64 reference with K and V in f16, as the library keeps them: that alone
 * moves these logits by up to 2e-3. Without it the reference is PyTorch's (format-models.test.ts).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LoadOptions } from '../../src/engine/api.ts';
import { WebLlmEngine } from '../../src/engine/webllm-engine.ts';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import goldens from '../fixtures/format-logits.json' with { type: 'json' };
import { expectClose } from '../gpu/close-to.ts';
import { getTestDevice } from '../gpu/gpu-device.ts';
import {
  FORMAT_MODELS,
  FORMAT_MODELS_FOLDER,
  type FormatModel,
  type ServedModel,
  serveModel,
} from '../tools/test-models.ts';
import { loadReferenceModel } from './load-reference.ts';

const { caps } = await getTestDevice();
const isNode = typeof process !== 'undefined';
const full = isNode && process.env.TRAMONTANE_FULL !== undefined;

type Disable = NonNullable<LoadOptions['disable']>;
interface Family {
  name: string;
  disable: Disable;
  models: readonly FormatModel[];
}

/**
 * SwiftShader compiles such a model's kernels in 10 s, lavapipe in 40, or 100 with those for a GPU. So each model runs
 * once, the first on every stack but one, and all of them in every way in the long suites, on Dawn.
 */
function chooseFamilies(): Family[] {
  if (!full) {
    const [first, ...rest] = FORMAT_MODELS;
    const isOnDawnOverSwiftShader = isNode && !caps.shaderF16;
    return [{ name: 'as the device is', disable: [], models: isOnDawnOverSwiftShader ? rest : [first] }];
  }
  const families: Family[] = [{ name: 'as the device is', disable: [], models: FORMAT_MODELS }];
  if (caps.shaderF16) {
    families.push({ name: 'with kernels for a GPU', disable: ['software-kernels'], models: FORMAT_MODELS });
    const disable: Disable = ['software-kernels', 'shader-f16', 'subgroups'];
    families.push({ name: 'with the least of them', disable, models: FORMAT_MODELS });
  }
  return families;
}
const cases = chooseFamilies().flatMap(({ name, disable, models }) =>
  models.map((model) => ({ model, name, disable })),
);

// lavapipe is covered on Dawn.
describe.skipIf(!isNode && caps.shaderF16).each(cases)('$model, $name', ({ model, disable }) => {
  const { tokens } = goldens[model];
  let expected: readonly Float64Array[];
  const tolerance = caps.shaderF16 && !disable.includes('shader-f16') ? 2e-2 : 1e-3;
  let served: ServedModel;
  let engine: WebLlmEngine;

  beforeAll(async () => {
    served = await serveModel(`${FORMAT_MODELS_FOLDER}/${model}/model`);
    const { model: reference } = await loadReferenceModel(served.readFile);
    expected = reference.forward(tokens, reference.createCache());
    engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: served.url });
    await engine.loadModel({ id: model, url: served.url }, { prefillChunkLength: 16, disable });
  }, 400_000);

  afterAll(async () => {
    await engine?.dispose();
    await served?.close();
  });

  // One token more is given than is looked at.
  test.each([
    { name: 'prefill', decodeFrom: tokens.length },
    { name: 'decode steps', decodeFrom: 3 },
  ])('logits of $name', async ({ decodeFrom }) => {
    const { positions } = await engine.score({
      input: { tokens: [...tokens, 0] },
      top: 0,
      logitsOf: [...expected[0]!.keys()],
      decodeFrom,
    });
    const rows = positions.slice(1).map((position) => Float32Array.from(position?.logits ?? []));
    expect(rows).toHaveLength(tokens.length);
    for (const [i, row] of rows.entries()) expectClose(row, expected[i]!, tolerance, `position ${i}`);
  });
});
