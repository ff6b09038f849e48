/**
 * The matrix-vector product that norm-matvec, matvec-residual and norm-gate-up are made of. Each weight is read once,
 * 16 bytes a load; a team of lanes walks along the columns, each lane holding one block of x in registers for four
 * rows; then the lanes' partial sums are added up. The loop over rows is left to the compiler to unroll: unrolled in
 * the source it takes software drivers seconds to compile.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { dotFunction, hasBias } from '../../weight-formats/part-code.ts';
import { weightFormats } from '../../weight-formats/weight-formats.ts';
import { createKernel, placeStatements, SWIGLU_FUNCTION, segmentsLabel } from './kernel-text.ts';
import {
  activationCode,
  MATVEC_SUMS,
  type MatvecKernel,
  matvecBindings,
  rowsPerWorkgroup,
  type TeamShape,
} from './matvec-shape.ts';
import { checkWorkgroupStorage, partBindings, sourceParts } from './segments.ts';

/** Bindings: x, gain (with a norm), each part's quants and scales, output. */
export function teamMatvecKernel(kernel: MatvecKernel & { shape: TeamShape }, caps: GpuCaps): KernelSource {
  const { columns, segments, shape, norm, epilogue } = kernel;
  const { lanes, teams } = shape;
  const blocks = columns / 32;
  const workgroupSize = lanes * teams;
  const sources = epilogue === 'swiglu' ? 2 : 1;
  const teamRows = MATVEC_SUMS / sources;
  const height = rowsPerWorkgroup(shape, sources);
  const subgroups = caps.subgroups && teams === 1;
  const parts = partBindings(segments);
  const f16 = caps.shaderF16 && parts.some(({ format }) => weightFormats[format].scaleCount > 0);

  const eight = (text: (i: number) => string) => Array.from({ length: 8 }, (_, i) => text(i)).join(' ');
  const eightNames = (name: string) => Array.from({ length: 8 }, (_, i) => `${name}${i}`);

  const normed = norm === null ? 'x' : 'n';
  const needsSum = parts.some(({ format }) => hasBias(format));
  const xSum = needsSum ? `dot(${eightNames(normed).join(' + ')}, vec4<f32>(1.0))` : '0.0';
  // x is multiplied by the format's powers of two once for all rows of a source.
  const sourceCode = Array.from({ length: sources }, (_, s) => {
    const { statement, factor } = activationCode(sourceParts(segments, parts, s));
    return `{
      let part = part${s};
      ${statement}
      ${eight((i) => `let f${i} = ${normed}${i}${factor === null ? '' : ` * ${factor}`};`)}
      for (var r = 0u; r < ${teamRows}u; r++) {
        // Rows past the last repeat it: they are computed and not stored.
        let row = first_row${s} + min(team_row + r, row_count - 1u);
        let product = dot_block${s}(part, row * ${blocks}u + x_block, ${eightNames('f').join(', ')}, x_sum);
        sums += select(vec4<f32>(0.0), vec4<f32>(product), vec4<u32>(r + ${s * teamRows}u) == vec4<u32>(0u, 1u, 2u, 3u));
      }
    }`;
  });

  // Partial sums that are left for the last step, per team.
  const slots = subgroups ? Math.ceil(workgroupSize / 4) : lanes > 32 ? 16 : 1;
  const totals = subgroups ? slots : teams * slots;
  const shared = (totals + (subgroups ? 0 : workgroupSize)) * (norm === null ? 16 : 20);
  checkWorkgroupStorage(kernel.op, shared, caps);
  const squares = (text: string) => (norm === null ? '' : text);

  const reduction = subgroups
    ? `  // Subgroups of any size: lanes are numbered along them.
  let slots = (${workgroupSize}u + subgroup_size - 1u) / subgroup_size;
  let subgroup_sums = subgroupAdd(sums);
  ${squares('let subgroup_square = subgroupAdd(square);')}
  if (subgroup_lane == 0u) {
    total_sums[lane / subgroup_size] = subgroup_sums;
    ${squares('total_squares[lane / subgroup_size] = subgroup_square;')}
  }
  workgroupBarrier();`
    : `  const slots = ${slots}u;
  lane_sums[lane] = sums;
  ${squares('lane_squares[lane] = square;')}
  workgroupBarrier();
  if (lane < ${totals}u) {
    var sum = vec4<f32>(0.0);
    ${squares('var sum_squares = 0.0;')}
    for (var i = lane % slots; i < ${lanes}u; i += slots) {
      sum += lane_sums[lane / slots * ${lanes}u + i];
      ${squares(`sum_squares += lane_squares[lane / slots * ${lanes}u + i];`)}
    }
    total_sums[lane] = sum;
    ${squares('total_squares[lane] = sum_squares;')}
  }
  workgroupBarrier();`;

  const write = (r: number) => {
    const y = `y.${'xyzw'[r]}`;
    const value = {
      store: `= ${y}`,
      add: `+= ${y}`,
      swiglu: `= swiglu(${y}, y.${'xyzw'[r + teamRows]})`,
    }[epilogue];
    return `if (row + ${r}u < row_count) { result[output_row + row + ${r}u] ${value}; }`;
  };

  const needs = [...(f16 ? ['shader-f16'] : []), ...(subgroups ? ['subgroups of any size'] : [])];
  return createKernel({
    label: [
      kernel.op,
      columns,
      segmentsLabel(segments),
      `${lanes}x${teams}`,
      ...(f16 ? ['f16'] : []),
      ...(subgroups ? ['sg'] : []),
    ].join('_'),
    header: [
      ...kernel.header,
      `Workgroup: ${teams} team(s) of ${lanes} lanes, ${teamRows} output rows a team. Shared: ${shared} bytes.`,
      `Needs: ${needs.join(', ') || 'none'}. Sums in f32. Tolerance vs reference: 1e-4 of the largest output (order of sums).`,
    ],
    bindings: matvecBindings(norm, parts, caps),
    uniforms: kernel.rowUniform ? ['row'] : [],
    workgroupSize,
    declarations: [
      ...(subgroups
        ? []
        : [
            `var<workgroup> lane_sums: array<vec4<f32>, ${workgroupSize}>;`,
            squares(`var<workgroup> lane_squares: array<f32, ${workgroupSize}>;`),
          ]),
      `var<workgroup> total_sums: array<vec4<f32>, ${totals}>;`,
      squares(`var<workgroup> total_squares: array<f32, ${totals}>;`),
      ...sourceCode.map((_, s) =>
        dotFunction(`dot_block${s}`, sourceParts(segments, parts, s), caps.shaderF16),
      ),
      epilogue === 'swiglu' ? SWIGLU_FUNCTION : '',
    ],
    body: `  let team = lane / ${lanes}u;
  let team_lane = lane % ${lanes}u;
  let x_row = ${kernel.rowUniform ? `u32(uniforms.row) * ${columns / 4}u` : '0u'};
  ${placeStatements(segments, parts, height)}
  let team_row = group_row + team * ${teamRows}u;
  var sums = vec4<f32>(0.0);
  ${squares('var squares = vec4<f32>(0.0);')}
  for (var x_block = team_lane; x_block < ${blocks}u; x_block += ${lanes}u) {
    let at = x_block * 8u;
    ${eight((i) => `let x${i} = x[x_row + at + ${i}u];`)}
    ${squares(eight((i) => `squares = fma(x${i}, x${i}, squares);`))}
    ${squares(eight((i) => `let n${i} = x${i} * gain[at + ${i}u];`))}
    let x_sum = ${xSum};
    ${sourceCode.join('\n    ')}
  }
  ${squares('let square = dot(squares, vec4<f32>(1.0));')}
${reduction}
  if (lane < ${teams}u) {
    var y = vec4<f32>(0.0);
    ${squares('var mean = 0.0;')}
    for (var i = 0u; i < slots; i++) {
      y += total_sums[lane * slots + i];
      ${squares('mean += total_squares[lane * slots + i];')}
    }
    ${norm === null ? '' : `y *= inverseSqrt(mean / ${columns}.0 + ${norm.epsilon});`}
    let row = group_row + lane * ${teamRows}u;
    ${Array.from({ length: teamRows }, (_, r) => write(r)).join('\n    ')}
  }`,
    f16,
    subgroups,
  });
}
