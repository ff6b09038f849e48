/** WGSL of rotary position embedding and the KV cache write. */
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { type AttentionShape, KEY_RUN_DIMS, PAGE_POSITIONS } from './kv-cache.ts';

export const ROPE_KV_WORKGROUP = 64;

/** Positions that one entry of the table's upper level stands for. */
export const ROPE_LOW_POSITIONS = 256;

/** Work items of one token: each takes a run of 8 dims and the run headDim/2 beyond it. */
export function ropeKvItemsPerToken({ headCount, kvHeadCount, headDim }: AttentionShape): number {
  return (headCount + 2 * kvHeadCount) * (headDim / (2 * KEY_RUN_DIMS));
}

export function ropeKvKernel(shape: AttentionShape): KernelSource {
  const { headCount, kvHeadCount, headDim } = shape;
  const heads = headCount + 2 * kvHeadCount;
  return createKernel({
    label: `rope_kv_h${headCount}_kv${kvHeadCount}_d${headDim}`,
    header: [
      'rope_kv: rotates queries and keys by their position (rotate-half: dims i and i + D/2), stores keys and values',
      'qkv (T, H + 2 KV, D) f32: query rows are rotated in place. keys, values: f16 caches, laid out as kv-cache.ts says',
      'table: cos then sin, D/2 f32 each, of positions 0..255, then of 0, 256, 512, ...; the angle sums are formed here,',
      'because sin and cos of a GPU are not accurate at angles of 1e5.',
      `params: H ${headCount}, KV ${kvHeadCount}, D ${headDim}. One invocation: 8 + 8 dims of one head. Shared: none.`,
      'Needs: none. Tolerance vs reference: 1e-6 for queries, 1 f16 ulp for keys and values (the device may round down).',
      'Source: https://arxiv.org/abs/2104.09864',
    ],
    bindings: [
      { name: 'qkv', type: 'array<vec4<f32>>', access: 'read_write' },
      { name: 'table', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'keys', type: 'array<vec4<u32>>', access: 'read_write' },
      { name: 'values', type: 'array<vec4<u32>>', access: 'read_write' },
    ],
    uniforms: ['tokens', 'position'],
    workgroupSize: ROPE_KV_WORKGROUP,
    declarations: [
      `const HEADS = ${headCount}u;
const KV_HEADS = ${kvHeadCount}u;
const ALL_HEADS = ${heads}u;
const HALF_QUADS = ${headDim / 8}u;      // vec4s in half a head
const RUNS = ${headDim / KEY_RUN_DIMS}u;            // runs of 8 dims in a head
const PAGE = ${PAGE_POSITIONS}u;
const LOW_POSITIONS = ${ROPE_LOW_POSITIONS}u;

// f16 has no room beyond this; an infinity in the cache would turn every later answer into NaN.
fn pack_pair(a: f32, b: f32) -> u32 {
  return pack2x16float(clamp(vec2<f32>(a, b), vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}
fn pack_run(a: vec4<f32>, b: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack_pair(a.x, a.y), pack_pair(a.z, a.w), pack_pair(b.x, b.y), pack_pair(b.z, b.w));
}`,
    ],
    body: `
  let item = group * ${ROPE_KV_WORKGROUP}u + lane;
  let run = item % (RUNS / 2u);
  let head = (item / (RUNS / 2u)) % ALL_HEADS;
  let token = item / (RUNS / 2u * ALL_HEADS);
  if (token >= u32(uniforms.tokens)) { return; }
  let position = u32(uniforms.position) + token;
  let base = (token * ALL_HEADS + head) * 2u * HALF_QUADS + 2u * run;
  var lower = array<vec4<f32>, 2>(qkv[base], qkv[base + 1u]);
  var upper = array<vec4<f32>, 2>(qkv[base + HALF_QUADS], qkv[base + HALF_QUADS + 1u]);

  if (head < HEADS + KV_HEADS) {
    let low = (position % LOW_POSITIONS) * 2u * HALF_QUADS + 2u * run;
    let high = (LOW_POSITIONS + position / LOW_POSITIONS) * 2u * HALF_QUADS + 2u * run;
    for (var i = 0u; i < 2u; i++) {
      let low_cos = table[low + i];
      let low_sin = table[low + HALF_QUADS + i];
      let high_cos = table[high + i];
      let high_sin = table[high + HALF_QUADS + i];
      let cosine = high_cos * low_cos - high_sin * low_sin;
      let sine = high_sin * low_cos + high_cos * low_sin;
      let x = lower[i];
      let y = upper[i];
      lower[i] = x * cosine - y * sine;
      upper[i] = y * cosine + x * sine;
    }
  }
  if (head < HEADS) {
    qkv[base] = lower[0];
    qkv[base + 1u] = lower[1];
    qkv[base + HALF_QUADS] = upper[0];
    qkv[base + HALF_QUADS + 1u] = upper[1];
    return;
  }
  let page = position / PAGE;
  let slot = position % PAGE;
  if (head < HEADS + KV_HEADS) {
    let key = ((page * KV_HEADS + head - HEADS) * RUNS + run) * PAGE + slot;
    keys[key] = pack_run(lower[0], lower[1]);
    keys[key + RUNS / 2u * PAGE] = pack_run(upper[0], upper[1]);
  } else {
    let value = ((page * KV_HEADS + head - HEADS - KV_HEADS) * PAGE + slot) * RUNS + run;
    values[value] = pack_run(lower[0], lower[1]);
    values[value + RUNS / 2u] = pack_run(upper[0], upper[1]);
  }`,
    f16: false,
    subgroups: false,
  });
}
