/**
 * How keys and values lie in their caches: one buffer of keys and one of values per layer, f16, in pages of 64
 * positions, so that the first n positions are a prefix of the buffer and a kernel needs no context length.
 *
 *   keys   [page][kv head][headDim / 8][64 positions][8 dims]   threads of neighbouring positions read 16 bytes each
 *   values [page][kv head][64 positions][headDim]               threads of neighbouring dims read one row
 *
 * An f16 pair is one u32 word, the lower dim in the low half: the bytes of an array of vec2<f16>.
 */
import { TramontaneError } from '../../../base/errors.ts';
import type { Architecture } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';

/** Positions in a page. */
export const PAGE_POSITIONS = 64;

/** Dims of a key that lie together, one vec4<u32>. */
export const KEY_RUN_DIMS = 8;

export type AttentionShape = Pick<Architecture, 'headCount' | 'kvHeadCount' | 'headDim'>;

/** For people: `32 heads, 8 kv, 128 wide`. */
export function attentionShapeLabel({ headCount, kvHeadCount, headDim }: AttentionShape): string {
  return `${headCount} heads, ${kvHeadCount} kv, ${headDim} wide`;
}

/** Bytes of one position in the key and the value cache of a layer. */
export function kvBytesPerPosition({ kvHeadCount, headDim }: AttentionShape): number {
  return kvHeadCount * headDim * 4;
}

/** Bytes of one layer's key cache and value cache for `contextLength` positions, rounded up to whole pages. */
export function kvCacheByteLength(
  { kvHeadCount, headDim }: AttentionShape,
  contextLength: number,
): { key: number; value: number } {
  const positions = Math.ceil(contextLength / PAGE_POSITIONS) * PAGE_POSITIONS;
  const byteLength = positions * kvHeadCount * headDim * 2;
  return { key: byteLength, value: byteLength };
}

/** Index, in f16 elements, of one dim of one key. */
export function keyCacheIndex(shape: AttentionShape, position: number, kvHead: number, dim: number): number {
  const page = Math.floor(position / PAGE_POSITIONS);
  const run = Math.floor(dim / KEY_RUN_DIMS);
  const runs = shape.headDim / KEY_RUN_DIMS;
  return (
    (((page * shape.kvHeadCount + kvHead) * runs + run) * PAGE_POSITIONS + (position % PAGE_POSITIONS)) *
      KEY_RUN_DIMS +
    (dim % KEY_RUN_DIMS)
  );
}

/** Index, in f16 elements, of one dim of one value. */
export function valueCacheIndex(
  shape: AttentionShape,
  position: number,
  kvHead: number,
  dim: number,
): number {
  const page = Math.floor(position / PAGE_POSITIONS);
  return (
    ((page * shape.kvHeadCount + kvHead) * PAGE_POSITIONS + (position % PAGE_POSITIONS)) * shape.headDim + dim
  );
}

/**
 * WGSL: `unpack_dims(vec2<u32>) -> vec4<f32>`, four f16 of a cache as f32. With shader-f16 a reinterpretation, without
 * it the built-in that WebGPU has on every device.
 */
export function unpackDimsWgsl(shaderF16: boolean): string {
  const body = shaderF16
    ? 'return vec4<f32>(bitcast<vec4<f16>>(words));'
    : 'return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));';
  return `fn unpack_dims(words: vec2<u32>) -> vec4<f32> { ${body} }`;
}

/** Largest headDim with attention kernels: beyond it a tile of keys does not fit workgroup memory. */
const MAX_HEAD_DIM = 256;

/**
 * @throws TramontaneError `architecture-unsupported` for head shapes without a kernel, `adapter-limits` where a cache
 * of `contextLength` positions is more than the device binds.
 */
export function requireAttentionShape(shape: AttentionShape, contextLength: number, caps: GpuCaps): void {
  const { headCount, kvHeadCount, headDim } = shape;
  if (!Number.isInteger(headDim) || headDim < 16 || headDim > MAX_HEAD_DIM || headDim % 16 !== 0) {
    throw new TramontaneError(
      'architecture-unsupported',
      `The model's heads are ${headDim} wide; attention kernels exist for multiples of 16 up to ${MAX_HEAD_DIM}.`,
      { nextStep: 'Choose another model.', data: { headDim } },
    );
  }
  if (!(kvHeadCount >= 1) || !Number.isInteger(headCount / kvHeadCount) || headCount < 1) {
    throw new TramontaneError(
      'architecture-unsupported',
      `The model has ${headCount} query heads for ${kvHeadCount} key/value heads; they must divide evenly.`,
      { nextStep: 'Choose another model.', data: { headCount, kvHeadCount } },
    );
  }
  const { key } = kvCacheByteLength(shape, contextLength);
  if (key > caps.maxStorageBindingBytes) {
    throw new TramontaneError(
      'adapter-limits',
      `The keys of one layer take ${key} bytes at a context of ${contextLength} tokens; ` +
        `this GPU binds at most ${caps.maxStorageBindingBytes} bytes at once.`,
      {
        nextStep: 'Choose a shorter context.',
        data: { needed: key, limit: caps.maxStorageBindingBytes, contextLength },
      },
    );
  }
}
