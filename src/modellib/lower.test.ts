import { describe, expect, test } from 'vitest';
import {
  describeModel,
  type FormatRule,
  MIB,
  MISTRAL_SMALL,
  MISTRAL_SMALL_BUILDS,
} from '../../tests/tools/describe-model.ts';
import { planCaps } from '../../tests/tools/plan-caps.ts';
import type { WeightFormat } from '../models/model-description.ts';
import type { LibrarySpec, Step } from './library-spec.ts';
import { lower } from './lower.ts';

const options = { contextLength: 8192, prefillChunkLength: 256 };

function allSteps({ programs }: LibrarySpec): Step[] {
  const { prefill, score, ...single } = programs;
  return [...Object.values(single).flat(), ...[...prefill, ...score].flatMap((variant) => variant.steps)];
}

describe('Mistral Small 3.2 at its true shapes', () => {
  // At most 7 a layer, 9 where formats are large or mixed, and 10 outside the layers up to builds of 6 bits. Parts are
  // as the importer cuts them; more than three pairs of records do not fit beside a kernel's other bindings.
  const builds: { name: string; format: WeightFormat | FormatRule; perLayer: number; outside: number }[] = [
    { name: 'q4_0', format: 'q4_0', perLayer: 7, outside: 10 },
    { name: 'q4_1', format: 'q4_1', perLayer: 8, outside: 10 },
    { name: 'q4f16_1', format: 'q4f16_1', perLayer: 7, outside: 10 },
    { name: 'Q4_K_M', format: MISTRAL_SMALL_BUILDS.Q4_K_M!, perLayer: 7, outside: 10 },
    { name: 'Q5_K_M', format: MISTRAL_SMALL_BUILDS.Q5_K_M!, perLayer: 8, outside: 10 },
    { name: 'Q4_0', format: MISTRAL_SMALL_BUILDS.Q4_0!, perLayer: 7, outside: 10 },
    { name: 'IQ4_XS', format: MISTRAL_SMALL_BUILDS.IQ4_XS!, perLayer: 7, outside: 10 },
    { name: 'Q6_K', format: 'q6_k', perLayer: 8, outside: 10 },
    { name: 'Q8_0', format: 'q8_0', perLayer: 8, outside: 12 },
    { name: 'BF16', format: 'bf16', perLayer: 8, outside: 12 },
  ];
  test.each(builds)('$name keeps to the dispatch budget', ({ format, perLayer, outside: most }) => {
    const { dispatches, spec } = lower(describeModel(MISTRAL_SMALL, format), planCaps.least, options);
    expect(dispatches.perLayer).toBeLessThanOrEqual(perLayer);
    const { applyBitmask, applyLogitBias, applyPenalty, softmax, sample } = spec.programs;
    // A token under a grammar, with a bias and penalties: everything that can run, runs.
    const outside =
      dispatches.embed +
      dispatches.head +
      [applyBitmask, applyLogitBias, applyPenalty, softmax, sample].reduce(
        (sum, steps) => sum + steps.length,
        0,
      );
    expect(outside).toBeLessThanOrEqual(most);
    expect(spec.programs.decode.length).toBeLessThanOrEqual(40 * perLayer + dispatches.head);
    for (const step of allSteps(spec)) expect(step.buffers.length, step.kernel.name).toBeLessThanOrEqual(10);
  });

  test('the memory plan is what the shapes say', () => {
    const model = describeModel(MISTRAL_SMALL, 'q4_0');
    const at8k = lower(model, planCaps.least, options);
    const at32k = lower(model, planCaps.least, { ...options, contextLength: 32768 });
    const mib = (bytes: number) => `${(bytes / MIB).toFixed(0)} MiB`;
    console.log(
      `Mistral Small 3.2, 4 bits: weights ${mib(at8k.weightBytes)}; KV cache ${mib(at8k.kvCacheBytes)} at 8k, ` +
        `${mib(at32k.kvCacheBytes)} at 32k; activations ${mib(at8k.activationBytes)}; dispatches per token ` +
        `${at8k.dispatches.embed} + 40 × ${at8k.dispatches.perLayer} + ${at8k.dispatches.head} to the logits`,
    );
    // 23.57 G weights at 4.5 bits, and 160 KiB of keys and values a token.
    expect(at8k.weightBytes / 13.26e9).toBeCloseTo(1, 2);
    expect(at8k.kvCacheBytes).toBe(8192 * 160 * 1024);
    expect(at32k.kvCacheBytes).toBe(32768 * 160 * 1024);
    expect(at8k.activationBytes).toBeLessThan(200 * MIB);
    for (const { spec } of [at8k, at32k]) {
      for (const buffer of spec.buffers) expect(buffer.byteLength).toBeLessThanOrEqual(128 * MIB);
    }
  });

  test('every dispatch binds at most 10 storage buffers, each declared once', () => {
    const { spec } = lower(describeModel(MISTRAL_SMALL, 'q4_1'), planCaps.least, options);
    for (const step of allSteps(spec)) {
      expect(step.buffers.length, step.kernel.name).toBeLessThanOrEqual(10);
      expect(step.buffers.length).toBe(step.kernel.bindings.length);
      expect(step.uniforms.length).toBe(step.kernel.uniforms.length);
      const writable = step.buffers.filter((_, i) => step.kernel.bindings[i] === 'read_write');
      // WebGPU forbids a second binding of a buffer that is bound for writing.
      for (const ref of writable) {
        expect(step.buffers.filter((other) => JSON.stringify(other) === JSON.stringify(ref))).toHaveLength(1);
      }
    }
  });

  test('kernels of one name have one source, and few are needed', () => {
    const { spec } = lower(describeModel(MISTRAL_SMALL, 'q4_0'), planCaps.least, options);
    const sources = new Map<string, string>();
    for (const { kernel } of allSteps(spec)) {
      expect(sources.get(kernel.name) ?? kernel.wgsl).toBe(kernel.wgsl);
      sources.set(kernel.name, kernel.wgsl);
    }
    expect(sources.size).toBeLessThanOrEqual(40);
  });
});

test('scoring runs the very kernels that a long prompt runs, so that it can judge them', () => {
  // On a GPU that is neither software nor narrow, where the tile depends on the number of tokens.
  const { programs, scoreChunkLength } = lower(
    describeModel(MISTRAL_SMALL, 'q4_0'),
    planCaps.best,
    options,
  ).spec;
  expect(scoreChunkLength).toBeLessThan(options.prefillChunkLength);
  const layerKernels = (steps: readonly Step[]) =>
    new Set(steps.slice(0, 40 * 8).map(({ kernel }) => kernel.wgsl));
  const [prefill, score] = [programs.prefill, programs.score].map((variants) =>
    layerKernels(variants.at(-1)!.steps),
  );
  expect([...prefill!].filter((wgsl) => !score!.has(wgsl))).toEqual([]);
});

test('WGSL is ASCII: the linker and WebLLM take nothing else', () => {
  const f16Caps = {
    ...planCaps.least,
    shaderF16: true,
    subgroups: true,
    subgroupMinSize: 8,
    subgroupMaxSize: 8,
  };
  for (const caps of [planCaps.least, f16Caps]) {
    const { spec } = lower(describeModel({ ...MISTRAL_SMALL, layerCount: 1 }, 'q4_0'), caps, options);
    for (const { kernel } of allSteps(spec)) expect(kernel.wgsl).not.toMatch(/[^\n -~]/);
  }
});

test('without shader-f16 and subgroups no kernel enables them', () => {
  const { spec } = lower(describeModel({ ...MISTRAL_SMALL, layerCount: 1 }, 'q8_0'), planCaps.least, options);
  for (const { kernel } of allSteps(spec)) {
    const code = kernel.wgsl.replace(/\/\/.*/g, '');
    expect(code).not.toMatch(/enable|\bf16\b|subgroup/);
  }
});

test.each([
  [{ contextLength: 0 }],
  [{ contextLength: 131073 }],
  [{ contextLength: 100.5 }],
  [{ prefillChunkLength: 0 }],
])('%j is refused', (wrong) => {
  const model = describeModel({ ...MISTRAL_SMALL, layerCount: 1 }, 'q4_0');
  expect(() => lower(model, planCaps.least, { ...options, ...wrong })).toThrow(
    expect.objectContaining({ code: 'config-invalid' }),
  );
});

test('a context too long for one binding is refused with numbers', () => {
  const model = describeModel({ ...MISTRAL_SMALL, layerCount: 1 }, 'q4_0');
  expect(() => lower(model, planCaps.least, { ...options, contextLength: 131072 })).toThrow(
    expect.objectContaining({ code: 'adapter-limits' }),
  );
});
