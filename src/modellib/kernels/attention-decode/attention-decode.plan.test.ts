import { expect, test } from 'vitest';
import { attentionArchitecture } from '../../../../tests/tools/attention-case.ts';
import { planCaps } from '../../../../tests/tools/plan-caps.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { evaluateAmount, evaluateDim, planned } from '../../library-spec.ts';
import { decodeAttentionPartialBytes, planDecodeAttention } from './attention-decode.plan.ts';

const caps = planCaps.least;
const mistral = attentionArchitecture({ headCount: 32, kvHeadCount: 8, headDim: 128 });
const plan = (change: Partial<GpuCaps> = {}, architecture = mistral) =>
  planDecodeAttention(
    {
      qkv: planned('qkv'),
      keyCache: planned('k'),
      valueCache: planned('v'),
      partials: planned('partials'),
      output: planned('output'),
      architecture,
      contextLength: 32768,
    },
    { ...caps, ...change },
  );

test('two dispatches, the first growing with the context', () => {
  const [split, merge] = plan();
  const at = (length: number) => ({ one: 1, tokens: 1, position: length - 1, length, count: 0, biased: 0 });
  expect(split!.grid.map((expr) => evaluateDim(expr, at(1)))).toEqual([1, 8]);
  expect(split!.grid.map((expr) => evaluateDim(expr, at(129)))).toEqual([2, 8]);
  expect(merge!.grid.map((expr) => evaluateDim(expr, at(129)))).toEqual([32, 1]);
  expect(merge!.uniforms.map((expr) => evaluateDim(expr, at(129)))).toEqual([2]);
});

test('the scratch holds every split, and every score', () => {
  expect(decodeAttentionPartialBytes(mistral, 32768)).toBe(256 * 32 * 132 * 4);
  const narrow = attentionArchitecture({ headCount: 9, kvHeadCount: 3, headDim: 64 });
  expect(decodeAttentionPartialBytes(narrow, 200)).toBe(256 * 9 * 4);
});

test('a processor with subgroups gets scores and values, without workgroup memory or barriers', () => {
  const software = { ...planCaps.software, isSoftware: true };
  const [scores, values] = plan(software);
  const at = (length: number) => ({ one: 1, tokens: 1, position: length - 1, length, count: 0, biased: 0 });
  expect(scores!.grid.map((expr) => evaluateDim(expr, at(17)))).toEqual([2, 8]);
  expect(values!.grid.map((expr) => evaluateDim(expr, at(17)))).toEqual([2, 8]);
  for (const { kernel } of [scores!, values!]) expect(kernel.wgsl).not.toMatch(/var<workgroup>|Barrier/);
  const variables = at(17);
  expect([scores!, values!].map(({ work }) => evaluateAmount(work.bytes, variables))).toEqual([
    32 * 128 * 4 + 17 * (8 * 128 * 2 + 32 * 4),
    32 * 128 * 4 + 17 * (8 * 128 * 2 + 32 * 4),
  ]);
  expect(plan({ ...software, subgroups: false })[0]!.work.op).toBe('attention-split');
});

test('asks for features only where they are', () => {
  const [split, merge] = plan();
  expect(split!.kernel.wgsl + merge!.kernel.wgsl).not.toMatch(/f16>|enable/);
  const [splitF16, mergeSubgroups] = plan({ shaderF16: true, subgroups: true });
  expect(splitF16!.kernel.wgsl).toContain('enable f16;');
  expect(mergeSubgroups!.kernel.wgsl).toContain('enable subgroups;');
  expect(new Set([split, merge, splitF16, mergeSubgroups].map((step) => step!.kernel.name)).size).toBe(4);
});

test.each([1, 2, 3, 4, 9, 16, 20, 32, 64])(
  'workgroup memory stays within 32 KiB at a group of %i',
  (group) => {
    for (const headDim of [16, 96, 128, 256]) {
      const architecture = attentionArchitecture({ headCount: group, kvHeadCount: 1, headDim });
      for (const subgroups of [false, true]) {
        for (const { kernel } of plan({ subgroups }, architecture)) {
          const header = /Shared: (\d+) bytes/.exec(kernel.wgsl);
          expect(Number(header![1])).toBeLessThanOrEqual(32768);
        }
      }
    }
  },
);
