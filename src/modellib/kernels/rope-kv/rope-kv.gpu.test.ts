import { expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { createRandom } from '../../../../tests/tools/random.ts';
import { float16ToNumber } from '../../../base/float16.ts';
import { planned } from '../../library-spec.ts';
import { keyCacheIndex, kvCacheByteLength, valueCacheIndex } from './kv-cache.ts';
import { planRopeKv, ropeTable } from './rope-kv.plan.ts';
import { ropeKvReference } from './rope-kv.reference.ts';

const architecture = (headCount: number, kvHeadCount: number, headDim: number, ropeTheta: number) => ({
  hiddenSize: 96,
  layerCount: 1,
  headCount,
  kvHeadCount,
  headDim,
  intermediateSize: 128,
  vocabularySize: 512,
  rmsNormEpsilon: 1e-5,
  ropeTheta,
  tiedEmbeddings: false,
  maxContextLength: 131072,
});
const small = architecture(4, 1, 16, 1e4);
const shapes = [
  architecture(3, 3, 32, 1e4),
  architecture(9, 3, 64, 1e5),
  architecture(4, 2, 96, 1e6),
  architecture(32, 8, 128, 1e8),
  architecture(4, 1, 128, 1e9),
];

const cases = [
  ...[1, 2, 63, 64, 65].flatMap((tokens) =>
    [0, 1, 63, 64, 255, 256, 257].map((position) => ({ shape: small, position, tokens })),
  ),
  ...shapes.flatMap((shape) => [
    { shape, position: 0, tokens: 1 },
    { shape, position: 250, tokens: 17 },
    { shape, position: shape.kvHeadCount === 8 ? 32767 : 131071, tokens: 1 },
  ]),
].map((c) => ({ ...c, heads: `${c.shape.headCount}/${c.shape.kvHeadCount} heads of ${c.shape.headDim}` }));

test.each(cases)('$heads: $tokens tokens at position $position', async ({ shape, position, tokens }) => {
  const { device, caps } = await getTestDevice();
  const { headCount, kvHeadCount, headDim } = shape;
  // The cache is as long as the case needs; position 131071 alone has a whole model's context.
  const contextLength = position + tokens;
  const random = createRandom(position * 1000 + tokens);
  const row = (headCount + 2 * kvHeadCount) * headDim;
  const qkv = Float32Array.from({ length: tokens * row }, () => 8 * (random() - 0.5));
  // One key and one value beyond f16.
  qkv[headCount * headDim] = 1e6;
  qkv[(headCount + kvHeadCount) * headDim] = -1e6;
  const bytes = kvCacheByteLength(shape, contextLength);
  const steps = planRopeKv(
    {
      qkv: planned('qkv'),
      ropeTable: planned('rope'),
      keyCache: planned('k'),
      valueCache: planned('v'),
      architecture: shape,
      contextLength,
    },
    caps,
  );
  const result = await runSteps(device, steps, {
    buffers: {
      'planned:qkv': qkv,
      'planned:rope': ropeTable(shape, contextLength),
      'planned:k': { byteLength: bytes.key },
      'planned:v': { byteLength: bytes.value },
    },
    variables: { tokens, position, length: position + tokens },
    read: ['planned:qkv', 'planned:k', 'planned:v'],
  });
  const expected = ropeKvReference(qkv, position, tokens, shape);

  const rotated = new Float32Array(result['planned:qkv']!);
  const queries = Array.from({ length: tokens * headCount * headDim }, (_, i) => {
    const t = Math.floor(i / (headCount * headDim));
    return rotated[t * row + (i % (headCount * headDim))]!;
  });
  expectClose(queries, expected.queries, 1e-6, 'queries');

  const stored = (name: string, index: typeof keyCacheIndex) => {
    const halves = new Uint16Array(result[name]!);
    return Array.from({ length: tokens * kvHeadCount * headDim }, (_, i) => {
      const [t, rest] = [Math.floor(i / (kvHeadCount * headDim)), i % (kvHeadCount * headDim)];
      return float16ToNumber(halves[index(shape, position + t, Math.floor(rest / headDim), rest % headDim)]!);
    });
  };
  const keys = stored('planned:k', keyCacheIndex);
  const values = stored('planned:v', valueCacheIndex);
  for (const [name, actual, wanted] of [
    ['key', keys, expected.keys],
    ['value', values, expected.values],
  ] as const) {
    for (const [i, value] of actual.entries()) {
      // One f16 ulp, plus the f32 rounding of the rotation where the key beyond f16 takes part.
      const ulp = Math.max(2 ** -24, Math.abs(wanted[i]!) * 2 ** -10);
      if (!(Math.abs(value - wanted[i]!) <= ulp + 0.1 * Number(i < headDim && name === 'key'))) {
        throw new Error(`${name} ${i}: expected ${wanted[i]}, got ${value}`);
      }
    }
  }
  expect(values[0]).toBe(-65504);
  // Nothing is written before the position.
  if (position > 0) {
    expect(new Uint16Array(result['planned:k']!)[keyCacheIndex(shape, position - 1, 0, 0)]).toBe(0);
  }
});
