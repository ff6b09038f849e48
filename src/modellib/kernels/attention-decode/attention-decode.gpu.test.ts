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

const shapes: AttentionShape[] = [
  { headCount: 4, kvHeadCount: 4, headDim: 16 },
  { headCount: 6, kvHeadCount: 2, headDim: 32 },
  { headCount: 9, kvHeadCount: 3, headDim: 64 },
  { headCount: 9, kvHeadCount: 1, headDim: 96 },
  { headCount: 8, kvHeadCount: 2, headDim: 128 },
];

describe.each(shapes)('$headCount/$kvHeadCount heads of $headDim', (shape) => {
  test('at every boundary of pages and splits', async () => {
    const { caps } = await getTestDevice();
    for (const length of [1, 2, 63, 64, 65, 127, 128, 129, 256, 257, 601])
      await check(shape, length, caps, 3);
  });

  test('in every variant', async () => {
    const { caps } = await getTestDevice();
    for (const variant of capsVariants(caps).slice(1)) {
      for (const length of [1, 65, 300]) await check(shape, length, variant.caps, 12);
    }
  });
});

test('a group too large for one workgroup, and the widest head', async () => {
  const { caps } = await getTestDevice();
  await check({ headCount: 20, kvHeadCount: 1, headDim: 16 }, 130, caps, 3);
  await check({ headCount: 4, kvHeadCount: 2, headDim: 256 }, 130, caps, 3);
});
