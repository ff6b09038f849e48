/** Causal attention of a chunk of tokens in float64: each token attends to every position up to its own. */
import { decodeAttentionReference } from '../attention-decode/attention-decode.reference.ts';
import type { AttentionShape } from '../rope-kv/kv-cache.ts';

/**
 * @param queries [tokens, headCount, headDim], rotated; token t stands at `position + t`. @param keys, values
 * [position + tokens, kvHeadCount, headDim], as the caches return them. @returns [tokens, headCount, headDim].
 */
export function prefillAttentionReference(
  queries: Float64Array,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  position: number,
  tokens: number,
  shape: AttentionShape,
): Float64Array {
  const row = shape.headCount * shape.headDim;
  const output = new Float64Array(tokens * row);
  for (let t = 0; t < tokens; t++) {
    const query = queries.subarray(t * row, (t + 1) * row);
    output.set(decodeAttentionReference(query, keys, values, position + t + 1, shape), t * row);
  }
  return output;
}
