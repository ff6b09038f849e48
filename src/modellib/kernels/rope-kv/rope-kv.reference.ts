/** Rotary position embedding and the KV cache write in float64, written for reading. */
import { float16ToNumber, numberToFloat16 } from '../../../base/float16.ts';
import type { Architecture } from '../../../models/model-description.ts';

export type RopeKvShape = Pick<Architecture, 'headCount' | 'kvHeadCount' | 'headDim' | 'ropeTheta'>;

/** The value that an f16 cache returns for `value`: clamped to ±65504, rounded to nearest. */
export function asStored(value: number): number {
  return float16ToNumber(numberToFloat16(Math.max(-65504, Math.min(65504, value))));
}

/** One head, `headDim` numbers, rotated to `position`: dims i and i + headDim/2 turn by position · theta^(-2i/headDim). */
export function rotateHead(head: ArrayLike<number>, position: number, ropeTheta: number): Float64Array {
  const headDim = head.length;
  const half = headDim / 2;
  const rotated = new Float64Array(headDim);
  for (let i = 0; i < half; i++) {
    const angle = position * ropeTheta ** ((-2 * i) / headDim);
    const [x, y] = [head[i]!, head[i + half]!];
    rotated[i] = x * Math.cos(angle) - y * Math.sin(angle);
    rotated[i + half] = y * Math.cos(angle) + x * Math.sin(angle);
  }
  return rotated;
}

/**
 * @param qkv [tokens, (headCount + 2 kvHeadCount) headDim].
 * @returns queries [tokens, headCount headDim]; keys and values [tokens, kvHeadCount headDim], as f16 stores them.
 */
export function ropeKvReference(
  qkv: ArrayLike<number>,
  position: number,
  tokens: number,
  { headCount, kvHeadCount, headDim, ropeTheta }: RopeKvShape,
): { queries: Float64Array; keys: Float64Array; values: Float64Array } {
  const row = (headCount + 2 * kvHeadCount) * headDim;
  const queries = new Float64Array(tokens * headCount * headDim);
  const keys = new Float64Array(tokens * kvHeadCount * headDim);
  const values = new Float64Array(tokens * kvHeadCount * headDim);
  for (let t = 0; t < tokens; t++) {
    const head = (index: number) =>
      Array.from({ length: headDim }, (_, i) => qkv[t * row + index * headDim + i]!);
    for (let h = 0; h < headCount; h++) {
      queries.set(rotateHead(head(h), position + t, ropeTheta), (t * headCount + h) * headDim);
    }
    for (let h = 0; h < kvHeadCount; h++) {
      const key = rotateHead(head(headCount + h), position + t, ropeTheta);
      keys.set(key.map(asStored), (t * kvHeadCount + h) * headDim);
      values.set(head(headCount + kvHeadCount + h).map(asStored), (t * kvHeadCount + h) * headDim);
    }
  }
  return { queries, keys, values };
}
