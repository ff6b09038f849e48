/**
 * SmolLM2 through unmodified WebLLM on Dawn: forced decoding against float32 logits that transformers computed from the
 * same quantised weights. Of the 12 texts, four; all of them, and those with f16 too, with the long suites.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebLlmEngine } from '../../src/engine/webllm-engine.ts';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import fixture from '../fixtures/smollm2-score.json' with { type: 'json' };
import { getTestDevice } from '../gpu/gpu-device.ts';
import { type ServedModel, SMOLLM2_FOLDER, serveModel } from '../tools/test-models.ts';
import { smolLm2Goldens } from './smollm2-goldens.ts';

const goldens = smolLm2Goldens(fixture);
/** Where the reference's first two logits are closer than this, either may win. */
const CLEAR_MARGIN = 0.1;
const DECODED_POSITIONS = 16;

// SwiftShader takes minutes to compile the kernels that real GPUs get; lavapipe does not, so it runs those.
const { caps } = await getTestDevice();
const disable = caps.shaderF16 ? (['software-kernels'] as const) : [];

const isNode = typeof process !== 'undefined';
const isFull = isNode && process.env.TRAMONTANE_FULL !== undefined;
const skip = !isNode || (caps.shaderF16 && !isFull);
const texts = isFull ? goldens.texts : goldens.texts.slice(0, 4);

describe.skipIf(skip)('SmolLM2', () => {
  let served: ServedModel;
  let engine: WebLlmEngine;

  beforeAll(async () => {
    served = await serveModel(SMOLLM2_FOLDER);
    engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: served.url });
    await engine.loadModel({ id: 'smollm2', url: served.url }, { contextLength: 128, disable });
  }, 400_000);

  afterAll(async () => {
    await engine?.dispose();
    await served?.close();
  });

  test(`forced decoding of ${texts.length} texts agrees with float32`, { timeout: 900_000 }, async () => {
    let squares = 0;
    let compared = 0;
    let positionCount = 0;
    let sameTop = 0;
    const clearMisses: string[] = [];
    for (const { name, tokens, positions } of texts) {
      const result = await engine.score({
        input: { tokens: [...tokens, 0] },
        top: 1,
        logitsOf: goldens.sampleIds,
      });
      for (const [i, golden] of positions.entries()) {
        const found = result.positions[i + 1]!;
        for (const [k, logit] of (found.logits ?? []).entries()) {
          squares += (logit - golden.sample[k]!) ** 2;
          compared++;
        }
        positionCount++;
        if (found.top[0]?.token === golden.top[0]) sameTop++;
        else if (golden.margin > CLEAR_MARGIN)
          clearMisses.push(`${name} ${i} (margin ${golden.margin.toFixed(3)})`);
      }
    }
    const rms = Math.sqrt(squares / compared);
    console.log(
      `SmolLM2: rms logit error ${rms.toExponential(2)}, same top token ${sameTop} of ${positionCount}`,
    );
    expect(positionCount).toBe(texts.length * 48);
    expect(clearMisses).toEqual([]);
    expect(sameTop / positionCount).toBeGreaterThanOrEqual(0.995);
    expect(rms).toBeLessThanOrEqual(0.01);
  });

  test('decode steps see what prefill sees', async () => {
    const { tokens, positions } = goldens.texts[0]!;
    const { sampleIds } = goldens;
    const decodeFrom = tokens.length - DECODED_POSITIONS;
    const result = await engine.score({
      input: { tokens: [...tokens, 0] },
      top: 1,
      logitsOf: sampleIds,
      decodeFrom,
    });
    let squares = 0;
    for (let i = decodeFrom; i < tokens.length; i++) {
      const found = result.positions[i + 1]!;
      for (const [k, logit] of (found.logits ?? []).entries())
        squares += (logit - positions[i]!.sample[k]!) ** 2;
    }
    expect(Math.sqrt(squares / (DECODED_POSITIONS * sampleIds.length))).toBeLessThanOrEqual(0.01);
  });
});
