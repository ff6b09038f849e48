import { describe, expect, test } from 'vitest';
import { chiSquareLimit, expectDistribution } from '../../../../tests/tools/chi-square.ts';
import { planCaps } from '../../../../tests/tools/plan-caps.ts';
import { createRandom } from '../../../../tests/tools/random.ts';
import { planned } from '../../library-spec.ts';
import { idRanges } from './logit-edits.wgsl.ts';
import { encodeSamplingExtras, planApplyBitmask, planSample, softmaxPartialBytes } from './sampling.plan.ts';
import { distributionReference, MASKED, sampleReference, softmaxReference } from './sampling.reference.ts';

const caps = planCaps.least;

describe('encodeSamplingExtras', () => {
  const decode = (bias: Record<string, number>, vocabularySize: number) => {
    const extra = (i: number) => Math.fround(bias[vocabularySize + i] ?? 0);
    return { topK: extra(0) + 64 * extra(1) + 4096 * extra(2) + 262144 * extra(3), minP: extra(4) };
  };
  test.each([1, 63, 64, 65, 4095, 4096, 99999, 131071])('top_k %i comes through exactly', (topK) => {
    const bias = encodeSamplingExtras({ topK, minP: 0.05, vocabularySize: 131072 });
    expect(decode(bias, 131072)).toEqual({ topK, minP: Math.fround(0.05) });
    for (const [id, value] of Object.entries(bias)) {
      expect(Number(id)).toBeGreaterThanOrEqual(131072);
      expect(Math.abs(value)).toBeLessThanOrEqual(100);
    }
  });
  test('asks for nothing where nothing is restricted', () => {
    expect(encodeSamplingExtras({ vocabularySize: 811 })).toEqual({});
    expect(encodeSamplingExtras({ topK: 0, minP: 0, vocabularySize: 811 })).toEqual({});
    expect(encodeSamplingExtras({ topK: 811, vocabularySize: 811 })).toEqual({});
  });
  test.each([{ topK: 1.5 }, { topK: -1 }, { minP: -0.1 }, { minP: 1.1 }, { minP: Number.NaN }])(
    'refuses %o',
    (extras) => {
      expect(() => encodeSamplingExtras({ ...extras, vocabularySize: 811 })).toThrow(
        expect.objectContaining({ code: 'request-invalid' }),
      );
    },
  );
});

test('ids become ranges', () => {
  expect(idRanges([])).toEqual([]);
  expect(idRanges([5, 3, 4, 4, 9, 1])).toEqual([
    [1, 1],
    [3, 5],
    [9, 9],
  ]);
});

test('a thousand control tokens but one are two comparisons', () => {
  const controlTokenIds = Array.from({ length: 1000 }, (_, id) => id);
  const [step] = planApplyBitmask({ vocabularySize: 131072, controlTokenIds, stopTokenIds: [2] }, caps);
  expect(step!.kernel.wgsl.match(/blocked = blocked/g)?.length).toBe(2);
});

test('the scratch of softmax holds every chunk', () => {
  expect(softmaxPartialBytes(1)).toBe(8);
  expect(softmaxPartialBytes(131073)).toBe(65 * 8);
});

test.each([1, 811, 131072, 2 ** 21])('the draw over %i tokens fits workgroup memory', (vocabularySize) => {
  for (const isSoftware of [false, true]) {
    const operands = { vocabularySize, extras: planned('extras'), output: planned('sampled') };
    const { wgsl } = planSample(operands, { ...caps, isSoftware })[0]!.kernel;
    expect(Number(/Shared: (\d+) bytes/.exec(wgsl)![1])).toBeLessThanOrEqual(32768);
    const constantOf = (name: string) => Number(new RegExp(`const ${name} = (\\d+)u`).exec(wgsl)![1]);
    expect(vocabularySize / constantOf('ROW')).toBeLessThanOrEqual(constantOf('BINS'));
  }
});

test('a vocabulary beyond the sums is refused', () => {
  const operands = { vocabularySize: 2 ** 21 + 1, extras: planned('extras'), output: planned('sampled') };
  expect(() => planSample(operands, caps)).toThrow(
    expect.objectContaining({ code: 'architecture-unsupported' }),
  );
});

describe('the references', () => {
  const logits = [2, Number.NaN, 1, MASKED, 2, 0];

  test('cut in the order temperature, top_k, top_p, min_p', () => {
    const kept = (settings: Parameters<typeof distributionReference>[1]) =>
      [...distributionReference(logits, settings).entries()].filter(([, p]) => p > 0).map(([id]) => id);
    expect(kept({ temperature: 1, topP: 1 })).toEqual([0, 2, 4, 5]);
    expect(kept({ temperature: 1, topP: 1, topK: 1 })).toEqual([0]);
    expect(kept({ temperature: 1, topP: 1, topK: 3 })).toEqual([0, 2, 4]);
    expect(kept({ temperature: 1, topP: 0.5, topK: 3 })).toEqual([0, 4]);
    expect(kept({ temperature: 1, topP: 1, minP: 0.3 })).toEqual([0, 2, 4]);
    expect(kept({ temperature: 0, topP: 1 })).toEqual([0]);
  });
  test('sum to one, and invert', () => {
    expect(softmaxReference(logits).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(sampleReference(logits, { temperature: 1, topP: 1 }, 0)).toBe(0);
    expect(sampleReference(logits, { temperature: 1, topP: 1 }, 0.99999994)).toBe(5);
    expect(sampleReference([MASKED, Number.NaN], { temperature: 1, topP: 1 }, 0.5)).toBe(0);
  });
});

describe('chi-square', () => {
  // Table values: 6.635, 23.209, 135.807.
  test.each([
    [1, 6.635],
    [10, 23.209],
    [100, 135.807],
  ])('limit at %i degrees', (degrees, limit) => {
    expect(Math.abs(chiSquareLimit(degrees) / limit - 1)).toBeLessThan(0.02);
  });
  test('accepts the distribution and refuses another', () => {
    const random = createRandom(3);
    const distribution = [0.5, 0.3, 0.15, 0.05];
    const draws = Array.from({ length: 10_000 }, () => {
      const u = random();
      return [0.5, 0.8, 0.95, 1].findIndex((cumulative) => u < cumulative);
    });
    expectDistribution(draws, distribution, 'same');
    expect(() => expectDistribution(draws, [0.47, 0.33, 0.15, 0.05], 'other')).toThrow(/chi-square/);
    expect(() => expectDistribution(draws, [0.5, 0.3, 0.2, 0], 'impossible')).toThrow(/no probability/);
  });
});
