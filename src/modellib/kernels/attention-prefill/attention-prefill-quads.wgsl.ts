/**
 * WGSL of causal attention for many tokens on processors that pose as GPUs (SwiftShader, lavapipe): no workgroup memory
 * and no barriers, both of which such drivers act out lane by lane. A lane has rows of its own, so that their maximum,
 * powers and sums need no one else; lanes of a quad load different keys and values and share them by broadcast.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { type AttentionShape, KEY_RUN_DIMS, PAGE_POSITIONS, unpackDimsWgsl } from '../rope-kv/kv-cache.ts';

const LANES = 8;
const LANE_ROWS = 2;
/** Positions at a time, a multiple of 4: lanes of a quad load a quarter of them each. */
const KEYS = 8;

/** Rows of a workgroup, a row being a query: a token and a head of one group. */
export const QUAD_ROWS = LANES * LANE_ROWS;

const list = (count: number, text: (i: number) => string) => Array.from({ length: count }, (_, i) => text(i));

/** Bindings: qkv, keys, values, output. Uniforms: tokens, position. Grid: groups of rows, key/value heads. */
export function attentionPrefillQuadsKernel(shape: AttentionShape, { shaderF16 }: GpuCaps): KernelSource {
  const { headCount, kvHeadCount, headDim } = shape;
  const runs = headDim / KEY_RUN_DIMS;
  const tiles = KEYS / 4;
  const rows = (text: (r: number) => string) => list(LANE_ROWS, text).join('\n');
  const quadRow = (name: string) => list(4, (i) => `quadBroadcast(${name}, ${i}u)`).join(', ');

  return createKernel({
    label: `attention_prefill_quads_h${headCount}_kv${kvHeadCount}_d${headDim}${shaderF16 ? '_f16' : ''}`,
    header: [
      'attention_prefill: out[t] = softmax(q[t] k[0..p]^T / sqrt(D)) v[0..p], p = position + t',
      'qkv (T, H + 2 KV, D) f32: the query rows are read; keys, values: f16 caches, laid out as kv-cache.ts says',
      'out (T, H, D) f32. For a few keys at a time the scores, their powers relative to the running maximum, and the',
      'sums of values, which are rescaled when the maximum grows.',
      `params: H ${headCount}, KV ${kvHeadCount}, D ${headDim}. Workgroup: ${LANES} lanes of ${LANE_ROWS} rows, a row being a token and a head of one group. Shared: 0 bytes.`,
      `Needs: ${shaderF16 ? 'shader-f16, ' : ''}subgroups of any size (quads).`,
      'Tolerance vs reference: 1e-5 (f32 sums). Source: https://arxiv.org/abs/2205.14135',
    ],
    bindings: [
      { name: 'qkv', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'keys', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'values', type: 'array<vec4<u32>>', access: 'read' },
      { name: 'output', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: ['tokens', 'position'],
    workgroupSize: LANES,
    declarations: [
      `const HEADS = ${headCount}u;
const KV_HEADS = ${kvHeadCount}u;
const GROUP = ${headCount / kvHeadCount}u;             // query heads of a key/value head
const RUNS = ${runs}u;              // runs of 8 dims in a head
const PAGE = ${PAGE_POSITIONS}u;
const ROWS = ${QUAD_ROWS}u;
const SCALE = ${(Math.LOG2E / Math.sqrt(headDim)).toPrecision(9)};   // log2(e) / sqrt(D): powers of two are cheaper
const LEAST = -1e30;

${unpackDimsWgsl(shaderF16)}`,
    ],
    body: `
  let runs = RUNS * min(uniforms.packGridDimX, 1u);   // a bound that the compiler cannot know: not to be unrolled
  // Later rows see more keys: start with them.
  let first_row = (uniforms.packGridDimX - 1u - group) * ROWS;
  let kv_head = workgroup.y;
  let row_count = u32(uniforms.tokens) * GROUP;
  let position = u32(uniforms.position);
  let quad_lane = subgroup_lane & 3u;
  let length = position + (min(first_row + ROWS, row_count) - 1u) / GROUP + 1u;   // keys that any row here sees
${rows(
  (r) => `  let own_row${r} = first_row + ${r * LANES}u + lane;
  // Rows past the last repeat it: they are computed and not stored.
  let row${r} = min(own_row${r}, row_count - 1u);
  let last${r} = position + row${r} / GROUP;   // last key that the row sees
  let query${r} = (row${r} / GROUP * (HEADS + 2u * KV_HEADS) + kv_head * GROUP + row${r} % GROUP) * RUNS * 2u;
  var maximum${r} = LEAST;
  var weight${r} = 0.0;
  var sum${r}: array<vec4<f32>, ${runs * 2}>;`,
)}

  for (var start = 0u; start < length; start += ${KEYS}u) {
    // Keys beyond the context are masked below; what is read for them is one that exists.
${list(
  tiles,
  (k) => `    let at${k} = min(start + ${4 * k}u + quad_lane, length - 1u);
    let key_at${k} = (at${k} / PAGE * KV_HEADS + kv_head) * RUNS * PAGE + at${k} % PAGE;
    let value_at${k} = ((at${k} / PAGE * KV_HEADS + kv_head) * PAGE + at${k} % PAGE) * RUNS;`,
).join('\n')}
${rows((r) => list(tiles, (k) => `    var score${r}_${k} = vec4<f32>(0.0);`).join('\n'))}
    for (var run = 0u; run < runs; run++) {
${rows(
  (r) => `      let low${r} = qkv[query${r} + 2u * run];
      let high${r} = qkv[query${r} + 2u * run + 1u];`,
)}
${list(
  tiles,
  (k) => `      {
        let words = keys[key_at${k} + run * PAGE];
        let a = unpack_dims(words.xy);
        let b = unpack_dims(words.zw);
        let low = mat4x4<f32>(${quadRow('a')});
        let high = mat4x4<f32>(${quadRow('b')});
${rows((r) => `        score${r}_${k} += low${r} * low + high${r} * high;`)}
      }`,
).join('\n')}
    }
${rows((r) => {
  const scores = list(tiles, (k) => `score${r}_${k}`);
  return `${scores.map((score, k) => `    ${score} = select(vec4<f32>(LEAST), ${score} * SCALE, vec4<u32>(start + ${4 * k}u) + vec4<u32>(0u, 1u, 2u, 3u) <= vec4<u32>(last${r}));`).join('\n')}
    let largest${r} = ${scores.slice(1).reduce((all, score) => `max(${all}, ${score})`, scores[0]!)};
    let new_maximum${r} = max(maximum${r}, max(max(largest${r}.x, largest${r}.y), max(largest${r}.z, largest${r}.w)));
    let rescale${r} = exp2(maximum${r} - new_maximum${r});
    maximum${r} = new_maximum${r};
${scores.map((score, k) => `    let power${r}_${k} = exp2(${score} - new_maximum${r});`).join('\n')}
    weight${r} = weight${r} * rescale${r} + dot(${list(tiles, (k) => `power${r}_${k}`).join(' + ')}, vec4<f32>(1.0));`;
})}
    for (var run = 0u; run < runs; run++) {
${rows(
  (r) => `      var low${r} = sum${r}[2u * run] * rescale${r};
      var high${r} = sum${r}[2u * run + 1u] * rescale${r};`,
)}
${list(
  tiles,
  (k) => `      {
        let words = values[value_at${k} + run];
        let a = unpack_dims(words.xy);
        let b = unpack_dims(words.zw);
        let low = mat4x4<f32>(${quadRow('a')});
        let high = mat4x4<f32>(${quadRow('b')});
${rows(
  (r) => `        low${r} += low * power${r}_${k};
        high${r} += high * power${r}_${k};`,
)}
      }`,
).join('\n')}
${rows(
  (r) => `      sum${r}[2u * run] = low${r};
      sum${r}[2u * run + 1u] = high${r};`,
)}
    }
  }
${rows(
  (r) => `  if (own_row${r} < row_count) {
    let to = (row${r} / GROUP * HEADS + kv_head * GROUP + row${r} % GROUP) * RUNS * 2u;
    for (var i = 0u; i < 2u * runs; i++) { output[to + i] = sum${r}[i] / weight${r}; }
  }`,
)}`,
    f16: shaderF16,
    subgroups: true,
  });
}
