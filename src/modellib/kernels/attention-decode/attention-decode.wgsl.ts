/** WGSL of attention for one token: a kernel over parts of the context, and one that merges the parts. */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { type AttentionShape, KEY_RUN_DIMS, PAGE_POSITIONS, unpackDimsWgsl } from '../rope-kv/kv-cache.ts';
import { reduceArguments, workgroupReduceWgsl } from '../workgroup-reduce/workgroup-reduce.wgsl.ts';

/** Positions that one workgroup attends to: two pages of the cache. */
export const SPLIT_POSITIONS = 128;

/** Invocations of a workgroup: two a position. */
const SPLIT_WORKGROUP = 2 * SPLIT_POSITIONS;
const MERGE_WORKGROUP = 256;

/** Most query heads that one workgroup keeps scores and sums for, in registers. */
const MAX_HEADS = 12;

/** Invocations that look for the maximum of one head. */
const MAX_LANES = 16;

/** Query heads of one workgroup: the whole group of a key/value head unless that is too many for the registers. */
export function headsPerWorkgroup({ headCount, kvHeadCount }: AttentionShape): number {
  const group = headCount / kvHeadCount;
  let heads = Math.min(group, MAX_HEADS);
  while (group % heads !== 0) heads--;
  return heads;
}

/** Softmax is computed in powers of two: exp(x) = 2^(x log2 e), and log2 e goes into the scale of the queries. */
const LOG2_E = Math.LOG2E;

const times = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i));

export function attentionSplitKernel(shape: AttentionShape, caps: GpuCaps): KernelSource {
  const { headCount, kvHeadCount, headDim } = shape;
  const heads = headsPerWorkgroup(shape);
  const group = headCount / kvHeadCount;
  const quads = headDim / 4;
  const { shaderF16 } = caps;
  const stripes = Math.floor(SPLIT_WORKGROUP / quads);
  // Heads whose stripes are added up at a time: as many as workgroup memory has room for.
  const reduced = heads > 8 ? 2 : Math.min(heads, 4);
  const sharedBytes =
    (heads * (headDim + SPLIT_POSITIONS + MAX_LANES + 1) + reduced * (4 * SPLIT_WORKGROUP + stripes)) * 4;

  return createKernel({
    label: `attention_split_h${headCount}_kv${kvHeadCount}_d${headDim}${shaderF16 ? '_f16' : ''}`,
    header: [
      'attention_split: attention of one token to SPLIT positions, for all query heads of a key/value head',
      'qkv (H + 2 KV, D) f32: the query rows are read; keys, values: f16 caches, laid out as kv-cache.ts says',
      'partials (splits, H, D + 4) f32: sum of 2^(s - m) v over the split, then m, the sum of 2^(s - m), 0, 0;',
      '  s is the score times log2 e, m its maximum in the split',
      `params: H ${headCount}, KV ${kvHeadCount}, D ${headDim}, SPLIT ${SPLIT_POSITIONS}. Workgroup: a split and ${heads} heads.`,
      `Shared: ${sharedBytes} bytes.`,
      `Needs: ${shaderF16 ? 'shader-f16' : 'none'}. Tolerance vs reference: 1e-5 (f32 sums of 128 terms, then of the splits).`,
      'Source: https://arxiv.org/abs/2205.14135 (online softmax), split over keys as in Flash-Decoding',
    ],
    bindings: [
      { name: 'qkv', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'keys', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'values', type: 'array<vec2<u32>>', access: 'read' },
      { name: 'partials', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: ['length'],
    workgroupSize: SPLIT_WORKGROUP,
    declarations: [
      `const KV_HEADS = ${kvHeadCount}u;
const HEADS = ${heads}u;             // query heads of this workgroup
const GROUP = ${group}u;             // query heads of a key/value head
const QUADS = ${quads}u;             // vec4s in a head
const RUNS = ${headDim / KEY_RUN_DIMS}u;              // runs of 8 dims in a key
const PAGE = ${PAGE_POSITIONS}u;
const SPLIT = ${SPLIT_POSITIONS}u;
const STRIPES = ${stripes}u;           // positions whose values are read at a time
const SCALE = ${(LOG2_E / Math.sqrt(headDim)).toPrecision(9)};   // log2(e) / sqrt(D)
const LEAST = -1e30;
const MAX_LANES = ${MAX_LANES}u;       // invocations that look for one head's maximum

var<workgroup> query: array<vec4<f32>, ${heads * quads}>;
var<workgroup> weights: array<f32, ${heads * SPLIT_POSITIONS}>;      // (HEADS, SPLIT): scores, then 2^(s - m)
var<workgroup> maxima: array<f32, ${heads * MAX_LANES}>;
var<workgroup> head_maximum: array<f32, ${heads}>;
var<workgroup> sums: array<vec4<f32>, ${reduced * SPLIT_WORKGROUP}>;
var<workgroup> weight_sums: array<f32, ${reduced * stripes}>;

${unpackDimsWgsl(shaderF16)}`,
    ],
    body: `
  let first_head = workgroup.y * HEADS;
  let kv_head = first_head / GROUP;
  let first = group * SPLIT;
  let count = min(SPLIT, u32(uniforms.length) - first);
  for (var i = lane; i < HEADS * QUADS; i += ${SPLIT_WORKGROUP}u) { query[i] = qkv[first_head * QUADS + i] * SCALE; }
  workgroupBarrier();

  // Scores: two invocations a position, one for its even runs of dims and one for the odd ones.
  let key = lane % SPLIT;
  let part = lane / SPLIT;
${times(heads, (h) => `  var score${h} = 0.0;`).join('\n')}
  if (key < count) {
    let position = first + key;
    let base = (position / PAGE * KV_HEADS + kv_head) * RUNS * PAGE + position % PAGE;
    for (var run = part; run < RUNS; run += 2u) {
      let words = keys[base + run * PAGE];
      let a = unpack_dims(words.xy);
      let b = unpack_dims(words.zw);
      let at = 2u * run;
${times(
  heads,
  (h) => `      score${h} += dot(query[${h * quads}u + at], a) + dot(query[${h * quads}u + at + 1u], b);`,
).join('\n')}
    }
  }
  if (part == 1u) {
${times(heads, (h) => `    weights[${h}u * SPLIT + key] = score${h};`).join('\n')}
  }
  workgroupBarrier();
  if (part == 0u) {
${times(heads, (h) => `    score${h} += weights[${h}u * SPLIT + key];`).join('\n')}
  }
  if (part == 0u) {
    let used = key < count;
${times(heads, (h) => `    weights[${h}u * SPLIT + key] = select(LEAST, score${h}, used);`).join('\n')}
  }
  workgroupBarrier();

  // Each head's maximum in two steps, then the powers.
  if (lane < HEADS * MAX_LANES) {
    let row = lane / MAX_LANES * SPLIT;
    var own = LEAST;
    for (var i = lane % MAX_LANES; i < SPLIT; i += MAX_LANES) { own = max(own, weights[row + i]); }
    maxima[lane] = own;
  }
  workgroupBarrier();
  if (lane < HEADS) {
    var own = LEAST;
    for (var i = 0u; i < MAX_LANES; i++) { own = max(own, maxima[lane * MAX_LANES + i]); }
    head_maximum[lane] = own;
  }
  workgroupBarrier();
  for (var i = lane; i < HEADS * SPLIT; i += ${SPLIT_WORKGROUP}u) {
    weights[i] = exp2(weights[i] - head_maximum[i / SPLIT]);
  }
  workgroupBarrier();

  // Values: an invocation sums 4 dims over every STRIPES-th position, for all heads.
  let quad = lane % QUADS;
  let stripe = lane / QUADS;
${times(heads, (h) => `  var sum${h} = vec4<f32>(0.0);\n  var weight_sum${h} = 0.0;`).join('\n')}
  if (stripe < STRIPES) {
    for (var i = stripe; i < count; i += STRIPES) {
      let position = first + i;
      let row = (position / PAGE * KV_HEADS + kv_head) * PAGE + position % PAGE;
      let value = unpack_dims(values[row * QUADS + quad]);
${times(
  heads,
  (h) => `      let w${h} = weights[${h}u * SPLIT + i];
      sum${h} += w${h} * value;
      weight_sum${h} += w${h};`,
).join('\n')}
    }
  }
${times(Math.ceil(heads / reduced), (round) => {
  const inRound = Math.min(reduced, heads - round * reduced);
  return `
  // Heads ${round * reduced} to ${round * reduced + inRound - 1}: the stripes together.
${times(inRound, (i) => `  sums[${i * SPLIT_WORKGROUP}u + lane] = sum${round * reduced + i};`).join('\n')}
  if (quad == 0u && stripe < STRIPES) {
${times(inRound, (i) => `    weight_sums[${i}u * STRIPES + stripe] = weight_sum${round * reduced + i};`).join('\n')}
  }
  workgroupBarrier();
  for (var item = lane; item < ${inRound}u * (QUADS + 1u); item += ${SPLIT_WORKGROUP}u) {
    let head = item / (QUADS + 1u);
    let column = item % (QUADS + 1u);
    var total = vec4<f32>(0.0);
    if (column < QUADS) {
      for (var i = 0u; i < STRIPES; i++) { total += sums[head * ${SPLIT_WORKGROUP}u + i * QUADS + column]; }
    } else {
      for (var i = 0u; i < STRIPES; i++) { total.y += weight_sums[head * STRIPES + i]; }
      total.x = head_maximum[${round * reduced}u + head];
    }
    partials[(group * ${headCount}u + first_head + ${round * reduced}u + head) * (QUADS + 1u) + column] = total;
  }
  workgroupBarrier();`;
}).join('\n')}`,
    f16: shaderF16,
    subgroups: false,
  });
}

export function attentionMergeKernel(shape: AttentionShape, caps: GpuCaps): KernelSource {
  const { headCount, headDim } = shape;
  const quads = headDim / 4;
  const { subgroups } = caps;
  const stripes = Math.floor(MERGE_WORKGROUP / quads);
  return createKernel({
    label: `attention_merge_h${headCount}_d${headDim}${subgroups ? '_subgroups' : ''}`,
    header: [
      'attention_merge: joins the splits of attention_split; out = sum 2^(m_i - m) o_i / sum 2^(m_i - m) l_i',
      'partials (splits, H, D + 4) f32: o, then m, l, 0, 0. out (H, D) f32',
      `params: H ${headCount}, D ${headDim}, SPLIT ${SPLIT_POSITIONS}. Workgroup: one head. Shared: ${MERGE_WORKGROUP * 16 + 2048} bytes.`,
      `Needs: ${subgroups ? 'subgroups' : 'none'}. Tolerance vs reference: 1e-5. Source: as attention_split`,
    ],
    bindings: [
      { name: 'partials', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'output', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: ['splits'],
    workgroupSize: MERGE_WORKGROUP,
    declarations: [
      `const HEADS = ${headCount}u;
const QUADS = ${quads}u;
const RECORD = ${quads + 1}u;      // vec4s of one head in one split
const STRIPES = ${stripes}u;
const LEAST = -1e30;
var<workgroup> sums: array<vec4<f32>, ${MERGE_WORKGROUP}>;
var<workgroup> weight_sums: array<f32, ${stripes}>;`,
      workgroupReduceWgsl('max_of_all', 'max', MERGE_WORKGROUP, subgroups),
    ],
    body: `
  let splits = u32(uniforms.splits);
  let head = group * RECORD;
  var own = LEAST;
  for (var i = lane; i < splits; i += ${MERGE_WORKGROUP}u) { own = max(own, partials[i * HEADS * RECORD + head + QUADS].x); }
  let largest = max_of_all(own, ${reduceArguments(subgroups)});

  let quad = lane % QUADS;
  let stripe = lane / QUADS;
  var sum = vec4<f32>(0.0);
  var weight_sum = 0.0;
  if (stripe < STRIPES) {
    for (var i = stripe; i < splits; i += STRIPES) {
      let record = i * HEADS * RECORD + head;
      let tail = partials[record + QUADS];
      let scale = exp2(tail.x - largest);
      sum += scale * partials[record + quad];
      weight_sum += scale * tail.y;
    }
    if (quad == 0u) { weight_sums[stripe] = weight_sum; }
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < QUADS) {
    var total = sums[lane];
    var total_weight = weight_sums[0];
    for (var i = 1u; i < STRIPES; i++) {
      total += sums[i * QUADS + lane];
      total_weight += weight_sums[i];
    }
    output[group * QUADS + lane] = total / total_weight;
  }`,
    f16: false,
    subgroups,
  });
}
