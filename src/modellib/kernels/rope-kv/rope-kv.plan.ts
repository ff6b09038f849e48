/** Rotary position embedding of queries and keys, and the write of keys and values into their caches. */
import type { Architecture } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, dim, type Step } from '../../library-spec.ts';
import { attentionShapeLabel, requireAttentionShape } from './kv-cache.ts';
import { ROPE_KV_WORKGROUP, ROPE_LOW_POSITIONS, ropeKvItemsPerToken, ropeKvKernel } from './rope-kv.wgsl.ts';

export { kvCacheByteLength } from './kv-cache.ts';

/**
 * Cosines and sines of every angle that the kernel combines, computed in float64 and stored as f32. Position
 * 256 high + low has angle(256 high) + angle(low), so 256 + ceil(contextLength / 256) entries serve the whole context:
 * first those of low 0..255, then those of high 0, 1, 2…; each entry is headDim/2 cosines, then headDim/2 sines.
 */
export function ropeTable(
  { headDim, ropeTheta }: Pick<Architecture, 'headDim' | 'ropeTheta'>,
  contextLength: number,
): Uint8Array {
  const half = headDim / 2;
  const highCount = Math.ceil(contextLength / ROPE_LOW_POSITIONS);
  const table = new Float32Array((ROPE_LOW_POSITIONS + highCount) * headDim);
  for (let entry = 0; entry < ROPE_LOW_POSITIONS + highCount; entry++) {
    const position = entry < ROPE_LOW_POSITIONS ? entry : (entry - ROPE_LOW_POSITIONS) * ROPE_LOW_POSITIONS;
    for (let i = 0; i < half; i++) {
      const angle = position * ropeTheta ** ((-2 * i) / headDim);
      table[entry * headDim + i] = Math.cos(angle);
      table[entry * headDim + half + i] = Math.sin(angle);
    }
  }
  return new Uint8Array(table.buffer);
}

export interface RopeKvOperands {
  /** f32 [tokens, (headCount + 2 kvHeadCount) headDim]: query rows, then key rows, then value rows of each token. */
  qkv: BufferRef;
  /** {@link ropeTable}. */
  ropeTable: BufferRef;
  keyCache: BufferRef;
  valueCache: BufferRef;
  architecture: Architecture;
  contextLength: number;
}

/**
 * One dispatch: rotates the query rows of `qkv` in place, and writes rotated keys, and values, as f16 at positions
 * `position .. position + tokens - 1` of the caches.
 *
 * @throws TramontaneError `architecture-unsupported`, `adapter-limits` (see {@link requireAttentionShape}).
 */
export function planRopeKv(operands: RopeKvOperands, caps: GpuCaps): Step[] {
  const { architecture } = operands;
  const { headCount, kvHeadCount, headDim } = architecture;
  requireAttentionShape(architecture, operands.contextLength, caps);
  return [
    {
      kernel: ropeKvKernel(architecture),
      buffers: [operands.qkv, operands.ropeTable, operands.keyCache, operands.valueCache],
      uniforms: [dim('tokens'), dim('position')],
      grid: [dim('tokens', ropeKvItemsPerToken(architecture), 0, ROPE_KV_WORKGROUP), dim('one')],
      work: {
        op: 'rope-kv',
        shape: attentionShapeLabel(architecture),
        formats: [],
        // Query rows are read and written, keys and values read as f32 and written as f16; a table entry of each level.
        bytes: [
          [dim('tokens'), (headCount * 8 + kvHeadCount * 12 + 4) * headDim],
          [constant(1), headDim * 4],
        ],
        flops: null,
      },
    },
  ];
}
