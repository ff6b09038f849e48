/**
 * The decoder in float64, written for reading: what every kernel and the whole model library are measured against.
 * No GPU, no tricks, nothing fused. It is itself measured against PyTorch (reference-model.test.ts).
 *
 * Dimensions: H hidden, Q heads × D, K = kvHeads × D, F feed-forward, V vocabulary. Matrices are [rows][columns] with
 * a row per output. Runs in Node and in browsers.
 */
import type { Architecture } from '../../src/models/model-description.ts';

export interface ReferenceLayer {
  /** [H] */
  attentionNorm: Float32Array;
  /** [heads * D][H], rows in Hugging Face's order (rotate-half RoPE). */
  query: Float32Array;
  /** [kvHeads * D][H] */
  key: Float32Array;
  /** [kvHeads * D][H] */
  value: Float32Array;
  /** [H][heads * D] */
  output: Float32Array;
  /** [H] */
  feedForwardNorm: Float32Array;
  /** [F][H] */
  gate: Float32Array;
  /** [F][H] */
  up: Float32Array;
  /** [H][F] */
  down: Float32Array;
}

/** A model's weights, dequantised. */
export interface ReferenceWeights {
  /** [V][H] */
  embedding: Float32Array;
  layers: readonly ReferenceLayer[];
  /** [H] */
  finalNorm: Float32Array;
  /** [V][H]; the embedding itself where the head is tied. */
  head: Float32Array;
}

export interface ReferenceOptions {
  /** Round K and V to f16 when they are stored, as the model library does. Default true. */
  roundKvToF16?: boolean;
}

/** Keys and values of all tokens so far. */
export interface ReferenceCache {
  /** Tokens in the cache. */
  length: number;
  /** Per layer and token: [kvHeads * D], keys after RoPE. */
  readonly keys: Float64Array[][];
  readonly values: Float64Array[][];
}

export interface ReferenceModel {
  createCache(): ReferenceCache;
  /** A copy of a cache, to continue one prompt in two ways. */
  copyCache(cache: ReferenceCache): ReferenceCache;
  /**
   * Runs `ids` after the tokens in `cache`, which grows by them.
   * @returns the logits after each of them, [ids.length][V]
   */
  forward(ids: readonly number[], cache: ReferenceCache): Float64Array[];
}

/** The f16 nearest to `value`, ties to even, as a number; beyond the range of f16, infinity. */
export function toF16(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude === 0 || !Number.isFinite(value)) return value;
  if (magnitude >= 65520) return Math.sign(value) * Number.POSITIVE_INFINITY;
  // Eleven significant bits; below 2^-14 the step stays 2^-24.
  let exponent = Math.floor(Math.log2(magnitude));
  if (2 ** exponent > magnitude) exponent--;
  if (2 ** (exponent + 1) <= magnitude) exponent++;
  const step = 2 ** (Math.max(exponent, -14) - 10);
  const steps = magnitude / step; // exact: a division by a power of two
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 === 1);
  return Math.sign(value) * (floor + (up ? 1 : 0)) * step;
}

/** y[r] = Σ_c matrix[r][c] * x[c] */
export function multiply(matrix: Float32Array, x: Float64Array): Float64Array {
  const columns = x.length;
  const y = new Float64Array(matrix.length / columns);
  for (let row = 0, at = 0; row < y.length; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++, at++) sum += matrix[at]! * x[column]!;
    y[row] = sum;
  }
  return y;
}

/** y[i] = x[i] / sqrt(mean(x²) + ε) * weight[i] */
export function rmsNorm(x: Float64Array, weight: Float32Array, epsilon: number): Float64Array {
  let squares = 0;
  for (const value of x) squares += value * value;
  const scale = 1 / Math.sqrt(squares / x.length + epsilon);
  return x.map((value, i) => value * scale * weight[i]!);
}

/** Rotates the pairs (i, i + D/2) of every head of `x` by position * theta^(-2i/D). In place. */
export function applyRope(x: Float64Array, headDim: number, theta: number, position: number): void {
  const half = headDim / 2;
  for (let head = 0; head < x.length; head += headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** ((-2 * i) / headDim);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [a, b] = [x[head + i]!, x[head + half + i]!];
      x[head + i] = a * cos - b * sin;
      x[head + half + i] = b * cos + a * sin;
    }
  }
}

/** In place. */
export function softmax(x: Float64Array): void {
  let max = Number.NEGATIVE_INFINITY;
  for (const value of x) max = Math.max(max, value);
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    x[i] = Math.exp(x[i]! - max);
    sum += x[i]!;
  }
  for (let i = 0; i < x.length; i++) x[i]! /= sum;
}

/** Attention of one token over all tokens in the cache; query heads h·g … h·g + g - 1 share key/value head h. */
export function attend(
  query: Float64Array,
  keys: readonly Float64Array[],
  values: readonly Float64Array[],
  { headCount, kvHeadCount, headDim }: Pick<Architecture, 'headCount' | 'kvHeadCount' | 'headDim'>,
): Float64Array {
  const result = new Float64Array(headCount * headDim);
  const weights = new Float64Array(keys.length);
  for (let head = 0; head < headCount; head++) {
    const at = head * headDim;
    const kvAt = Math.floor(head / (headCount / kvHeadCount)) * headDim;
    for (const [token, key] of keys.entries()) {
      let dot = 0;
      for (let i = 0; i < headDim; i++) dot += query[at + i]! * key[kvAt + i]!;
      weights[token] = dot / Math.sqrt(headDim);
    }
    softmax(weights);
    for (const [token, value] of values.entries()) {
      const weight = weights[token]!;
      for (let i = 0; i < headDim; i++) result[at + i]! += weight * value[kvAt + i]!;
    }
  }
  return result;
}

/** silu(gate) * up */
export function swiGlu(gate: Float64Array, up: Float64Array): Float64Array {
  return gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]!);
}

function add(target: Float64Array, summand: Float64Array): void {
  for (let i = 0; i < target.length; i++) target[i]! += summand[i]!;
}

export function createReferenceModel(
  architecture: Architecture,
  weights: ReferenceWeights,
  options: ReferenceOptions = {},
): ReferenceModel {
  const { hiddenSize, headDim, ropeTheta, rmsNormEpsilon, vocabularySize } = architecture;
  const stored = (options.roundKvToF16 ?? true) ? (x: Float64Array) => x.map(toF16) : (x: Float64Array) => x;

  function forwardLayer(x: Float64Array, index: number, position: number, cache: ReferenceCache): void {
    const layer = weights.layers[index]!;
    const keys = cache.keys[index]!;
    const values = cache.values[index]!;

    const attentionInput = rmsNorm(x, layer.attentionNorm, rmsNormEpsilon);
    const query = multiply(layer.query, attentionInput);
    const key = multiply(layer.key, attentionInput);
    applyRope(query, headDim, ropeTheta, position);
    applyRope(key, headDim, ropeTheta, position);
    keys.push(stored(key));
    values.push(stored(multiply(layer.value, attentionInput)));
    add(x, multiply(layer.output, attend(query, keys, values, architecture)));

    const feedForwardInput = rmsNorm(x, layer.feedForwardNorm, rmsNormEpsilon);
    const product = swiGlu(multiply(layer.gate, feedForwardInput), multiply(layer.up, feedForwardInput));
    add(x, multiply(layer.down, product));
  }

  return {
    createCache: () => ({
      length: 0,
      keys: weights.layers.map(() => []),
      values: weights.layers.map(() => []),
    }),
    copyCache: ({ length, keys, values }) => ({
      length,
      keys: keys.map((layer) => [...layer]),
      values: values.map((layer) => [...layer]),
    }),
    forward: (ids, cache) =>
      ids.map((id) => {
        if (!Number.isInteger(id) || id < 0 || id >= vocabularySize) throw new RangeError(`No token ${id}`);
        const x = Float64Array.from(weights.embedding.subarray(id * hiddenSize, (id + 1) * hiddenSize));
        for (let index = 0; index < weights.layers.length; index++) {
          forwardLayer(x, index, cache.length, cache);
        }
        cache.length++;
        return multiply(weights.head, rmsNorm(x, weights.finalNorm, rmsNormEpsilon));
      }),
  };
}

/** The id of the highest logit; the lowest such id where several are equal. */
export function argmax(logits: ArrayLike<number>): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/** max|Δ| / max|expected|: the error measure of the conformance tests. */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length)
    throw new RangeError(`${found.length} values, not ${expected.length}`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const delta = Math.abs(found[i]! - expected[i]!);
    if (!(delta <= difference)) difference = delta; // also takes NaN
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}
