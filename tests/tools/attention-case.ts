/** Inputs of the attention tests: queries, and keys and values both as numbers and as the bytes of their caches. */
import { float16ToNumber, numberToFloat16 } from '../../src/base/float16.ts';
import {
  type AttentionShape,
  keyCacheIndex,
  kvCacheByteLength,
  valueCacheIndex,
} from '../../src/modellib/kernels/rope-kv/kv-cache.ts';
import type { Architecture } from '../../src/models/model-description.ts';
import { createRandom } from './random.ts';

export interface AttentionCase {
  architecture: Architecture;
  /** f32 [tokens, (headCount + 2 kvHeadCount) headDim]: query rows; the key and value rows hold what must not matter. */
  qkv: Float32Array;
  /** [tokens, headCount, headDim]. */
  queries: Float64Array;
  /** [length, kvHeadCount, headDim], as f16 stores them. */
  keys: Float64Array;
  values: Float64Array;
  keyCache: Uint16Array;
  /** As the key cache; beyond `length` both hold a NaN, which a kernel must not let through. */
  valueCache: Uint16Array;
}

export function attentionArchitecture(shape: AttentionShape): Architecture {
  return {
    hiddenSize: 160,
    layerCount: 1,
    ...shape,
    intermediateSize: 256,
    vocabularySize: 512,
    rmsNormEpsilon: 1e-5,
    ropeTheta: 1e6,
    tiedEmbeddings: false,
    maxContextLength: 32768,
  };
}

/** `sharpness` scales the queries: 1 gives an almost even distribution, 8 one that a few keys dominate. */
export function createAttentionCase(
  shape: AttentionShape,
  position: number,
  tokens: number,
  options: { seed?: number; sharpness?: number } = {},
): AttentionCase {
  const { headCount, kvHeadCount, headDim } = shape;
  const random = createRandom(options.seed ?? position * 31 + tokens);
  const length = position + tokens;
  const number = () => 2 * random() - 1;
  const row = (headCount + 2 * kvHeadCount) * headDim;
  const qkv = Float32Array.from({ length: tokens * row }, () => number() * (options.sharpness ?? 3));
  const queries = new Float64Array(tokens * headCount * headDim);
  for (let t = 0; t < tokens; t++) {
    queries.set(qkv.subarray(t * row, t * row + headCount * headDim), t * headCount * headDim);
  }
  const stored = (index: typeof keyCacheIndex, byteLength: number) => {
    const numbers = new Float64Array(length * kvHeadCount * headDim);
    const cache = new Uint16Array(byteLength / 2).fill(0x7e00);
    for (let p = 0; p < length; p++) {
      for (let head = 0; head < kvHeadCount; head++) {
        for (let d = 0; d < headDim; d++) {
          const bits = numberToFloat16(number());
          cache[index(shape, p, head, d)] = bits;
          numbers[(p * kvHeadCount + head) * headDim + d] = float16ToNumber(bits);
        }
      }
    }
    return { numbers, cache };
  };
  const bytes = kvCacheByteLength(shape, length);
  const key = stored(keyCacheIndex, bytes.key);
  const value = stored(valueCacheIndex, bytes.value);
  return {
    architecture: attentionArchitecture(shape),
    qkv,
    queries,
    keys: key.numbers,
    values: value.numbers,
    keyCache: key.cache,
    valueCache: value.cache,
  };
}
