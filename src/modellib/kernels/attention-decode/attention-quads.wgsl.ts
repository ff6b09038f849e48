/**
 * WGSL of attention for one token on processors that pose as GPUs (SwiftShader, lavapipe): no workgroup memory and no
 * barriers, both of which such drivers act out lane by lane. One kernel writes all scores, one sums the values; lanes of
 * a quad load different data and share it by broadcast.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { type AttentionShape, KEY_RUN_DIMS, PAGE_POSITIONS, unpackDimsWgsl } from '../rope-kv/kv-cache.ts';

/** Positions of a workgroup of attention_scores: one for each invocation. */
export const SCORE_POSITIONS = 16;
/** Runs of 8 dims of a workgroup of attention_values: one for each invocation. */
export const VALUE_RUNS = 8;

/** Most query heads of an invocation: it keeps 8 dims of each. */
const MAX_HEADS = 8;

/** Query heads that share a workgroup, all of one key/value head. */
export function headsPerQuad({ headCount, kvHeadCount }: AttentionShape): number {
  const group = headCount / kvHeadCount;
  let heads = Math.min(group, MAX_HEADS);
  while (group % heads !== 0) heads--;
  return heads;
}

const times = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

function constants(shape: AttentionShape): string {
  const { headCount, kvHeadCount, headDim } = shape;
  return `const KV_HEADS = ${kvHeadCount}u;
const HEADS = ${headsPerQuad(shape)}u;             // query heads of this workgroup
const GROUP = ${headCount / kvHeadCount}u;             // query heads of a key/value head
const RUNS = ${headDim / KEY_RUN_DIMS}u;              // runs of 8 dims in a head
const PAGE = ${PAGE_POSITIONS}u;`;
}

/** Bindings: qkv, keys, scores. Uniforms: length. Grid: positions, workgroups of heads. */
export function attentionScoresKernel(shape: AttentionShape, { shaderF16 }: GpuCaps): KernelSource {
  const { headCount, kvHeadCount, headDim } = shape;
  const heads = headsPerQuad(shape);
  return createKernel({
    label: `attention_scores_h${headCount}_kv${kvHeadCount}_d${headDim}${shaderF16 ? '_f16' : ''}`,
    header: [
      'attention_scores: scores[h, p] = log2(e) / sqrt(D) q[h] . k[p]',
      'qkv (H + 2 KV, D) f32: the query rows are read; keys: f16 cache, laid out as kv-cache.ts says; scores (H, length) f32',
      `params: H ${headCount}, KV ${kvHeadCount}, D ${headDim}. Workgroup: ${SCORE_POSITIONS} positions, ${heads} heads. Shared: 0 bytes.`,
      `Needs: ${shaderF16 ? 'shader-f16, ' : ''}subgroups of any size (quads). Tolerance vs reference: see attention_values.`,
    ],
    bindings: [
      { name: 'qkv', type: 'array<vec2<f32>>', access: 'read' },
      { name: 'keys', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'scores', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: ['length'],
    workgroupSize: SCORE_POSITIONS,
    declarations: [
      `${constants(shape)}
const SCALE = ${(Math.LOG2E / Math.sqrt(headDim)).toPrecision(9)};   // log2(e) / sqrt(D): powers of two are cheaper

${unpackDimsWgsl(shaderF16)}`,
    ],
    body: `
  let first_head = workgroup.y * HEADS;
  let kv_head = first_head / GROUP;
  let quad_lane = subgroup_lane & 3u;
  let length = u32(uniforms.length);
  let own = group * ${SCORE_POSITIONS}u + lane;
  let position = min(own, length - 1u);
  let base = (position / PAGE * KV_HEADS + kv_head) * RUNS * PAGE + position % PAGE;
${times(heads, (h) => `  var score${h} = 0.0;`)}
  for (var run = 0u; run < RUNS * min(uniforms.packGridDimX, 1u); run++) {   // not to be unrolled
    let words = keys[base + run * PAGE];
    let a = unpack_dims(words.xy);
    let b = unpack_dims(words.zw);
    // Two of the run's eight dims are this lane's to load.
    let query = first_head * RUNS * 4u + run * 4u + quad_lane;
${times(
  heads,
  (h) => `    let q${h} = qkv[query + ${h}u * RUNS * 4u];
    score${h} += dot(vec4<f32>(quadBroadcast(q${h}, 0u), quadBroadcast(q${h}, 1u)), a) + dot(vec4<f32>(quadBroadcast(q${h}, 2u), quadBroadcast(q${h}, 3u)), b);`,
)}
  }
  if (own < length) {
    let at = first_head * length + own;
${times(heads, (h) => `    scores[at + ${h}u * length] = score${h} * SCALE;`)}
  }`,
    f16: shaderF16,
    subgroups: true,
  });
}

/** Bindings: scores, values, output. Uniforms: length. Grid: runs of dims, workgroups of heads. */
export function attentionValuesKernel(shape: AttentionShape, { shaderF16 }: GpuCaps): KernelSource {
  const { headCount, kvHeadCount, headDim } = shape;
  const heads = headsPerQuad(shape);
  const quadSum = (name: string) => [0, 1, 2, 3].map((i) => `quadBroadcast(${name}, ${i}u)`).join(' + ');
  return createKernel({
    label: `attention_values_h${headCount}_kv${kvHeadCount}_d${headDim}${shaderF16 ? '_f16' : ''}`,
    header: [
      'attention_values: out[h] = sum_p 2^(s[h, p] - m) v[p] / sum_p 2^(s[h, p] - m), m the largest of s[h]',
      'scores (H, length) f32: s; values: f16 cache, laid out as kv-cache.ts says; out (H, D) f32',
      `params: H ${headCount}, KV ${kvHeadCount}, D ${headDim}. Workgroup: ${VALUE_RUNS} runs of 8 dims, ${heads} heads. Shared: 0 bytes.`,
      `Needs: ${shaderF16 ? 'shader-f16, ' : ''}subgroups of any size (quads). Tolerance vs reference: 1e-5 (f32 sums over the context).`,
    ],
    bindings: [
      { name: 'scores', type: 'array<f32>', access: 'read' },
      { name: 'values', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'output', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: ['length'],
    workgroupSize: VALUE_RUNS,
    declarations: [
      `${constants(shape)}
const LEAST = -1e30;

${unpackDimsWgsl(shaderF16)}`,
    ],
    body: `
  let first_head = workgroup.y * HEADS;
  let kv_head = first_head / GROUP;
  let quad_lane = subgroup_lane & 3u;
  let length = u32(uniforms.length);
  let own_run = group * ${VALUE_RUNS}u + lane;
  let run = min(own_run, RUNS - 1u);

  // The largest scores: each lane of a quad looks at every fourth position.
${times(heads, (h) => `  var own_maximum${h} = LEAST;`)}
  for (var start = 0u; start < length; start += 4u) {
    let at = first_head * length + min(start + quad_lane, length - 1u);
${times(heads, (h) => `    own_maximum${h} = max(own_maximum${h}, scores[at + ${h}u * length]);`)}
  }
${times(
  heads,
  (h) =>
    `  let maximum${h} = max(max(quadBroadcast(own_maximum${h}, 0u), quadBroadcast(own_maximum${h}, 1u)), max(quadBroadcast(own_maximum${h}, 2u), quadBroadcast(own_maximum${h}, 3u)));`,
)}

  // Each lane takes the power of one of four positions, and 8 dims of the values of all four.
${times(heads, (h) => `  var weight${h} = 0.0; var low${h} = vec4<f32>(0.0); var high${h} = vec4<f32>(0.0);`)}
  for (var start = 0u; start < length; start += 4u) {
    let position = start + quad_lane;
    let at = first_head * length + min(position, length - 1u);
${times(
  heads,
  (h) => `    let power${h} = select(0.0, exp2(scores[at + ${h}u * length] - maximum${h}), position < length);
    weight${h} += power${h};`,
)}
${times(4, (i) => {
  const sums = Array.from(
    { length: heads },
    (_, h) => `let w${h} = quadBroadcast(power${h}, ${i}u); low${h} += w${h} * a; high${h} += w${h} * b;`,
  );
  return `    {
      // Beyond the context a power is 0 and its value one that exists.
      let row = min(start + ${i}u, length - 1u);
      let words = values[((row / PAGE * KV_HEADS + kv_head) * PAGE + row % PAGE) * RUNS + run];
      let a = unpack_dims(words.xy);
      let b = unpack_dims(words.zw);
      ${sums.join('\n      ')}
    }`;
})}
  }
${times(heads, (h) => `  let total${h} = ${quadSum(`weight${h}`)};`)}
  if (own_run < RUNS) {
${times(
  heads,
  (h) => `    let to${h} = ((first_head + ${h}u) * RUNS + run) * 2u;
    output[to${h}] = low${h} / total${h};
    output[to${h} + 1u] = high${h} / total${h};`,
)}
  }`,
    f16: shaderF16,
    subgroups: true,
  });
}
