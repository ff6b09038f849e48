/** WGSL of the distribution over the vocabulary: two kernels, joined by a maximum and a sum for each chunk. */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';
import { reduceArguments, workgroupReduceWgsl } from '../workgroup-reduce/workgroup-reduce.wgsl.ts';

/** Tokens of one workgroup. */
export const SOFTMAX_CHUNK = 2048;

const WORKGROUP = 256;
const EACH = SOFTMAX_CHUNK / WORKGROUP;

/**
 * WGSL: `read_logit(id) -> f32`, with NaN, -infinity and what a mask wrote all as MASKED, and +infinity as the largest
 * f32. By bits: a compiler may assume that there are no NaNs and drop a comparison that looks for one.
 */
export const readLogitWgsl = `const MASKED = -0x1.fffffep+127;
fn read_logit(id: u32) -> f32 {
  let bits = logits[id];
  if ((bits & 0x7fffffffu) < 0x7f800000u) { return bitcast<f32>(bits); }
  return select(MASKED, -MASKED, bits == 0x7f800000u);
}`;

export function softmaxPartialKernel(vocabularySize: number, { subgroups }: GpuCaps): KernelSource {
  return createKernel({
    label: `softmax_partial_v${vocabularySize}${subgroups ? '_subgroups' : ''}`,
    header: [
      'softmax_partial: for each chunk of the logits, m = max x and l = sum exp(x - m) over the unmasked ones',
      'logits (V) f32, read as bits; partials (chunks, 2) f32: m, l',
      `params: V ${vocabularySize}, chunk ${SOFTMAX_CHUNK}. Workgroup: one chunk. Shared: ${subgroups ? 512 : 2176} bytes.`,
      `Needs: ${subgroups ? 'subgroups' : 'none'}. Tolerance vs reference: see softmax_write.`,
    ],
    bindings: [
      { name: 'logits', type: 'array<u32>', access: 'read' },
      { name: 'partials', type: 'array<vec2<f32>>', access: 'read_write' },
    ],
    uniforms: [],
    workgroupSize: WORKGROUP,
    declarations: [
      `const VOCABULARY = ${vocabularySize}u;`,
      readLogitWgsl,
      workgroupReduceWgsl('max_of_all', 'max', WORKGROUP, subgroups),
      workgroupReduceWgsl('sum_of_all', 'sum', WORKGROUP, subgroups),
    ],
    body: `
  var own: array<f32, ${EACH}>;
  var own_maximum = MASKED;
  for (var i = 0u; i < ${EACH}u; i++) {
    let id = group * ${SOFTMAX_CHUNK}u + i * ${WORKGROUP}u + lane;
    own[i] = MASKED;
    if (id < VOCABULARY) { own[i] = read_logit(id); }
    own_maximum = max(own_maximum, own[i]);
  }
  let maximum = max_of_all(own_maximum, ${reduceArguments(subgroups)});
  var own_sum = 0.0;
  for (var i = 0u; i < ${EACH}u; i++) {
    if (own[i] > MASKED) { own_sum += exp(own[i] - maximum); }
  }
  let sum = sum_of_all(own_sum, ${reduceArguments(subgroups)});
  if (lane == 0u) { partials[group] = vec2<f32>(maximum, sum); }`,
    f16: false,
    subgroups,
  });
}

export function softmaxWriteKernel(vocabularySize: number, { subgroups }: GpuCaps): KernelSource {
  const chunks = Math.ceil(vocabularySize / SOFTMAX_CHUNK);
  return createKernel({
    label: `softmax_write_v${vocabularySize}${subgroups ? '_subgroups' : ''}`,
    header: [
      'softmax_write: p[v] = exp(x[v] - m) / l, with m and l of the whole vocabulary from those of the chunks',
      'logits (V) f32, read as bits; partials (chunks, 2) f32; probs (V) f32',
      `params: V ${vocabularySize}, chunk ${SOFTMAX_CHUNK}. Workgroup: one chunk. Shared: ${subgroups ? 512 : 2176} bytes.`,
      `Needs: ${subgroups ? 'subgroups' : 'none'}. Tolerance vs reference: 1e-5 of a probability (exp of a GPU: 3 + 2 |x| ulp).`,
    ],
    bindings: [
      { name: 'logits', type: 'array<u32>', access: 'read' },
      { name: 'partials', type: 'array<vec2<f32>>', access: 'read' },
      { name: 'probs', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: [],
    workgroupSize: WORKGROUP,
    declarations: [
      `const VOCABULARY = ${vocabularySize}u;\nconst CHUNKS = ${chunks}u;`,
      readLogitWgsl,
      workgroupReduceWgsl('max_of_all', 'max', WORKGROUP, subgroups),
      workgroupReduceWgsl('sum_of_all', 'sum', WORKGROUP, subgroups),
    ],
    body: `
  var own_maximum = MASKED;
  for (var i = lane; i < CHUNKS; i += ${WORKGROUP}u) { own_maximum = max(own_maximum, partials[i].x); }
  let maximum = max_of_all(own_maximum, ${reduceArguments(subgroups)});
  var own_sum = 0.0;
  for (var i = lane; i < CHUNKS; i += ${WORKGROUP}u) {
    let part = partials[i];
    if (part.y > 0.0) { own_sum += part.y * exp(part.x - maximum); }
  }
  let sum = sum_of_all(own_sum, ${reduceArguments(subgroups)});
  for (var i = 0u; i < ${EACH}u; i++) {
    let id = group * ${SOFTMAX_CHUNK}u + i * ${WORKGROUP}u + lane;
    if (id < VOCABULARY) {
      let x = read_logit(id);
      var p = 0.0;
      if (x > MASKED) { p = exp(x - maximum) / sum; }
      probs[id] = p;
    }
  }`,
    f16: false,
    subgroups,
  });
}
