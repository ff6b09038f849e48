/**
 * The matrix product of prefill. A workgroup makes a tile of tokens x rows: block by block of 32 columns it stages the
 * tile's activations (f32) and decoded weights (f16 where the device has it) in workgroup memory; each lane then keeps
 * a small tile of sums in registers. Rows of a staged tile are a vec4 longer than a block, so that lanes which read
 * neighbouring rows hit different memory banks.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { decodeStatements } from '../../weight-formats/part-code.ts';
import {
  createKernel,
  partBindingTexts,
  placeStatements,
  SWIGLU_FUNCTION,
  segmentsLabel,
} from '../matrix/kernel-text.ts';
import { checkWorkgroupStorage, partBindings, sourceParts } from '../matrix/segments.ts';
import { MATMUL_OPS, type MatmulShape, outputRowsPerTile, type StagedTile } from './matmul-shape.ts';

/** vec4s of a staged row: a block and one of padding. */
const STRIDE = 9;

/** Bindings: x, quants and scales of each part, y. Uniforms: tokens. Grid: row tiles, token tiles. */
export function matmulKernel(shape: MatmulShape & { tile: StagedTile }, caps: GpuCaps): KernelSource {
  const { columns, outputRows, segments, tile, epilogue } = shape;
  const blocks = columns / 32;
  const laneColumns = tile.rows / tile.laneRows;
  const lanes = (tile.tokens / tile.laneTokens) * laneColumns;
  const tokenStep = tile.tokens / tile.laneTokens;
  const height = outputRowsPerTile(tile, epilogue);
  const parts = partBindings(segments);
  const f16 = caps.shaderF16;
  const weightVector = f16 ? 'vec4<f16>' : 'vec4<f32>';
  const { op, formula } = MATMUL_OPS[epilogue];
  const shared = tile.tokens * STRIDE * 16 + tile.rows * STRIDE * (f16 ? 8 : 16);
  checkWorkgroupStorage(op, shared, caps);

  const list = (count: number, text: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => text(i));
  const sources = epilogue === 'swiglu' ? 2 : 1;
  const stage = (s: number) =>
    `stage${s}(part${s}, (first_row${s} + row) * ${blocks}u + block, i * ${STRIDE}u);`;

  const quads = tile.laneRows / 4;
  const sumName = (t: number, q: number) => `sum${t}_${q}`;
  const inner = [
    ...list(
      tile.laneRows,
      (r) =>
        `let w${r} = ${f16 ? 'vec4<f32>' : ''}(weight_tile[weight_at + ${r * laneColumns * STRIDE}u + k]);`,
    ),
    ...list(quads, (q) => `let m${q} = mat4x4<f32>(${list(4, (i) => `w${q * 4 + i}`).join(', ')});`),
    ...list(tile.laneTokens, (t) =>
      [
        `let x${t} = x_tile[x_at + ${t * tokenStep * STRIDE}u + k];`,
        // x * m: the dot products of x with the four rows of m.
        ...list(quads, (q) => `${sumName(t, q)} += x${t} * m${q};`),
      ].join(' '),
    ),
  ];

  // Lane row j of a lane is tile row lane_column + j * laneColumns.
  const component = (t: number, j: number) => `${sumName(t, j >> 2)}.${'xyzw'[j & 3]}`;
  const outputs = epilogue === 'swiglu' ? tile.laneRows / 2 : tile.laneRows;
  const writes = list(tile.laneTokens, (t) => {
    const lines = list(outputs, (j) => {
      const to = `result[to + ${j * laneColumns}u]`;
      const write = {
        store: `${to} = ${component(t, j)};`,
        add: `${to} += ${component(t, j)};`,
        swiglu: `${to} = swiglu(${component(t, j)}, ${component(t, j + outputs)});`,
      }[epilogue];
      return `if (row + ${j * laneColumns}u < row_count) { ${write} }`;
    });
    return `if (token + ${t * tokenStep}u < tokens) {
    let to = (token + ${t * tokenStep}u) * ${outputRows}u + output_row + row;
    ${lines.join('\n    ')}
  }`;
  });

  return createKernel({
    label: [
      op,
      columns,
      segmentsLabel(segments),
      `${tile.tokens}x${tile.rows}_${tile.laneTokens}x${tile.laneRows}`,
      ...(f16 ? ['f16'] : []),
    ].join('_'),
    header: [
      formula,
      `x (tokens,K) f32; weights (R,K) in parts; y (tokens,${outputRows}) f32`,
      `Workgroup: a tile of ${tile.tokens} tokens x ${tile.rows} weight rows, ${lanes} lanes of ${tile.laneTokens} x ${tile.laneRows}. Shared: ${shared} bytes.`,
      f16
        ? 'Needs: shader-f16. Sums in f32. Tolerance vs reference: 2e-3 (weights are staged as f16).'
        : 'Needs: none. Sums in f32. Tolerance vs reference: 1e-4 (order of f32 sums).',
    ],
    bindings: [
      { name: 'x', type: 'array<vec4<f32>>', access: 'read' },
      ...partBindingTexts(parts, caps),
      { name: 'result', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: ['tokens'],
    workgroupSize: lanes,
    declarations: [
      `var<workgroup> x_tile: array<vec4<f32>, ${tile.tokens * STRIDE}>;`,
      `var<workgroup> weight_tile: array<${weightVector}, ${tile.rows * STRIDE}>;`,
      ...list(
        sources,
        (s) => `fn stage${s}(part: u32, block: u32, to: u32) {
  ${decodeStatements(sourceParts(segments, parts, s), f16, (i, weights) => `weight_tile[to + ${i}u] = ${f16 ? `vec4<f16>(${weights})` : weights};`)}
}`,
      ),
      ...(epilogue === 'swiglu' ? [SWIGLU_FUNCTION] : []),
    ],
    body: `  let tokens = u32(uniforms.tokens);
  let group_token = workgroup.y * ${tile.tokens}u;
  ${placeStatements(segments, parts, height)}
  let lane_column = lane % ${laneColumns}u;
  let lane_token = lane / ${laneColumns}u;
  let weight_at = lane_column * ${STRIDE}u;
  let x_at = lane_token * ${STRIDE}u;
  ${list(tile.laneTokens, (t) => list(quads, (q) => `var ${sumName(t, q)} = vec4<f32>(0.0);`).join(' ')).join('\n  ')}
  for (var block = 0u; block < ${blocks}u; block++) {
    for (var i = lane; i < ${tile.tokens * 8}u; i += ${lanes}u) {
      // Rows past the last token repeat it: they are computed and not stored.
      let row = min(group_token + i / 8u, tokens - 1u);
      x_tile[i / 8u * ${STRIDE}u + i % 8u] = x[row * ${columns / 4}u + block * 8u + i % 8u];
    }
    for (var i = lane; i < ${tile.rows}u; i += ${lanes}u) {
      let row = min(group_row + i % ${height}u, row_count - 1u);
      ${sources === 1 ? stage(0) : `if (i < ${height}u) { ${stage(0)} } else { ${stage(1)} }`}
    }
    workgroupBarrier();
    for (var k = 0u; k < 8u; k++) {
      ${inner.join('\n      ')}
    }
    workgroupBarrier();
  }
  let row = group_row + lane_column;
  let token = group_token + lane_token;
  ${writes.join('\n  ')}`,
    f16,
    subgroups: false,
  });
}
