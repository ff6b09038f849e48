import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';

export interface RmsNormShape {
  columns: number;
  epsilon: number;
  lanes: number;
}

/** Bindings: x, gain, y. No uniforms: the grid is one workgroup a token. */
export function rmsNormKernel({ columns, epsilon, lanes }: RmsNormShape, caps: GpuCaps): KernelSource {
  const vectors = columns / 4;
  const { subgroups } = caps;
  const slots = subgroups ? Math.ceil(lanes / 4) : lanes;
  return createKernel({
    label: ['rms_norm', columns, lanes, ...(subgroups ? ['sg'] : [])].join('_'),
    header: [
      'rms_norm: y[t,k] = x[t,k] * gain[k] * rsqrt(mean_k(x[t,k]^2) + eps)',
      'x (tokens,K) f32; gain (K) f32; y (tokens,K) f32',
      `Workgroup: one token, ${lanes} lanes. Shared: ${slots * 4} bytes.`,
      `Needs: ${subgroups ? 'subgroups (of any size)' : 'none'}. Tolerance vs reference: 1e-5 (order of f32 sums).`,
    ],
    bindings: [
      { name: 'x', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'gain', type: 'array<vec4<f32>>', access: 'read' },
      { name: 'result', type: 'array<vec4<f32>>', access: 'read_write' },
    ],
    uniforms: [],
    workgroupSize: lanes,
    declarations: [`var<workgroup> partials: array<f32, ${slots}>;`],
    body: `  let start = group * ${vectors}u;
  var squares = vec4<f32>(0.0);
  for (var k = lane; k < ${vectors}u; k += ${lanes}u) {
    let value = x[start + k];
    squares = fma(value, value, squares);
  }
  let square = dot(squares, vec4<f32>(1.0));
  ${
    subgroups
      ? `let all = subgroupAdd(square);
  let slots = (${lanes}u + subgroup_size - 1u) / subgroup_size;
  if (subgroup_lane == 0u) { partials[lane / subgroup_size] = all; }`
      : `const slots = ${lanes}u;
  partials[lane] = square;`
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < slots; i++) { total += partials[i]; }
  let factor = inverseSqrt(total / ${columns}.0 + ${epsilon});
  for (var k = lane; k < ${vectors}u; k += ${lanes}u) {
    result[start + k] = x[start + k] * gain[k] * factor;
  }`,
    f16: false,
    subgroups,
  });
}
