/** Attention of one token in float64, written for reading. */
import type { AttentionShape } from '../rope-kv/kv-cache.ts';

/**
 * softmax(q kᵀ / sqrt(headDim)) v for each query head; query head h uses key/value head floor(h / group).
 *
 * @param queries [headCount, headDim], rotated. @param keys, values [at least length, kvHeadCount, headDim], as the
 * caches return them. @returns [headCount, headDim].
 */
export function decodeAttentionReference(
  queries: ArrayLike<number>,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  length: number,
  { headCount, kvHeadCount, headDim }: AttentionShape,
): Float64Array {
  const output = new Float64Array(headCount * headDim);
  const group = headCount / kvHeadCount;
  for (let head = 0; head < headCount; head++) {
    const kvHead = Math.floor(head / group);
    const at = (position: number, d: number) => (position * kvHeadCount + kvHead) * headDim + d;
    const scores = new Float64Array(length);
    for (let position = 0; position < length; position++) {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += queries[head * headDim + d]! * keys[at(position, d)]!;
      scores[position] = dot / Math.sqrt(headDim);
    }
    const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((a, b) => a + b, 0);
    for (let position = 0; position < length; position++) {
      for (let d = 0; d < headDim; d++) {
        output[head * headDim + d]! += (weights[position]! / total) * values[at(position, d)]!;
      }
    }
  }
  return output;
}
