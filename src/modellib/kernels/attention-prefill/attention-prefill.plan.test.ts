import { expect, test } from 'vitest';
import { attentionArchitecture } from '../../../../tests/tools/attention-case.ts';
import { planCaps } from '../../../../tests/tools/plan-caps.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { evaluateDim, planned } from '../../library-spec.ts';
import { planPrefillAttention } from './attention-prefill.plan.ts';

const caps = planCaps.least;
const plan = (shape: Parameters<typeof attentionArchitecture>[0], change: Partial<GpuCaps> = {}) =>
  planPrefillAttention(
    {
      qkv: planned('qkv'),
      keyCache: planned('k'),
      valueCache: planned('v'),
      output: planned('output'),
      architecture: attentionArchitecture(shape),
      contextLength: 32768,
    },
    { ...caps, ...change },
  );
const mistral = { headCount: 32, kvHeadCount: 8, headDim: 128 };
const at = (tokens: number) => ({ one: 1, tokens, position: 0, length: tokens, count: 0, biased: 0 });

test('one dispatch: 32 pairs of token and head to a workgroup', () => {
  const steps = plan(mistral);
  expect(steps.length).toBe(1);
  expect(steps[0]!.grid.map((expr) => evaluateDim(expr, at(8)))).toEqual([1, 8]);
  expect(steps[0]!.grid.map((expr) => evaluateDim(expr, at(9)))).toEqual([2, 8]);
});

test('asks for shader-f16 only where it is', () => {
  expect(plan(mistral)[0]!.kernel.wgsl).not.toMatch(/f16>|enable/);
  expect(plan(mistral, { shaderF16: true })[0]!.kernel.wgsl).toContain('enable f16;');
});

test('a processor with subgroups gets a kernel without workgroup memory or barriers', () => {
  const software = { isSoftware: true, subgroups: true, subgroupMinSize: 4, subgroupMaxSize: 4 };
  const [step] = plan(mistral, software);
  expect(step!.kernel.wgsl).not.toMatch(/var<workgroup>|Barrier/);
  expect(step!.grid.map((expr) => evaluateDim(expr, at(4)))).toEqual([1, 8]);
  expect(step!.grid.map((expr) => evaluateDim(expr, at(5)))).toEqual([2, 8]);
  expect(plan(mistral, { ...software, subgroups: false })[0]!.kernel.wgsl).toContain('Barrier');
});

test.each([16, 96, 128, 144, 256])('workgroup memory stays within 32 KiB at heads of %i', (headDim) => {
  for (const isSoftware of [false, true]) {
    const { wgsl } = plan({ headCount: 4, kvHeadCount: 1, headDim }, { isSoftware })[0]!.kernel;
    expect(Number(/Shared: (\d+) bytes/.exec(wgsl)![1])).toBeLessThanOrEqual(32768);
  }
});
