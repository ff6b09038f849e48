/**
 * Every GGUF type in whole models, mixed as llama.cpp mixes them: files that the `gguf` package wrote, imported and run
 * through unmodified WebLLM. Logits against those that PyTorch computed in float64 from the weights as `gguf`
 * dequantises them.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LoadOptions } from '../../src/engine/api.ts';
import { WebLlmEngine } from '../../src/engine/webllm-engine.ts';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import goldens from '../fixtures/format-logits.json' with { type: 'json' };
import { expectClose } from '../gpu/close-to.ts';
import { getTestDevice } from '../gpu/gpu-device.ts';
import { FORMAT_MODELS, FORMAT_MODELS_FOLDER, type ServedModel, serveModel } from '../tools/test-models.ts';
import { decodeFloats } from './tiny-mistral-goldens.ts';

const { caps } = await getTestDevice();
const isNode = typeof process !== 'undefined';
const full = isNode && process.env.TRAMONTANE_FULL !== undefined;

type Disable = NonNullable<LoadOptions['disable']>;
const families: { name: string; disable: Disable; models: readonly (typeof FORMAT_MODELS)[number][] }[] = [];
if (isNode && caps.shaderF16) {
  families.push({ name: 'as the device is', disable: [], models: FORMAT_MODELS });
  families.push({ name: 'with kernels for a GPU', disable: ['software-kernels'], models: FORMAT_MODELS });
  if (full) {
    const disable: Disable = ['software-kernels', 'shader-f16', 'subgroups'];
    families.push({ name: 'with the least of them', disable, models: FORMAT_MODELS });
  }
} else if (!isNode || full) {
  // SwiftShader takes long to compile, and kernels have tests of their own in browsers.
  families.push({ name: 'as the device is', disable: [], models: full ? FORMAT_MODELS : ['q4-k-m'] });
}
const cases = families.flatMap(({ name, disable, models }) =>
  models.map((model) => ({ model, name, disable })),
);

// A file without a single test counts as failed: where everything is left to other projects, this one is skipped.
test.skipIf(cases.length === 0)('there are models to run', () => expect(cases.length).toBeGreaterThan(0));

describe.each(cases)('$model, $name', ({ model, disable }) => {
  const { tokens, logits } = goldens[model];
  const expected = decodeFloats(logits);
  const vocabularySize = expected.length / tokens.length;
  const tolerance = caps.shaderF16 && !disable.includes('shader-f16') ? 2e-2 : 1e-3;
  let served: ServedModel;
  let engine: WebLlmEngine;

  beforeAll(async () => {
    served = await serveModel(`${FORMAT_MODELS_FOLDER}/${model}/model`);
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
      logitsOf: Array.from({ length: vocabularySize }, (_, id) => id),
      decodeFrom,
    });
    const rows = positions.slice(1).map((position) => Float32Array.from(position?.logits ?? []));
    expect(rows).toHaveLength(tokens.length);
    for (const [i, row] of rows.entries()) {
      const golden = expected.subarray(i * vocabularySize, (i + 1) * vocabularySize);
      expectClose(row, golden, tolerance, `position ${i}`);
    }
  });
});
