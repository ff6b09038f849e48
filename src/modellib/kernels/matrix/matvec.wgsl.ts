/**
 * The matrix-vector product that norm-matvec, matvec-residual and norm-gate-up are made of. Each weight is read once,
 * 16 bytes a load; a team of lanes walks along the columns, each lane holding one block of x in registers for several
 * rows; then the lanes' partial sums are added up.
 */

import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { activationFactors, dotFunction } from '../../weight-formats/part-code.ts';
import { weightFormats } from '../../weight-formats/weight-formats.ts';
import { type BindingText, createKernel, partBindingTexts, segmentsLabel } from './kernel-text.ts';
import { checkWorkgroupStorage, partBindings, type Segment } from './segments.ts';

/** How lanes are laid over a matrix. A workgroup has lanes * teams invocations and makes teams * rows outputs. */
export interface MatvecShape {
  /** Lanes of a team: they share rows and divide the columns among themselves. */
  lanes: number;
  teams: number;
  /** Output rows of a team. */
  rows: number;
}

export interface MatvecKernel {
  op: string;
  header: readonly string[];
  columns: number;
  segments: readonly Segment[];
  shape: MatvecShape;
  /** Normalise x by RMS and multiply by a gain. Null: x as it is. */
  norm: { epsilon: number } | null;
  /** Number of the row of x is a uniform. */
  rowUniform: boolean;
  /** store: output = y. add: output += y. swiglu: output = silu(y of source 0) * (y of source 1). */
  epilogue: 'store' | 'add' | 'swiglu';
}

/** Output rows of one workgroup. */
export function rowsPerWorkgroup({ teams, rows }: MatvecShape): number {
  return teams * rows;
}

/** Bindings: x, gain (with a norm), each part's quants and scales, output. */
export function matvecKernel(kernel: MatvecKernel, caps: GpuCaps): KernelSource {
  const { columns, segments, shape, norm, epilogue } = kernel;
  const { lanes, teams, rows } = shape;
  const blocks = columns / 32;
  const workgroupSize = lanes * teams;
  const height = rowsPerWorkgroup(shape);
  const sourceCount = segments[0]!.sources.length;
  const sums = rows * sourceCount;
  /** Values that every lane brings into the reduction: the rows' sums, and the sum of squares. */
  const values = sums + (norm === null ? 0 : 1);
  const subgroups = caps.subgroups && teams === 1;
  const parts = partBindings(segments);
  const f16 = caps.shaderF16 && parts.some(({ format }) => weightFormats[format].scaleCount > 0);
  const partNumber = (quants: string) => parts.findIndex(({ part }) => part.quants === quants);

  const bindings: BindingText[] = [
    { name: 'x', type: 'array<vec4<f32>>', access: 'read' },
    ...(norm === null ? [] : [{ name: 'gain', type: 'array<vec4<f32>>', access: 'read' as const }]),
    ...partBindingTexts(parts, caps),
    { name: 'result', type: 'array<f32>', access: 'read_write' },
  ];

  const eight = (text: (i: number) => string) =>
    Array.from({ length: 8 }, (_, i) => text(i)).join('\n      ');
  const list = (count: number, text: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => text(i));

  let workgroupStart = 0;
  const branches = segments.map((segment) => {
    const first = workgroupStart;
    workgroupStart += Math.ceil(segment.rows / height);
    // Nibbles and the like want x multiplied by powers of two; sources that differ in this get an x of their own.
    const factors = [...new Set(segment.sources.map(({ format }) => activationFactors(format)))];
    const normed = norm === null ? 'x' : 'n';
    const code = `
    group_row = (group - ${first}u) * ${height}u;
    row_count = ${segment.rows}u;
    output_row = ${segment.outputRow}u;
    let last_row = ${segment.rows - 1}u;
    let team_row = group_row + team * ${rows}u;
    ${list(rows, (r) => `let row${r} = min(team_row + ${r}u, last_row) * ${blocks}u;`).join('\n    ')}
    for (var block = team_lane; block < ${blocks}u; block += ${lanes}u) {
      let at = block * 8u;
      ${eight((i) => `let x${i} = x[x_row + at + ${i}u];`)}
      ${
        norm === null
          ? ''
          : `${eight((i) => `squares = fma(x${i}, x${i}, squares);`)}
      ${eight((i) => `let n${i} = x${i} * gain[at + ${i}u];`)}`
      }
      let x_sum = dot(${list(8, (i) => `${normed}${i}`).join(' + ')}, vec4<f32>(1.0));
      ${factors
        .map((factor, f) =>
          eight((i) => `let f${f}x${i} = ${normed}${i}${factor === null ? '' : ` * ${factor}`};`),
        )
        .join('\n      ')}
      ${segment.sources
        .flatMap(({ format, part, firstRow }, s) => {
          const f = factors.indexOf(activationFactors(format));
          const base = firstRow * blocks;
          return list(
            rows,
            (r) =>
              `sum${s * rows + r} += dot${partNumber(part.quants)}(${base === 0 ? '' : `${base}u + `}row${r} + block, ` +
              `${list(8, (i) => `f${f}x${i}`).join(', ')}, x_sum);`,
          );
        })
        .join('\n      ')}
    }`;
    return { end: workgroupStart, code };
  });
  const branchText = branches
    .map(({ end, code }, i) =>
      i === branches.length - 1 ? `{${code}\n  }` : `if (group < ${end}u) {${code}\n  } else `,
    )
    .join('');

  const valueNames = [...list(sums, (i) => `sum${i}`), ...(norm === null ? [] : ['square'])];
  // Partial sums that are left for the last step, per value.
  const slots = subgroups ? Math.ceil(workgroupSize / 4) : lanes > 32 ? 16 : 1;
  const partialCount = subgroups ? values * slots : values * workgroupSize;
  const totalCount = subgroups ? 0 : teams * values * slots;
  const reduction = subgroups
    ? `  let slot = lane / subgroup_size;
  let slots = (${workgroupSize}u + subgroup_size - 1u) / subgroup_size;
  ${valueNames.map((value, v) => `let all${v} = subgroupAdd(${value});`).join('\n  ')}
  if (subgroup_lane == 0u) {
    ${valueNames.map((_, v) => `totals[${v * slots}u + slot] = all${v};`).join('\n    ')}
  }
  workgroupBarrier();`
    : `  const slots = ${slots}u;
  ${valueNames.map((value, v) => `partials[${v * workgroupSize}u + lane] = ${value};`).join('\n  ')}
  workgroupBarrier();
  for (var i = lane; i < ${totalCount}u; i += ${workgroupSize}u) {
    let value = (i / slots) % ${values}u;
    let first = value * ${workgroupSize}u + i / ${slots * values}u * ${lanes}u;
    var total = 0.0;
    for (var j = i % slots; j < ${lanes}u; j += slots) { total += partials[first + j]; }
    totals[i] = total;
  }
  workgroupBarrier();`;
  checkWorkgroupStorage(kernel.op, (subgroups ? partialCount : partialCount + totalCount) * 4, caps);

  const sumOf = (value: string) => `total(${value}, slots)`;
  const scaled = (value: string) => (norm === null ? sumOf(value) : `rms * ${sumOf(value)}`);
  // Index of a value's first total: values of one team are consecutive.
  const valueIndex = (value: string) => (teams === 1 ? value : `i / ${rows}u * ${values}u + ${value}`);
  const epilogues = {
    store: `result[to] = ${scaled(valueIndex(`i % ${rows}u`))};`,
    add: `result[to] += ${scaled(valueIndex(`i % ${rows}u`))};`,
    swiglu: `let gate = ${scaled(valueIndex(`i % ${rows}u`))};
    let up = ${scaled(valueIndex(`${rows}u + i % ${rows}u`))};
    result[to] = gate / (1.0 + exp(-max(gate, -80.0))) * up;`,
  };

  const stride = subgroups ? `${slots}u` : 'slots';
  return createKernel({
    label: [
      kernel.op,
      columns,
      segmentsLabel(segments),
      `${lanes}x${teams}x${rows}`,
      ...(f16 ? ['f16'] : []),
      ...(subgroups ? ['sg'] : []),
    ].join('_'),
    header: [
      ...kernel.header,
      `Workgroup: ${teams} team(s) of ${lanes} lanes, ${rows} row(s) a team. Shared: ${(subgroups ? partialCount : partialCount + totalCount) * 4} bytes.`,
      `Needs: ${[f16 ? 'shader-f16' : '', subgroups ? 'subgroups (of any size)' : ''].filter(Boolean).join(', ') || 'none'}. Sums in f32. Tolerance vs reference: 1e-4 of the largest output (order of f32 sums).`,
    ],
    bindings,
    uniforms: kernel.rowUniform ? ['row'] : [],
    workgroupSize,
    declarations: [
      ...(subgroups ? [] : [`var<workgroup> partials: array<f32, ${partialCount}>;`]),
      `var<workgroup> totals: array<f32, ${subgroups ? partialCount : totalCount}>;`,
      ...parts.map((part, i) => dotFunction(`dot${i}`, part.format, part, caps.shaderF16)),
      `fn total(value: u32, slots: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < slots; i++) { sum += totals[value * ${stride} + i]; }
  return sum;
}`,
    ],
    body: `  let team = lane / ${lanes}u;
  let team_lane = lane % ${lanes}u;
  let x_row = ${kernel.rowUniform ? `u32(uniforms.row) * ${columns / 4}u` : '0u'};
  var group_row = 0u;
  var row_count = 0u;
  var output_row = 0u;
  ${norm === null ? '' : 'var squares = vec4<f32>(0.0);'}
  ${list(sums, (i) => `var sum${i} = 0.0;`).join(' ')}
  ${branchText}
  ${norm === null ? '' : 'let square = dot(squares, vec4<f32>(1.0));'}
${reduction}
  for (var i = lane; i < min(${height}u, row_count - group_row); i += ${workgroupSize}u) {
    let to = output_row + group_row + i;
    ${norm === null ? '' : `let rms = inverseSqrt(${sumOf(valueIndex(`${sums}u`))} / ${columns}.0 + ${norm.epsilon});`}
    ${epilogues[epilogue]}
  }`,
    f16,
    subgroups,
  });
}
