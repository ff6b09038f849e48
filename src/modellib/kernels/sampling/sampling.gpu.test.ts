import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { capsVariants, getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { expectDistribution } from '../../../../tests/tools/chi-square.ts';
import { drawMany } from '../../../../tests/tools/draw-many.ts';
import { createRandom } from '../../../../tests/tools/random.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, planned, type Step } from '../../library-spec.ts';
import {
  encodeSamplingExtras,
  planApplyBitmask,
  planApplyLogitBias,
  planApplyPenalty,
  planSoftmax,
  softmaxPartialBytes,
} from './sampling.plan.ts';
import {
  applyBitmaskReference,
  applyPenaltyReference,
  distributionReference,
  MASKED,
  type SampleSettings,
  sampleReference,
  softmaxReference,
} from './sampling.reference.ts';

/** Logits of a bell shape with a few outstanding ones, as a model gives them. */
function createLogits(vocabularySize: number, seed = vocabularySize): Float32Array {
  const random = createRandom(seed);
  const logits = Float32Array.from(
    { length: vocabularySize },
    () => 8 * (random() + random() + random() - 1.5),
  );
  for (let i = 0; i < 12; i++) logits[Math.floor(random() * vocabularySize)] = 10 + 2 * random();
  return logits;
}

const draws = (count: number, seed = 1) => {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => Math.fround(random() * 0.99999994));
};

/** The draw compiles for seconds with a software driver, so most tests use the variant that is made for those. */
async function software() {
  const { device, caps } = await getTestDevice();
  return { device, caps: { ...caps, isSoftware: true } };
}

async function logitsAfter(
  step: (caps: GpuCaps) => Step[],
  logits: Float32Array,
  buffers: Record<string, ArrayBufferView>,
  count = 0,
) {
  const { device, caps } = await getTestDevice();
  const result = await runSteps(device, step(caps), {
    buffers: { 'argument:0': logits, ...buffers },
    variables: { count },
    read: ['argument:0', ...Object.keys(buffers).filter((name) => name.startsWith('planned'))],
  });
  return {
    logits: new Float32Array(result['argument:0']!, 0, logits.length),
    extras: new Float32Array(result['planned:extras'] ?? new ArrayBuffer(0)),
  };
}

describe('10,000 draws follow the exact distribution, chi-square at 1 %', () => {
  const settings: SampleSettings[] = [
    { temperature: 1, topP: 1 },
    { temperature: 0.7, topP: 0.9 },
    { temperature: 1.5, topP: 0.35 },
    { temperature: 1, topP: 1, topK: 7 },
    { temperature: 1, topP: 1, minP: 0.12 },
    { temperature: 1.3, topP: 0.8, topK: 40, minP: 0.05 },
  ];
  test.each(settings.map((setting) => [JSON.stringify(setting), setting] as const))(
    '%s',
    async (_, setting) => {
      const gpu = await software();
      const logits = createLogits(811);
      const tokens = await drawMany(gpu, logits, setting, draws(10_000));
      expectDistribution(tokens, distributionReference(logits, setting), JSON.stringify(setting));
    },
  );
});

describe('a draw is the inverse of the cumulative distribution in order of id', () => {
  const settings: SampleSettings[] = [
    { temperature: 0, topP: 1 },
    { temperature: 1, topP: 1 },
    { temperature: 0.6, topP: 0.95 },
    { temperature: 2, topP: 0.9, topK: 1000 },
    { temperature: 1, topP: 0.9, topK: 4097, minP: 0.01 },
  ];
  const check = async (
    gpu: { device: GPUDevice; caps: GpuCaps },
    logits: Float32Array,
    count: number,
    tested = settings,
  ) => {
    for (const setting of tested) {
      const uniforms = [0, 0.99999994, ...draws(count)];
      const tokens = await drawMany(gpu, logits, setting, uniforms);
      const expected = uniforms.map((uniform) => sampleReference(logits, setting, uniform));
      // A uniform number within a rounding of a token's border may fall on either side of it.
      const different = expected.filter((token, i) => token !== tokens[i]).length;
      expect(different, JSON.stringify(setting)).toBeLessThanOrEqual(1);
      const distribution = distributionReference(logits, setting);
      for (const token of tokens) expect(distribution[token]).toBeGreaterThan(0);
    }
  };
  test.each([1, 2, 15, 1023, 1025, 49152])('%i tokens', async (vocabularySize) => {
    await check(await software(), createLogits(vocabularySize), vocabularySize > 2000 ? 2 : 30);
  });
  test.each([811, 4096])('%i tokens, on the kernel for real GPUs', async (vocabularySize) => {
    await check(await getTestDevice(), createLogits(vocabularySize), 4);
  });
  test('131,072 tokens, on the kernel for real GPUs', async () => {
    await check(await getTestDevice(), createLogits(131072), 1, [settings[0]!, settings[4]!]);
  });
  test('300,000 tokens: long rows', async () => {
    const logits = createLogits(300_000);
    const setting = { temperature: 1, topP: 0.97 };
    const uniforms = draws(3);
    const tokens = await drawMany(await software(), logits, setting, uniforms);
    expect([...tokens]).toEqual(uniforms.map((uniform) => sampleReference(logits, setting, uniform)));
  });
});

describe('logits at the limits', () => {
  const many = Array.from({ length: 64 }, (_, i) => i / 64);
  const set = async (logits: number[], setting: SampleSettings, biased = true) =>
    [...new Set(await drawMany(await software(), new Float32Array(logits), setting, many, biased))].sort(
      (a, b) => a - b,
    );

  test('masked, NaN and -infinity are never drawn', async () => {
    const logits = [Number.NaN, 1, MASKED, 1, -Infinity, Number.NaN, 1];
    expect(await set(logits, { temperature: 1, topP: 1 })).toEqual([1, 3, 6]);
    expect(await set(logits, { temperature: 1, topP: 1, topK: 7 })).toEqual([1, 3, 6]);
    expect(await set(logits, { temperature: 0, topP: 1 })).toEqual([1]);
  });
  test('all masked gives 0', async () => {
    const logits = [Number.NaN, MASKED, -Infinity];
    expect(await set(logits, { temperature: 1, topP: 0.5, topK: 2 })).toEqual([0]);
    expect(await set(logits, { temperature: 0, topP: 0.5 })).toEqual([0]);
  });
  test('equals at a threshold are kept in order of id, exactly as many as asked for', async () => {
    const equal = Array.from({ length: 100 }, () => 0.5);
    expect(await set(equal, { temperature: 1, topP: 1, topK: 3 })).toEqual([0, 1, 2]);
    expect(await set(equal, { temperature: 1, topP: 0.049 })).toEqual([0, 1, 2, 3, 4]);
    expect(await set(equal, { temperature: 0, topP: 1 })).toEqual([0]);
    const steps = [3, 1, 2, 2, 2, -0, 0, 5, 2];
    expect(await set(steps, { temperature: 4, topP: 1, topK: 4 })).toEqual([0, 2, 3, 7]);
    expect(await set(steps, { temperature: 4, topP: 1, topK: 4, minP: 0.5 })).toEqual([0, 7]);
    // top_k and top_p with the same threshold: top_p may keep fewer of its equals, never more.
    expect(await set(equal, { temperature: 1, topP: 0.5, topK: 4 })).toEqual([0, 1]);
    expect(await set(equal, { temperature: 1, topP: 0.99, topK: 4 })).toEqual([0, 1, 2, 3]);
  });
  test('the likeliest token always stays', async () => {
    const logits = [1, 9, 3, 9];
    expect(await set(logits, { temperature: 1, topP: 1e-9 })).toEqual([1]);
    expect(await set(logits, { temperature: 1, topP: 1, minP: 1 })).toEqual([1, 3]);
    expect(await set(logits, { temperature: 2e-5, topP: 1 })).toEqual([1, 3]);
  });
  test('huge and tiny logits do not overflow', async () => {
    expect(await set([3e38, -3e38, 3.4e38], { temperature: 1, topP: 0.99 })).toEqual([2]);
    expect(await set([Infinity, 1, 2], { temperature: 0.5, topP: 1 })).toEqual([0]);
    expect(await set([-1e-40, 1e-40, 0], { temperature: 1, topP: 1 })).toEqual([0, 1, 2]);
  });
  test('top_k and min_p count only where the logits had a bias call', async () => {
    expect(await set([1, 1, 1], { temperature: 1, topP: 1, topK: 1, minP: 1 }, false)).toEqual([0, 1, 2]);
  });
});

describe('grammar mask', () => {
  test.each([1, 31, 32, 33, 811])('%i tokens', async (vocabularySize) => {
    const random = createRandom(vocabularySize);
    const logits = createLogits(vocabularySize);
    const mask = Int32Array.from({ length: Math.ceil(vocabularySize / 32) }, () => random() * 2 ** 32);
    const control = [0, 1, 2, 3, 4, 9, 30, 31, 32, 33, 700, 5000];
    const result = await logitsAfter(
      (caps) => planApplyBitmask({ vocabularySize, controlTokenIds: control, stopTokenIds: [2, 33] }, caps),
      logits,
      { 'argument:2': mask },
    );
    const expected = Float64Array.from(logits);
    applyBitmaskReference(expected, mask, new Set(control.filter((id) => id !== 2 && id !== 33)));
    expect([...result.logits]).toEqual([...expected]);
  });
});

describe('logit bias', () => {
  const vocabularySize = 811;
  const apply = (bias: Record<number, number>, stale = 9) =>
    logitsAfter(
      (caps) => planApplyLogitBias({ vocabularySize, extras: planned('extras') }, caps),
      createLogits(vocabularySize),
      {
        'argument:2': Int32Array.from(Object.keys(bias), Number),
        'argument:3': Float32Array.from(Object.values(bias)),
        'planned:extras': new Float32Array(8).fill(stale),
      },
      Object.keys(bias).length,
    );

  test('adds to tokens, and carries top_k and min_p', async () => {
    const before = createLogits(vocabularySize);
    const result = await apply({
      0: 5,
      810: -100,
      400: 0.25,
      ...encodeSamplingExtras({ topK: 777, minP: 0.05, vocabularySize }),
      5000: 3,
    });
    const expected = [...before];
    expected[0] = Math.fround(before[0]! + 5);
    expected[810] = Math.fround(before[810]! - 100);
    expected[400] = Math.fround(before[400]! + 0.25);
    expect([...result.logits]).toEqual(expected);
    expect([...result.extras]).toEqual([777 % 64, Math.floor(777 / 64), 0, 0, Math.fround(0.05), 0, 0, 0]);
  });
  test('takes many ids, and forgets the extras of the step before', async () => {
    const bias = Object.fromEntries(Array.from({ length: 600 }, (_, id) => [id, id / 8]));
    const before = createLogits(vocabularySize);
    const result = await apply(bias);
    expect([...result.logits]).toEqual([...before].map((x, id) => (id < 600 ? Math.fround(x + id / 8) : x)));
    expect([...result.extras]).toEqual(new Array(8).fill(0));
  });
});

test('penalties', async () => {
  const vocabularySize = 300;
  const logits = createLogits(vocabularySize);
  logits[7] = MASKED;
  const counts = new Map(Array.from({ length: 130 }, (_, i) => [(i * 7) % 300, 1 + (i % 5)]));
  const penalties = { presence: 0.5, frequency: 0.25, repetition: 1.25 };
  const result = await logitsAfter(
    (caps) => planApplyPenalty({ vocabularySize }, caps),
    logits,
    {
      'argument:3': Int32Array.from(counts.keys()),
      'argument:4': Int32Array.from(counts.values()),
      'argument:5': Float32Array.from(Object.values(penalties)),
    },
    counts.size,
  );
  const expected = Float64Array.from(logits);
  applyPenaltyReference(expected, counts, penalties);
  expect(result.logits[7]).toBe(MASKED);
  [expected[7], result.logits[7]] = [0, 0];
  expectClose(result.logits, expected, 1e-6);
});

describe('softmax', () => {
  const run = async (logits: Float32Array, caps: GpuCaps) => {
    const { device } = await getTestDevice();
    const vocabularySize = logits.length;
    const probs: BufferRef = planned('probs');
    const steps = planSoftmax({ vocabularySize, probs, partials: planned('partials') }, caps);
    const result = await runSteps(device, steps, {
      buffers: {
        'argument:0': logits,
        'planned:probs': { byteLength: vocabularySize * 4 },
        'planned:partials': { byteLength: softmaxPartialBytes(vocabularySize) },
      },
      read: ['planned:probs'],
    });
    return new Float32Array(result['planned:probs']!, 0, vocabularySize);
  };
  test.each([1, 811, 2049, 131072])('%i tokens', async (vocabularySize) => {
    const { caps } = await getTestDevice();
    const logits = createLogits(vocabularySize);
    expectClose(await run(logits, caps), softmaxReference(logits), 1e-5);
  });
  test('every variant, masked logits and whole masked chunks', async () => {
    const { caps } = await getTestDevice();
    const logits = createLogits(5000).map((x, id) => (id < 2048 || id % 3 === 0 ? MASKED : x));
    logits[2050] = Number.NaN;
    logits[2051] = -Infinity;
    for (const variant of capsVariants(caps)) {
      expectClose(await run(logits, variant.caps), softmaxReference(logits), 1e-5, variant.name);
    }
    expect([...(await run(new Float32Array(7).fill(MASKED), caps))]).toEqual(new Array(7).fill(0));
  });
});
