/** The parts of WGSL source that all matrix kernels share: directives, bindings, uniforms, entry point and name. */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { scalesArrayType } from '../../weight-formats/part-code.ts';
import { type PartBinding, type Segment, sourceParts } from './segments.ts';

export interface BindingText {
  name: string;
  /** WGSL store type, e.g. `array<f32>`. */
  type: string;
  access: 'read' | 'read_write';
}

export interface KernelText {
  /** Readable part of the name, [a-z0-9_]: op, formats, dimensions, variant. */
  label: string;
  /** Lines of the header comment, without `//`. */
  header: readonly string[];
  bindings: readonly BindingText[];
  uniforms: readonly string[];
  workgroupSize: number;
  /** Module-scope declarations: constants, workgroup variables, functions. */
  declarations: readonly string[];
  /** Body of the entry point, after `group` (the index of this workgroup in x) has been bounded. */
  body: string;
  /** Uses of features; only those that the source needs. */
  f16: boolean;
  subgroups: boolean;
}

/** Storage bindings of matrix parts. */
export function partBindingTexts(parts: readonly PartBinding[], caps: GpuCaps): BindingText[] {
  return parts.flatMap(({ format, quants, scales }) => {
    const scalesType = scalesArrayType(format, caps.shaderF16);
    const texts: BindingText[] = [{ name: quants, type: 'array<vec4<u32>>', access: 'read' }];
    if (scalesType !== null) texts.push({ name: scales, type: scalesType, access: 'read' });
    return texts;
  });
}

/** `q4_1x576_q4_1x192`: format and rows of each source, for names. */
export function segmentsLabel(segments: readonly Segment[]): string {
  return segments.flatMap(({ rows, sources }) => sources.map(({ format }) => `${format}x${rows}`)).join('_');
}

/** FNV-1a, 32 bits. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return (value >>> 0).toString(16).padStart(8, '0');
}

/**
 * Assembles the source. The kernel's name is its label and a hash of its source, so equal kernels share a name and
 * different ones never do.
 */
export function createKernel(text: KernelText): KernelSource {
  const builtins = [
    '@builtin(workgroup_id) workgroup: vec3<u32>',
    '@builtin(num_workgroups) workgroups: vec3<u32>',
    '@builtin(local_invocation_index) lane: u32',
    ...(text.subgroups
      ? ['@builtin(subgroup_size) subgroup_size: u32', '@builtin(subgroup_invocation_id) subgroup_lane: u32']
      : []),
  ];
  const source = (name: string) => `${text.header.map((line) => `// ${line}`).join('\n')}
${[...(text.f16 ? ['enable f16;'] : []), ...(text.subgroups ? ['enable subgroups;'] : [])].join('\n')}

${text.bindings
  .map(
    ({ name: variable, type, access }, i) =>
      `@group(0) @binding(${i}) var<storage, ${access}> ${variable}: ${type};`,
  )
  .join('\n')}
struct Uniforms {${text.uniforms.map((uniform) => ` ${uniform}: i32,`).join('')} packGridDimX: u32 }
@group(0) @binding(${text.bindings.length}) var<uniform> uniforms: Uniforms;

${text.declarations.join('\n')}

@compute @workgroup_size(${text.workgroupSize})
fn ${name}(${builtins.join(', ')}) {
  let group = workgroup.z * workgroups.x + workgroup.x;
  if (group >= uniforms.packGridDimX) { return; }
${text.body}
}
`;
  const name = `${text.label}_${hash(source(''))}`;
  return {
    name,
    wgsl: source(name),
    bindings: text.bindings.map(({ access }) => access),
    uniforms: text.uniforms,
  };
}

/** `swiglu(gate, up)`; the bound keeps exp finite, where silu is 0 in f32 anyway. */
export const SWIGLU_FUNCTION =
  'fn swiglu(gate: f32, up: f32) -> f32 { return gate / (1.0 + exp(-max(gate, -80.0))) * up; }';

/**
 * Statements that find the rows of this workgroup: declare and set `group_row` (its first row within its segment),
 * `row_count` and `output_row` (of the segment) and, for each source i, `part<i>` and `first_row<i>` (the segment's first
 * row within the part). A part's number counts among the parts of its source. `height` is the rows of a workgroup.
 */
export function placeStatements(
  segments: readonly Segment[],
  parts: readonly PartBinding[],
  height: number,
): string {
  const numbered = segments[0]!.sources.map((_, s) => sourceParts(segments, parts, s));
  let start = 0;
  const places = segments.map((segment, i) => {
    const first = start;
    start += Math.ceil(segment.rows / height);
    const assignments = [
      `group_row = (group - ${first}u) * ${height}u; row_count = ${segment.rows}u; output_row = ${segment.outputRow}u;`,
      ...segment.sources.map(({ part, firstRow }, s) => {
        const number = numbered[s]!.findIndex((binding) => binding.part.quants === part.quants);
        return `part${s} = ${number}u; first_row${s} = ${firstRow}u;`;
      }),
    ];
    return `${i < segments.length - 1 ? `if (group < ${start}u) ` : ''}{ ${assignments.join(' ')} }`;
  });
  const variables = segments[0]!.sources.map((_, s) => ` var part${s} = 0u; var first_row${s} = 0u;`);
  return `var group_row = 0u; var row_count = 0u; var output_row = 0u;${variables.join('')}
  ${places.join(' else ')}`;
}
