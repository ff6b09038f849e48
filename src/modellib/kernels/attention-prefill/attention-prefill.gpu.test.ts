import { describe, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { capsVariants, getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { createAttentionCase } from '../../../../tests/tools/attention-case.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { planned } from '../../library-spec.ts';
import type { AttentionShape } from '../rope-kv/kv-cache.ts';
import { planPrefillAttention } from './attention-prefill.plan.ts';
import { prefillAttentionReference } from './attention-prefill.reference.ts';

async function check(shape: AttentionShape, position: number, tokens: number, caps: GpuCaps, sharpness = 3) {
  const { device } = await getTestDevice();
  const input = createAttentionCase(shape, position, tokens, { sharpness });
  const steps = planPrefillAttention(
    {
      qkv: planned('qkv'),
      keyCache: planned('k'),
      valueCache: planned('v'),
      output: planned('output'),
      architecture: input.architecture,
      contextLength: position + tokens,
    },
    caps,
  );
  const result = await runSteps(device, steps, {
    buffers: {
      'planned:qkv': input.qkv,
      'planned:k': input.keyCache,
      'planned:v': input.valueCache,
      'planned:output': { byteLength: tokens * shape.headCount * shape.headDim * 4 },
    },
    variables: { tokens, position, length: position + tokens },
    read: ['planned:output'],
  });
  expectClose(
    new Float32Array(result['planned:output']!),
    prefillAttentionReference(input.queries, input.keys, input.values, position, tokens, shape),
    1e-5,
    `${tokens} tokens at ${position}`,
  );
}

const cases = [
  ...[1, 2, 7, 16, 17, 63, 64, 65].map((tokens) => [0, tokens] as const),
  [1, 2],
  [63, 1],
  [63, 2],
  [64, 17],
  [65, 7],
  [255, 2],
  [256, 16],
  [257, 33],
] as const;

// Kernels for real GPUs: heads narrower than a row of lanes, and Mistral's. They take software drivers seconds to
// compile: one shape more is tested below, with the smaller tile of software without subgroups.
describe.each([
  { headCount: 6, kvHeadCount: 2, headDim: 16 },
  { headCount: 8, kvHeadCount: 2, headDim: 128 },
])('$headCount/$kvHeadCount heads of $headDim', (shape) => {
  test('at every boundary of tiles and pages', async () => {
    const { caps } = await getTestDevice();
    for (const [position, tokens] of cases) await check(shape, position, tokens, caps);
  });
});

describe.each([
  { headCount: 4, kvHeadCount: 4, headDim: 16 },
  { headCount: 6, kvHeadCount: 2, headDim: 32 },
  { headCount: 9, kvHeadCount: 3, headDim: 64 },
  { headCount: 9, kvHeadCount: 1, headDim: 96 },
  { headCount: 4, kvHeadCount: 1, headDim: 128 },
])('$headCount/$kvHeadCount heads of $headDim, as software runs them', (shape) => {
  test('at every boundary of tiles and pages', async () => {
    const { caps } = await getTestDevice();
    for (const [position, tokens] of cases)
      await check(shape, position, tokens, { ...caps, isSoftware: true });
  });
});

test('heads that are no multiple of a row of lanes, without subgroups', async () => {
  const { caps } = await getTestDevice();
  const variant = { ...caps, subgroups: false, isSoftware: true };
  for (const [position, tokens] of [
    [0, 17],
    [63, 2],
    [257, 33],
  ] as const) {
    await check({ headCount: 9, kvHeadCount: 1, headDim: 96 }, position, tokens, variant);
  }
});

test('every variant, with scores that a few keys dominate', async () => {
  const { caps } = await getTestDevice();
  for (const { caps: variant } of capsVariants(caps).slice(1)) {
    await check({ headCount: 3, kvHeadCount: 1, headDim: 32 }, 70, 23, { ...variant, isSoftware: true }, 12);
  }
});

test('a long context', async () => {
  const { caps } = await getTestDevice();
  await check({ headCount: 4, kvHeadCount: 1, headDim: 32 }, 540, 64, { ...caps, isSoftware: true });
});
