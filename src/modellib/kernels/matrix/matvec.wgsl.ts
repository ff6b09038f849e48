/**
 * The matrix-vector product that norm-matvec, matvec-residual and norm-gate-up are made of. Each weight is read once,
 * 16 bytes a load; a team of lanes walks along the columns, each lane holding one block of x in registers for four
 * rows; then the lanes' partial sums are added up. The loop over rows is left to the compiler to unroll: unrolled in
 * the source it takes software drivers seconds to compile.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { dotFunction, hasBias, quantFactors } from '../../weight-formats/part-code.ts';
import { weightFormats } from '../../weight-formats/weight-formats.ts';
import { type BindingText, createKernel, partBindingTexts, segmentsLabel } from './kernel-text.ts';
import { checkWorkgroupStorage, partBindings, type Segment } from './segments.ts';

/** How lanes are laid over a matrix. A workgroup has lanes * teams invocations. */
export interface MatvecShape {
  /** Lanes of a team: they share rows and divide the columns among themselves. */
  lanes: number;
  teams: number;
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

/** Sums that each lane keeps, a vec4: four rows of one source, or two rows of two. */
const SUMS = 4;

/** Output rows of one workgroup. */
export function rowsPerWorkgroup({ teams }: MatvecShape, sources: 1 | 2): number {
  return (teams * SUMS) / sources;
}

/** Bindings: x, gain (with a norm), each part's quants and scales, output. */
export function matvecKernel(kernel: MatvecKernel, caps: GpuCaps): KernelSource {
  const { columns, segments, shape, norm, epilogue } = kernel;
  const { lanes, teams } = shape;
  const blocks = columns / 32;
  const workgroupSize = lanes * teams;
  const sources = epilogue === 'swiglu' ? 2 : 1;
  const teamRows = SUMS / sources;
  const height = rowsPerWorkgroup(shape, sources);
  const subgroups = caps.subgroups && teams === 1;
  const parts = partBindings(segments);
  const f16 = caps.shaderF16 && parts.some(({ format }) => weightFormats[format].scaleCount > 0);

  const eight = (text: (i: number) => string) => Array.from({ length: 8 }, (_, i) => text(i)).join(' ');
  const eightNames = (name: string) => Array.from({ length: 8 }, (_, i) => `${name}${i}`);

  // Where this workgroup's rows are.
  let workgroupStart = 0;
  const places = segments.map((segment, s) => {
    const first = workgroupStart;
    workgroupStart += Math.ceil(segment.rows / height);
    const assignments = [
      `group_row = (group - ${first}u) * ${height}u;`,
      `row_count = ${segment.rows}u;`,
      `output_row = ${segment.outputRow}u;`,
      ...segment.sources.map(({ part, firstRow }, i) => {
        const number = parts.findIndex((binding) => binding.part.quants === part.quants);
        return `part${i} = ${number}u; first_row${i} = ${firstRow}u;`;
      }),
    ];
    return `${s < segments.length - 1 ? `if (group < ${workgroupStart}u) ` : ''}{ ${assignments.join(' ')} }`;
  });

  // x is multiplied by the format's powers of two once for all rows of a source.
  const factors = parts.map(({ format }) => quantFactors(format));
  const sameFactors = new Set(factors).size === 1;
  const chooseFactors = sameFactors
    ? ''
    : `var factors = vec4<f32>(1.0); switch (part) { ${factors
        .map((factor, i) => (factor === null ? '' : `case ${i}u: { factors = ${factor}; } `))
        .join('')}default: {} }`;
  const factor = sameFactors ? factors[0]! : 'factors';
  const normed = norm === null ? 'x' : 'n';
  const xSum = parts.some(({ format }) => hasBias(format))
    ? `dot(${eightNames(normed).join(' + ')}, vec4<f32>(1.0))`
    : '0.0';

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

  const bindings: BindingText[] = [
    { name: 'x', type: 'array<vec4<f32>>', access: 'read' },
    ...(norm === null ? [] : [{ name: 'gain', type: 'array<vec4<f32>>', access: 'read' as const }]),
    ...partBindingTexts(parts, caps),
    { name: 'result', type: 'array<f32>', access: 'read_write' },
  ];
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
    bindings,
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
      dotFunction(parts, caps.shaderF16),
      epilogue === 'swiglu'
        ? 'fn swiglu(gate: f32, up: f32) -> f32 { return gate / (1.0 + exp(-max(gate, -80.0))) * up; }'
        : '',
    ],
    body: `  let team = lane / ${lanes}u;
  let team_lane = lane % ${lanes}u;
  let x_row = ${kernel.rowUniform ? `u32(uniforms.row) * ${columns / 4}u` : '0u'};
  var group_row = 0u; var row_count = 0u; var output_row = 0u;
  var part0 = 0u; var first_row0 = 0u;${sources === 2 ? ' var part1 = 0u; var first_row1 = 0u;' : ''}
  ${places.join(' else ')}
  let team_row = group_row + team * ${teamRows}u;
  var sums = vec4<f32>(0.0);
  ${squares('var squares = vec4<f32>(0.0);')}
  for (var x_block = team_lane; x_block < ${blocks}u; x_block += ${lanes}u) {
    let at = x_block * 8u;
    ${eight((i) => `let x${i} = x[x_row + at + ${i}u];`)}
    ${squares(eight((i) => `squares = fma(x${i}, x${i}, squares);`))}
    ${squares(eight((i) => `let n${i} = x${i} * gain[at + ${i}u];`))}
    let x_sum = ${xSum};
    for (var source = 0u; source < ${sources}u; source++) {
      let part = ${sources === 2 ? 'select(part0, part1, source == 1u)' : 'part0'};
      let first_row = ${sources === 2 ? 'select(first_row0, first_row1, source == 1u)' : 'first_row0'};
      ${chooseFactors}
      ${eight((i) => `let f${i} = ${normed}${i}${factor === null ? '' : ` * ${factor}`};`)}
      for (var r = 0u; r < ${teamRows}u; r++) {
        // Rows past the last repeat it: they are computed and not stored.
        let row = first_row + min(team_row + r, row_count - 1u);
        let product = dot_block(part, row * ${blocks}u + x_block, ${eightNames('f').join(', ')}, x_sum);
        sums += select(vec4<f32>(0.0), vec4<f32>(product), vec4<u32>(source * ${teamRows}u + r) == vec4<u32>(0u, 1u, 2u, 3u));
      }
    }
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
