import { describe, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { capsVariants, getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { createAttentionCase } from '../../../../tests/tools/attention-case.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { planned } from '../../library-spec.ts';
import type { AttentionShape } from '../rope-kv/kv-cache.ts';
import { decodeAttentionPartialBytes, planDecodeAttention } from './attention-decode.plan.ts';
import { decodeAttentionReference } from './attention-decode.reference.ts';

async function check(shape: AttentionShape, length: number, caps: GpuCaps, sharpness: number) {
  const { device } = await getTestDevice();
  const input = createAttentionCase(shape, length - 1, 1, { sharpness });
  const steps = planDecodeAttention(
    {
      qkv: planned('qkv'),
      keyCache: planned('k'),
      valueCache: planned('v'),
      partials: planned('partials'),
      output: planned('output'),
      architecture: input.architecture,
      contextLength: length,
    },
    caps,
  );
  const result = await runSteps(device, steps, {
    buffers: {
      'planned:qkv': input.qkv,
      'planned:k': input.keyCache,
      'planned:v': input.valueCache,
      'planned:partials': { byteLength: decodeAttentionPartialBytes(shape, length) },
      'planned:output': { byteLength: shape.headCount * shape.headDim * 4 },
    },
    variables: { tokens: 1, position: length - 1, length },
    read: ['planned:output'],
  });
  expectClose(
    new Float32Array(result['planned:output']!),
    decodeAttentionReference(input.queries, input.keys, input.values, length, shape),
    1e-5,
    `length ${length}`,
  );
}

const lengths = [1, 2, 63, 64, 65, 128, 129, 256, 257, 601];

// Kernels for real GPUs: groups of one round of sums, and Mistral's; below every variant, and a group cut in parts. They
// take software drivers seconds to compile, so the other shapes are tested with the kernels for software only.
describe.each([
  { headCount: 10, kvHeadCount: 2, headDim: 16 },
  { headCount: 8, kvHeadCount: 2, headDim: 128 },
])('$headCount/$kvHeadCount heads of $headDim', (shape) => {
  test('at every boundary of pages and splits', async () => {
    const { caps } = await getTestDevice();
    for (const length of lengths) await check(shape, length, caps, 3);
  });
});

describe.each([
  { headCount: 4, kvHeadCount: 4, headDim: 16 },
  { headCount: 6, kvHeadCount: 2, headDim: 32 },
  { headCount: 9, kvHeadCount: 3, headDim: 64 },
  { headCount: 9, kvHeadCount: 1, headDim: 96 },
  { headCount: 2, kvHeadCount: 1, headDim: 256 },
])('$headCount/$kvHeadCount heads of $headDim, as software runs them', (shape) => {
  test('at every boundary of pages and splits', async () => {
    const { caps } = await getTestDevice();
    for (const length of lengths) await check(shape, length, { ...caps, isSoftware: true }, 3);
  });
});

test('every variant, with scores that a few keys dominate', async () => {
  const { caps } = await getTestDevice();
  for (const { caps: variant } of capsVariants(caps).slice(1)) {
    for (const length of [1, 65, 300]) {
      await check({ headCount: 2, kvHeadCount: 2, headDim: 16 }, length, variant, 12);
    }
  }
});

test('a group too large for one workgroup', async () => {
  const { caps } = await getTestDevice();
  // 34 heads are two times 17, a prime: one head to a workgroup.
  await check({ headCount: 34, kvHeadCount: 1, headDim: 16 }, 130, caps, 3);
});
