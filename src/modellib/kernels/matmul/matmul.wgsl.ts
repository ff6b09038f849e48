/**
 * The matrix product of prefill. A workgroup makes a tile of tokens x rows: block by block of 32 columns it stages the
 * tile's activations (f32) and decoded weights (f16 where the device has it) in workgroup memory; each lane then keeps
 * a small tile of sums in registers. Rows of a staged tile are a vec4 longer than a block, so that lanes which read
 * neighbouring rows hit different memory banks.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { decodeStatements } from '../../weight-formats/part-code.ts';
import { createKernel, partBindingTexts, segmentsLabel } from '../matrix/kernel-text.ts';
import { checkWorkgroupStorage, partBindings, type Segment } from '../matrix/segments.ts';

/** Knobs. Lanes of a workgroup: (tokens / laneTokens) * (rows / laneRows). */
export interface MatmulTile {
  /** Tokens and weight rows of a workgroup's tile; of a gate-up product half of the rows are the gate's. */
  tokens: number;
  rows: number;
  /** Tokens and weight rows of a lane; laneRows is 4 or 8. */
  laneTokens: number;
  laneRows: number;
}

export type MatmulEpilogue = 'store' | 'add' | 'swiglu';

export interface MatmulShape {
  columns: number;
  /** Row stride of the output: all rows of the concatenation. */
  outputRows: number;
  segments: readonly Segment[];
  tile: MatmulTile;
  /** store: y = product. add: y += product. swiglu: y = silu(product of source 0) * (product of source 1). */
  epilogue: MatmulEpilogue;
}

const HEADERS: Readonly<Record<MatmulEpilogue, string>> = {
  store: 'matmul: y[t,r] = sum_k x[t,k] * W[r,k]',
  add: 'matmul_residual: y[t,r] += sum_k x[t,k] * W[r,k]',
  swiglu: 'matmul_gate_up: y[t,r] = silu(sum_k x[t,k] * G[r,k]) * (sum_k x[t,k] * U[r,k])',
};
const OPS: Readonly<Record<MatmulEpilogue, string>> = {
  store: 'matmul',
  add: 'matmul_residual',
  swiglu: 'matmul_gate_up',
};

/** Output rows of a workgroup. */
export function outputRowsPerTile(tile: MatmulTile, epilogue: MatmulEpilogue): number {
  return epilogue === 'swiglu' ? tile.rows / 2 : tile.rows;
}

/** vec4s of a staged row: a block and one of padding. */
const STRIDE = 9;

/** Bindings: x, quants and scales of each part, y. Uniforms: tokens. Grid: row tiles, token tiles. */
export function matmulKernel(shape: MatmulShape, caps: GpuCaps): KernelSource {
  const { columns, outputRows, segments, tile, epilogue } = shape;
  const blocks = columns / 32;
  const laneColumns = tile.rows / tile.laneRows;
  const lanes = (tile.tokens / tile.laneTokens) * laneColumns;
  const tokenStep = tile.tokens / tile.laneTokens;
  const height = outputRowsPerTile(tile, epilogue);
  const parts = partBindings(segments);
  const f16 = caps.shaderF16;
  const weightVector = f16 ? 'vec4<f16>' : 'vec4<f32>';
  const op = OPS[epilogue];
  const shared = tile.tokens * STRIDE * 16 + tile.rows * STRIDE * (f16 ? 8 : 16);
  checkWorkgroupStorage(op, shared, caps);

  const list = (count: number, text: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => text(i));
  let start = 0;
  const places = segments.map((segment, i) => {
    const first = start;
    start += Math.ceil(segment.rows / height);
    const assignments = [
      `group_row = (group - ${first}u) * ${height}u; row_count = ${segment.rows}u; output_row = ${segment.outputRow}u;`,
      ...segment.sources.map(({ part, firstRow }, s) => {
        const number = parts.findIndex((binding) => binding.part.quants === part.quants);
        return `part${s} = ${number}u; first_row${s} = ${firstRow}u;`;
      }),
    ];
    return `${i < segments.length - 1 ? `if (group < ${start}u) ` : ''}{ ${assignments.join(' ')} }`;
  });
  const paired = epilogue === 'swiglu';

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
      HEADERS[epilogue],
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
      `fn stage(part: u32, block: u32, to: u32) {
  ${decodeStatements(parts, f16, (i, weights) => `weight_tile[to + ${i}u] = ${f16 ? `vec4<f16>(${weights})` : weights};`)}
}`,
      ...(epilogue === 'swiglu'
        ? ['fn swiglu(gate: f32, up: f32) -> f32 { return gate / (1.0 + exp(-max(gate, -80.0))) * up; }']
        : []),
    ],
    body: `  let tokens = u32(uniforms.tokens);
  let group_token = workgroup.y * ${tile.tokens}u;
  var group_row = 0u; var row_count = 0u; var output_row = 0u;
  var part0 = 0u; var first_row0 = 0u;${paired ? ' var part1 = 0u; var first_row1 = 0u;' : ''}
  ${places.join(' else ')}
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
      ${
        paired
          ? `let first = i < ${height}u;
      stage(select(part1, part0, first), (select(first_row1, first_row0, first) + row) * ${blocks}u + block, i * ${STRIDE}u);`
          : `stage(part0, (first_row0 + row) * ${blocks}u + block, i * ${STRIDE}u);`
      }
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
