/**
 * The matrix product for processors that pose as GPUs (SwiftShader, lavapipe): each lane has rows of its own and keeps
 * their decoded weights in registers; a quad of lanes loads activations for four tokens, a token a lane, and shares
 * them by broadcast. No workgroup memory: such drivers clear it value by value, in code that takes seconds to compile,
 * and every load of a lane costs them as much as twenty multiplications of four lanes.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { decodeStatements, loadsF16 } from '../../weight-formats/part-code.ts';
import {
  createKernel,
  partBindingTexts,
  placeStatements,
  SWIGLU_FUNCTION,
  segmentsLabel,
} from '../matrix/kernel-text.ts';
import { partBindings, sourceParts } from '../matrix/segments.ts';
import { type LaneRowsTile, MATMUL_OPS, type MatmulShape } from './matmul-shape.ts';

/** Bindings: x, quants and scales of each part, y. Uniforms: tokens. Grid: row groups, token groups. */
export function matmulLaneRowsKernel(
  shape: MatmulShape & { tile: LaneRowsTile },
  caps: GpuCaps,
): KernelSource {
  const { columns, outputRows, segments, tile, epilogue } = shape;
  const { lanes, laneRows, tokens: groupTokens } = tile;
  const blocks = columns / 32;
  const sources = epilogue === 'swiglu' ? 2 : 1;
  const sourceRows = laneRows / sources;
  const parts = partBindings(segments);
  const f16 = loadsF16(parts, caps.shaderF16);
  const { op, formula } = MATMUL_OPS[epilogue];
  const list = (count: number, text: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => text(i));

  // Lane row i is row i % sourceRows of source floor(i / sourceRows).
  const rowStatements = list(laneRows, (i) => {
    const source = Math.floor(i / sourceRows);
    const offset = (i % sourceRows) * lanes;
    return `let row${i} = (first_row${source} + min(row + ${offset}u, row_count - 1u)) * ${blocks}u;`;
  });
  const write = list(sourceRows, (i) => {
    const to = `result[at + ${i * lanes}u]`;
    const sum = `sums[quad * ${laneRows}u + ${i}u][t]`;
    const value = {
      store: `= ${sum}`,
      add: `+= ${sum}`,
      swiglu: `= swiglu(${sum}, sums[quad * ${laneRows}u + ${i + sourceRows}u][t])`,
    }[epilogue];
    return `if (row + ${i * lanes}u < row_count) { ${to} ${value}; }`;
  });

  return createKernel({
    label: [
      op,
      columns,
      segmentsLabel(segments),
      `lane_rows_${groupTokens}x${lanes}x${laneRows}`,
      ...(f16 ? ['f16'] : []),
    ].join('_'),
    header: [
      formula,
      `x (tokens,K) f32; weights (R,K) in parts; y (tokens,${outputRows}) f32`,
      `Workgroup: ${groupTokens} tokens x ${lanes} lanes of ${laneRows} weight rows. Shared: 0 bytes.`,
      `Needs: ${f16 ? 'shader-f16, ' : ''}subgroups of any size (quads). Sums in f32. Tolerance vs reference: 1e-4 (order of sums).`,
    ],
    bindings: [
      { name: 'x', type: 'array<vec4<f32>>', access: 'read' },
      ...partBindingTexts(parts, caps),
      { name: 'result', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: ['tokens'],
    workgroupSize: lanes,
    declarations: [
      'struct Weights { w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>, w4: vec4<f32>, w5: vec4<f32>, w6: vec4<f32>, w7: vec4<f32> }',
      ...list(
        sources,
        (s) => `fn decode${s}(part: u32, block: u32) -> Weights {
  var weights: Weights;
  ${decodeStatements(sourceParts(segments, parts, s), caps.shaderF16, (i, weights) => `weights.w${i} = ${weights};`)}
  return weights;
}`,
      ),
      epilogue === 'swiglu' ? SWIGLU_FUNCTION : '',
    ],
    body: `  let tokens = u32(uniforms.tokens);
  let group_token = workgroup.y * ${groupTokens}u;
  let quads = (min(tokens - group_token, ${groupTokens}u) + 3u) / 4u;
  let quad_lane = subgroup_lane & 3u;
  ${placeStatements(segments, parts, lanes * sourceRows)}
  let row = group_row + lane;
  // Rows past the last repeat it, tokens too: they are computed and not stored.
  ${rowStatements.join('\n  ')}
  // Four tokens of a quad, by lane row.
  var sums: array<vec4<f32>, ${(groupTokens / 4) * laneRows}>;
  for (var block = 0u; block < ${blocks}u; block++) {
    ${list(laneRows, (i) => `let weights${i} = decode${Math.floor(i / sourceRows)}(part${Math.floor(i / sourceRows)}, row${i} + block);`).join('\n    ')}
    for (var quad = 0u; quad < quads; quad++) {
      let token = min(group_token + quad * 4u + quad_lane, tokens - 1u);
      let at = token * ${columns / 4}u + block * 8u;
      let to = quad * ${laneRows}u;
      ${list(laneRows, (i) => `var sum${i} = sums[to + ${i}u];`).join(' ')}
      ${list(8, (c) =>
        [
          `{ let x_own = x[at + ${c}u];`,
          `let x_quad = mat4x4<f32>(${list(4, (i) => `quadBroadcast(x_own, ${i}u)`).join(', ')});`,
          ...list(laneRows, (i) => `sum${i} += weights${i}.w${c} * x_quad;`),
          '}',
        ].join(' '),
      ).join('\n      ')}
      ${list(laneRows, (i) => `sums[to + ${i}u] = sum${i};`).join(' ')}
    }
  }
  for (var i = 0u; i < min(tokens - group_token, ${groupTokens}u); i++) {
    let quad = i / 4u;
    let t = i % 4u;
    let at = (group_token + i) * ${outputRows}u + output_row + row;
    ${write.join('\n    ')}
  }`,
    f16,
    subgroups: true,
  });
}
