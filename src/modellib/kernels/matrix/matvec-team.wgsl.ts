/**
 * The matrix-vector product that norm-matvec, matvec-residual and norm-gate-up are made of. Each weight is read once,
 * 16 bytes a load; a team of lanes walks along the columns, each lane holding one block of x in registers for several
 * rows; then the lanes' partial sums are added up.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { dotFunction, hasBias, loadsF16 } from '../../weight-formats/part-code.ts';
import { createKernel, placeStatements, SWIGLU_FUNCTION, segmentsLabel } from './kernel-text.ts';
import {
  activationCode,
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
  const teamRows = shape.sums / sources;
  const vectors = shape.sums / 4;
  const height = rowsPerWorkgroup(shape, sources);
  const subgroups = caps.subgroups && teams === 1;
  const parts = partBindings(segments);
  const f16 = loadsF16(parts, caps.shaderF16);

  const list = (count: number, text: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => text(i));
  const eight = (text: (i: number) => string) => list(8, text).join(' ');
  const each = (text: (vector: number) => string) => list(vectors, text).join(' ');
  // Sum number i, of source floor(i / teamRows).
  const component = (name: string, i: number) => `${name}${i >> 2}.${'xyzw'[i & 3]}`;
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
      ${list(
        teamRows,
        (r) =>
          `let row${r} = first_row${s} + min(team_row + ${r}u, row_count - 1u);
      ${component('sums', s * teamRows + r)} += dot_block${s}(part, row${r} * ${blocks}u + x_block, ${eightNames('f').join(', ')}, x_sum);`,
      ).join('\n      ')}
    }`;
  });

  // Partial sums that are left for the last step, per team.
  const slots = subgroups ? Math.ceil(workgroupSize / 4) : lanes > 32 ? 16 : 1;
  const totals = subgroups ? slots : teams * slots;
  const shared = (totals + (subgroups ? 0 : workgroupSize)) * (vectors * 16 + (norm === null ? 0 : 4));
  checkWorkgroupStorage(kernel.op, shared, caps);
  const squares = (text: string) => (norm === null ? '' : text);

  const reduction = subgroups
    ? `  // Subgroups of any size: lanes are numbered along them.
  let slots = (${workgroupSize}u + subgroup_size - 1u) / subgroup_size;
  ${each((v) => `let subgroup_sums${v} = subgroupAdd(sums${v});`)}
  ${squares('let subgroup_square = subgroupAdd(square);')}
  if (subgroup_lane == 0u) {
    let slot = lane / subgroup_size;
    ${each((v) => `total_sums[${v * totals}u + slot] = subgroup_sums${v};`)}
    ${squares('total_squares[slot] = subgroup_square;')}
  }
  workgroupBarrier();`
    : `  const slots = ${slots}u;
  ${each((v) => `lane_sums[${v * workgroupSize}u + lane] = sums${v};`)}
  ${squares('lane_squares[lane] = square;')}
  workgroupBarrier();
  if (lane < ${totals}u) {
    ${each((v) => `var sum${v} = vec4<f32>(0.0);`)}
    ${squares('var sum_squares = 0.0;')}
    for (var i = lane % slots; i < ${lanes}u; i += slots) {
      let at = lane / slots * ${lanes}u + i;
      ${each((v) => `sum${v} += lane_sums[${v * workgroupSize}u + at];`)}
      ${squares(`sum_squares += lane_squares[at];`)}
    }
    ${each((v) => `total_sums[${v * totals}u + lane] = sum${v};`)}
    ${squares('total_squares[lane] = sum_squares;')}
  }
  workgroupBarrier();`;

  const write = (r: number) => {
    const y = component('y', r);
    const value = {
      store: `= ${y}`,
      add: `+= ${y}`,
      swiglu: `= swiglu(${y}, ${component('y', r + teamRows)})`,
    }[epilogue];
    return `if (row + ${r}u < row_count) { result[output_row + row + ${r}u] ${value}; }`;
  };

  const needs = [...(f16 ? ['shader-f16'] : []), ...(subgroups ? ['subgroups of any size'] : [])];
  return createKernel({
    label: [
      kernel.op,
      columns,
      segmentsLabel(segments),
      `${lanes}x${teams}x${shape.sums}`,
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
            `var<workgroup> lane_sums: array<vec4<f32>, ${vectors * workgroupSize}>;`,
            squares(`var<workgroup> lane_squares: array<f32, ${workgroupSize}>;`),
          ]),
      `var<workgroup> total_sums: array<vec4<f32>, ${vectors * totals}>;`,
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
  // Rows past the last repeat it: they are computed and not stored.
  ${each((v) => `var sums${v} = vec4<f32>(0.0);`)}
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
    ${each((v) => `var y${v} = vec4<f32>(0.0);`)}
    ${squares('var mean = 0.0;')}
    for (var i = 0u; i < slots; i++) {
      ${each((v) => `y${v} += total_sums[${v * totals}u + lane * slots + i];`)}
      ${squares('mean += total_squares[lane * slots + i];')}
    }
    ${norm === null ? '' : `let rms = inverseSqrt(mean / ${columns}.0 + ${norm.epsilon}); ${each((v) => `y${v} *= rms;`)}`}
    let row = group_row + lane * ${teamRows}u;
    ${Array.from({ length: teamRows }, (_, r) => write(r)).join('\n    ')}
  }`,
    f16,
    subgroups,
  });
}
