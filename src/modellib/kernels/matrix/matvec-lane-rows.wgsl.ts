/**
 * The matrix-vector product for processors that pose as GPUs (SwiftShader, lavapipe): each lane has rows of its own, so
 * nothing is added up across lanes; a quad of lanes loads a block of x together and shares it by broadcast. See
 * matmul-lane-rows.wgsl.ts for why there is no workgroup memory. On a real GPU the lanes' loads of weights would be far
 * apart in memory.
 */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { dotFunction, hasBias, loadsF16 } from '../../weight-formats/part-code.ts';
import { createKernel, placeStatements, SWIGLU_FUNCTION, segmentsLabel } from './kernel-text.ts';
import {
  activationCode,
  LANE_ROWS_SUMS,
  type LaneRowsShape,
  type MatvecKernel,
  matvecBindings,
} from './matvec-shape.ts';
import { partBindings, sourceParts } from './segments.ts';

export function laneRowsMatvecKernel(
  kernel: MatvecKernel & { shape: LaneRowsShape },
  caps: GpuCaps,
): KernelSource {
  const { columns, segments, norm, epilogue } = kernel;
  const { lanes } = kernel.shape;
  const blocks = columns / 32;
  const sources = epilogue === 'swiglu' ? 2 : 1;
  const laneRows = LANE_ROWS_SUMS / sources;
  const parts = partBindings(segments);
  const f16 = loadsF16(parts, caps.shaderF16);
  const needsSum = parts.some(({ format }) => hasBias(format));
  const squares = (text: string) => (norm === null ? '' : text);
  const list = <T>(count: number, item: (i: number) => T): T[] =>
    Array.from({ length: count }, (_, i) => item(i));
  const own = (i: number) =>
    norm === null
      ? `let n${i} = x[at + ${i}u];`
      : `let x${i} = x[at + ${i}u]; squares = fma(x${i}, x${i}, squares); let n${i} = x${i} * gain[own + ${i}u];`;
  const activations = list(sources, (s) => activationCode(sourceParts(segments, parts, s)));
  const sourceCode = activations.map(({ statement, factor }, s) => {
    const broadcast = [
      statement,
      ...list(2, (i) => `let f${i} = n${i}${factor === null ? '' : ` * ${factor}`};`),
      ...list(8, (i) => `let b${i} = quadBroadcast(f${i & 1}, ${i >> 1}u);`),
    ].join(' ');
    const rows = `for (var r = 0u; r < ${laneRows}u; r++) {
      // Rows past the last repeat it: they are computed and not stored.
      let block_row = first_row${s} + min(row + r * ${lanes}u, row_count - 1u);
      let product = dot_block${s}(part, block_row * ${blocks}u + x_block, ${list(8, (i) => `b${i}`).join(', ')}, x_sum);
      sums += select(vec4<f32>(0.0), vec4<f32>(product), vec4<u32>(r + ${s * laneRows}u) == vec4<u32>(0u, 1u, 2u, 3u));
    }`;
    return `{ let part = part${s};\n    ${broadcast}\n    ${rows} }`;
  });
  const write = list(laneRows, (r) => {
    const y = `y.${'xyzw'[r]}`;
    const value = {
      store: `= ${y}`,
      add: `+= ${y}`,
      swiglu: `= swiglu(${y}, y.${'xyzw'[r + laneRows]})`,
    }[epilogue];
    return `if (row + ${r * lanes}u < row_count) { result[output_row + row + ${r * lanes}u] ${value}; }`;
  });
  return createKernel({
    label: [kernel.op, columns, segmentsLabel(segments), `lane_rows_${lanes}`, ...(f16 ? ['f16'] : [])].join(
      '_',
    ),
    header: [
      ...kernel.header,
      `Workgroup: ${lanes} lanes of ${laneRows} output rows. Shared: 0 bytes.`,
      `Needs: ${f16 ? 'shader-f16, ' : ''}subgroups of any size (quads). Sums in f32. Tolerance vs reference: 1e-4 of the largest output (order of sums).`,
    ],
    bindings: matvecBindings(norm, parts, caps),
    uniforms: kernel.rowUniform ? ['row'] : [],
    workgroupSize: lanes,
    declarations: [
      ...list(sources, (s) => dotFunction(`dot_block${s}`, sourceParts(segments, parts, s), caps.shaderF16)),
      epilogue === 'swiglu' ? SWIGLU_FUNCTION : '',
    ],
    body: `  let quad_lane = subgroup_lane & 3u;
  let x_row = ${kernel.rowUniform ? `u32(uniforms.row) * ${columns / 4}u` : '0u'};
  ${placeStatements(segments, parts, lanes * laneRows)}
  let row = group_row + lane;
  var sums = vec4<f32>(0.0);
  ${squares('var squares = vec4<f32>(0.0);')}
  for (var x_block = 0u; x_block < ${blocks}u; x_block++) {
    // Two of the block's eight vectors are this lane's to load.
    let own = x_block * 8u + quad_lane * 2u;
    let at = x_row + own;
    ${list(2, own).join('\n    ')}
    ${needsSum ? 'let own_sum = dot(n0 + n1, vec4<f32>(1.0));' : ''}
    let x_sum = ${needsSum ? list(4, (i) => `quadBroadcast(own_sum, ${i}u)`).join(' + ') : '0.0'};
    ${sourceCode.join('\n    ')}
  }
  var y = sums;
  ${squares(`let own_square = dot(squares, vec4<f32>(1.0));
  let square = ${list(4, (i) => `quadBroadcast(own_square, ${i}u)`).join(' + ')};
  y *= inverseSqrt(square / ${columns}.0 + ${norm?.epsilon});`)}
  ${write.join('\n  ')}`,
    f16,
    subgroups: true,
  });
}
