/** WGSL of causal attention for many tokens, tiled so that scores exist for one tile at a time only. */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { type AttentionShape, PAGE_POSITIONS, unpackDimsWgsl } from '../rope-kv/kv-cache.ts';

/** Invocations that share a group of 4 rows: in scores each takes keys of its own, in sums dims of its own. */
const LANES = 16;

/**
 * The tile of one workgroup: `rows` queries (pairs of token and head within a group, so that keys and values are read
 * once for a whole group) against `keys` positions at a time. Heads wider than 128 take smaller tiles; so does
 * software, whose compile time grows with workgroup memory, which it clears word by word.
 */
export function prefillTile({ headDim }: AttentionShape, caps: GpuCaps): { rows: number; keys: number } {
  if (caps.isSoftware === true) return { rows: 8, keys: 16 };
  return headDim <= 128 ? { rows: 32, keys: 32 } : { rows: 16, keys: 16 };
}

export function attentionPrefillKernel(shape: AttentionShape, caps: GpuCaps): KernelSource {
  const { headCount, kvHeadCount, headDim } = shape;
  const { rows, keys } = prefillTile(shape, caps);
  const { shaderF16, isSoftware = false } = caps;
  const rowGroups = rows / 4;
  const workgroup = rowGroups * LANES;
  const keysEach = keys / LANES;
  const quads = headDim / 4;
  const quadsEach = Math.ceil(quads / LANES);
  const sharedBytes =
    rows * (quads + 1) * 16 + keys * quads * 8 + keys * rowGroups * 16 + LANES * rowGroups * 16;
  const times = (count: number, line: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => line(i)).join('\n');

  // Compilers of real GPUs unroll short loops to good effect; those of software take seconds over it.
  const bound = (count: string) => (isSoftware ? `${count} * one` : count);

  return createKernel({
    label: `attention_prefill_h${headCount}_kv${kvHeadCount}_d${headDim}${shaderF16 ? '_f16' : ''}${isSoftware ? '_software' : ''}`,
    header: [
      'attention_prefill: out[t] = softmax(q[t] k[0..p]^T / sqrt(D)) v[0..p], p = position + t',
      'qkv (T, H + 2 KV, D) f32: the query rows are read; keys, values: f16 caches, laid out as kv-cache.ts says',
      'out (T, H, D) f32. Flash attention: for each tile of keys the scores, their powers relative to the running',
      'maximum, and the sums of values, which are rescaled when the maximum grows.',
      `params: H ${headCount}, KV ${kvHeadCount}, D ${headDim}. Workgroup: ${rows} rows, a row being a token and a head of one group.`,
      `Shared: ${sharedBytes} bytes. Needs: ${shaderF16 ? 'shader-f16' : 'none'}.`,
      'Tolerance vs reference: 1e-5 (f32 sums). Source: https://arxiv.org/abs/2205.14135',
    ],
    bindings: [
      { name: 'qkv', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'keys', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'values', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'output', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: ['tokens', 'position'],
    workgroupSize: workgroup,
    declarations: [
      `const HEADS = ${headCount}u;
const KV_HEADS = ${kvHeadCount}u;
const GROUP = ${headCount / kvHeadCount}u;             // query heads of a key/value head
const QUADS = ${quads}u;             // vec4s in a head
const RUNS = ${quads / 2}u;              // runs of 8 dims in a head
const PAGE = ${PAGE_POSITIONS}u;
const ROWS = ${rows}u;
const KEYS = ${keys}u;
const LANES = ${LANES}u;             // invocations of one group of 4 rows
const ROW_GROUPS = ${rowGroups}u;
const WORKGROUP = ${workgroup}u;
const SCALE = ${(Math.LOG2E / Math.sqrt(headDim)).toPrecision(9)};   // log2(e) / sqrt(D): powers of two are cheaper
const LEAST = -1e30;

var<workgroup> query: array<vec4<f32>, ${rows * (quads + 1)}>;     // (ROWS, QUADS + 1): the pad spreads rows over banks
var<workgroup> tile: array<vec2<u32>, ${keys * quads}>;       // keys as (QUADS, KEYS), then values as (KEYS, QUADS)
var<workgroup> powers: array<vec4<f32>, ${keys * rowGroups}>;     // (KEYS, ROW_GROUPS), 4 rows in a vec4
var<workgroup> row_values: array<vec4<f32>, ${LANES * rowGroups}>;   // (LANES, ROW_GROUPS)

${unpackDimsWgsl(shaderF16)}`,
    ],
    body: `
${isSoftware ? '  let one = min(uniforms.packGridDimX, 1u);   // 1, which the compiler cannot know\n' : ''}  // Later tiles of queries see more keys: start with them.
  let first_row = (uniforms.packGridDimX - 1u - group) * ROWS;
  let kv_head = workgroup.y;
  let row_count = u32(uniforms.tokens) * GROUP;
  let position = u32(uniforms.position);
  for (var i = lane; i < ${bound('ROWS * QUADS')}; i += WORKGROUP) {
    let row = first_row + i / QUADS;
    var words = vec4<f32>(0.0);
    if (row < row_count) {
      let head = row / GROUP * (HEADS + 2u * KV_HEADS) + kv_head * GROUP + row % GROUP;
      words = qkv[head * QUADS + i % QUADS] * SCALE;
    }
    query[i / QUADS * (QUADS + 1u) + i % QUADS] = words;
  }
  let last_row = min(first_row + ROWS, row_count) - 1u;
  let length = position + last_row / GROUP + 1u;   // keys that any row of this tile sees

  let row_group = lane / LANES;
  let column = lane % LANES;
  let own_row = vec4<u32>(first_row + row_group * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
  let own_last = vec4<u32>(position) + own_row / GROUP;   // last key that each of the 4 rows sees
  var maximum = vec4<f32>(LEAST);
  var weight = vec4<f32>(0.0);                            // of this invocation's keys only, until the end
  // Sums of ${quadsEach * 4} dims, each for 4 rows.
${times(quadsEach * 4, (d) => `  var sum${d} = vec4<f32>(0.0);`)}

  for (var start = 0u; start < length; start += KEYS) {
    workgroupBarrier();
    for (var i = lane; i < ${bound('KEYS * RUNS')}; i += WORKGROUP) {
      let at = start + i % KEYS;
      let run = i / KEYS;
      let words = keys[(at / PAGE * KV_HEADS + kv_head) * RUNS * PAGE + run * PAGE + at % PAGE];
      tile[2u * run * KEYS + i % KEYS] = words.xy;
      tile[(2u * run + 1u) * KEYS + i % KEYS] = words.zw;
    }
    workgroupBarrier();

    // Scores of 4 rows and ${keysEach} keys.
${times(keysEach, (k) => `    var score${k} = vec4<f32>(0.0);`)}
    let own_query = row_group * 4u * (QUADS + 1u);
    for (var quad = 0u; quad < ${bound('QUADS')}; quad++) {
      let q0 = query[own_query + quad];
      let q1 = query[own_query + (QUADS + 1u) + quad];
      let q2 = query[own_query + 2u * (QUADS + 1u) + quad];
      let q3 = query[own_query + 3u * (QUADS + 1u) + quad];
${times(
  keysEach,
  (k) => `      let k${k} = unpack_dims(tile[quad * KEYS + column + ${k}u * LANES]);
      score${k} += vec4<f32>(dot(q0, k${k}), dot(q1, k${k}), dot(q2, k${k}), dot(q3, k${k}));`,
)}
    }
    var own_maximum = vec4<f32>(LEAST);
${times(
  keysEach,
  (
    k,
  ) => `    score${k} = select(vec4<f32>(LEAST), score${k}, vec4<u32>(start + column + ${k}u * LANES) <= own_last);
    own_maximum = max(own_maximum, score${k});`,
)}
    row_values[column * ROW_GROUPS + row_group] = own_maximum;
    workgroupBarrier();

    // From here on the tile of keys is free for the values; what no row sees is read as zero.
    for (var i = lane; i < ${bound('KEYS * RUNS')}; i += WORKGROUP) {
      let at = start + i / RUNS;
      var words = vec4<u32>(0u);
      if (at < length) { words = values[((at / PAGE * KV_HEADS + kv_head) * PAGE + at % PAGE) * RUNS + i % RUNS]; }
      tile[2u * i] = words.xy;
      tile[2u * i + 1u] = words.zw;
    }
    var new_maximum = maximum;
    for (var i = 0u; i < ${bound('LANES')}; i++) { new_maximum = max(new_maximum, row_values[i * ROW_GROUPS + row_group]); }
    let rescale = exp2(maximum - new_maximum);
    maximum = new_maximum;
    weight *= rescale;
${times(
  keysEach,
  (k) => `    let power${k} = exp2(score${k} - maximum);
    weight += power${k};
    powers[(column + ${k}u * LANES) * ROW_GROUPS + row_group] = power${k};`,
)}
${times(quadsEach * 4, (d) => `    sum${d} *= rescale;`)}
    workgroupBarrier();

    // Sums of 4 rows and ${quadsEach} quads of dims${quads % LANES === 0 ? '' : '; a quad beyond the head repeats the last one and is dropped'}.
    for (var i = 0u; i < ${bound('KEYS')}; i++) {
      let power = powers[i * ROW_GROUPS + row_group];
${times(
  quadsEach,
  (q) => `      let v${q} = unpack_dims(tile[i * QUADS + min(column + ${q}u * LANES, QUADS - 1u)]);
      sum${4 * q} += power * v${q}.x;
      sum${4 * q + 1} += power * v${q}.y;
      sum${4 * q + 2} += power * v${q}.z;
      sum${4 * q + 3} += power * v${q}.w;`,
)}
    }
  }

  row_values[column * ROW_GROUPS + row_group] = weight;
  workgroupBarrier();
  weight = vec4<f32>(0.0);
  for (var i = 0u; i < ${bound('LANES')}; i++) { weight += row_values[i * ROW_GROUPS + row_group]; }
  weight = 1.0 / weight;
${['x', 'y', 'z', 'w']
  .map(
    (row) => `  if (own_row.${row} < row_count) {
    let head = (own_row.${row} / GROUP * HEADS + kv_head * GROUP + own_row.${row} % GROUP) * QUADS + column;
${times(quadsEach, (q) => {
  const dims = [0, 1, 2, 3].map((d) => `sum${4 * q + d}.${row}`).join(', ');
  const store = `output[head + ${q}u * LANES] = vec4<f32>(${dims}) * weight.${row};`;
  return (q + 1) * LANES <= quads ? `    ${store}` : `    if (column + ${q}u * LANES < QUADS) { ${store} }`;
})}
  }`,
  )
  .join('\n')}`,
    f16: shaderF16,
    subgroups: false,
  });
}
