import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { decodeStatements, loadsF16 } from '../../weight-formats/part-code.ts';
import { createKernel, partBindingTexts, segmentsLabel } from '../matrix/kernel-text.ts';
import { partBindings, type Segment } from '../matrix/segments.ts';

export const EMBED_WORKGROUP_SIZE = 64;

export interface EmbedShape {
  columns: number;
  /** Rows of the whole table: ids from here on (and negative ones) are out of range. */
  tableRows: number;
  /** Parts that this dispatch holds. */
  segments: readonly Segment[];
  /** The first dispatch writes zeros for ids out of range. */
  zeros: boolean;
}

/** Bindings: ids, quants and scales of each part, y. Uniforms: tokens. */
export function embedKernel(
  { columns, tableRows, segments, zeros }: EmbedShape,
  caps: GpuCaps,
): KernelSource {
  const blocks = columns / 32;
  const parts = partBindings(segments);
  const f16 = loadsF16(parts, caps.shaderF16);
  // Each segment is one part: embedding tables are not paired.
  const find = segments.map(
    ({ outputRow, rows }, i) =>
      `if (id >= ${outputRow}u && id < ${outputRow + rows}u) { part = ${i}u; first_row = ${outputRow}u; }`,
  );
  return createKernel({
    label: [
      'embed',
      columns,
      segmentsLabel(segments),
      `at${segments[0]!.outputRow}of${tableRows}`,
      ...(f16 ? ['f16'] : []),
    ].join('_'),
    header: [
      'embed: y[t,k] = W[ids[t],k]; zero where ids[t] is out of range',
      'ids (tokens) i32; W (V,K) in parts; y (tokens,K) f32',
      `Workgroup: ${EMBED_WORKGROUP_SIZE} lanes, a block of 32 columns each. Shared: 0 bytes.`,
      `Needs: ${f16 ? 'shader-f16' : 'none'}. Tolerance vs reference: exact but for q*scale + minimum, one f32 rounding.`,
    ],
    bindings: [
      { name: 'ids', type: 'array<i32>', access: 'read' },
      ...partBindingTexts(parts, caps),
      { name: 'result', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: ['tokens'],
    workgroupSize: EMBED_WORKGROUP_SIZE,
    declarations: [],
    body: `  let at = group * ${EMBED_WORKGROUP_SIZE}u + lane;
  let token = at / ${blocks}u;
  if (token >= u32(uniforms.tokens)) { return; }
  // A negative id becomes a very large one.
  let id = u32(ids[token]);
  let to = at * 8u;
  var part = ${parts.length}u;
  var first_row = 0u;
  ${find.join('\n  ')}
  if (part == ${parts.length}u) {
    ${zeros ? `if (id >= ${tableRows}u) { for (var j = 0u; j < 8u; j++) { result[to + j] = vec4<f32>(0.0); } }` : ''}
    return;
  }
  let block = (id - first_row) * ${blocks}u + at % ${blocks}u;
  ${decodeStatements(parts, caps.shaderF16, (i, weights) => `result[to + ${i}u] = ${weights};`)}`,
    f16,
    subgroups: false,
  });
}
