/** WGSL of what changes logits before the draw: grammar mask, logit bias, penalties. */
import type { KernelSource } from '../../library-spec.ts';
import { createKernel } from '../matrix/kernel-text.ts';

export const ELEMENTWISE_WORKGROUP = 64;

/** What a masked logit is set to: the least f32, not an infinity, which WGSL does not promise to keep. */
export const MASKED_WGSL = '-0x1.fffffep+127';

/** Sorted ids as inclusive ranges. */
export function idRanges(ids: readonly number[]): [first: number, last: number][] {
  const ranges: [number, number][] = [];
  for (const id of [...new Set(ids)].sort((a, b) => a - b)) {
    const previous = ranges.at(-1);
    if (previous !== undefined && previous[1] === id - 1) previous[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}

export function maskKernel(vocabularySize: number, blocked: readonly [number, number][]): KernelSource {
  return createKernel({
    label: `apply_bitmask_v${vocabularySize}`,
    header: [
      'apply_bitmask: x[v] = -f32max where bit v % 32 of word v / 32 is clear, and for control tokens',
      'logits (V) f32; mask (ceil(V / 32)) u32. Control tokens would pass as text inside a JSON string.',
      `params: V ${vocabularySize}. One invocation: one token. Shared: none. Needs: none. Exact.`,
    ],
    bindings: [
      { name: 'logits', type: 'array<f32>', access: 'read_write' },
      { name: 'mask', type: 'array<u32>', access: 'read' },
    ],
    uniforms: [],
    workgroupSize: ELEMENTWISE_WORKGROUP,
    declarations: [`const VOCABULARY = ${vocabularySize}u;`],
    body: `
  let token = group * ${ELEMENTWISE_WORKGROUP}u + lane;
  if (token >= VOCABULARY) { return; }
  var blocked = ((mask[token / 32u] >> (token % 32u)) & 1u) == 0u;
${blocked.map(([first, last]) => `  blocked = blocked || (token >= ${first}u && token <= ${last}u);`).join('\n')}
  if (blocked) { logits[token] = ${MASKED_WGSL}; }`,
    f16: false,
    subgroups: false,
  });
}

export function logitBiasKernel(vocabularySize: number, extraCount: number): KernelSource {
  const workgroup = 256;
  return createKernel({
    label: `apply_logit_bias_v${vocabularySize}`,
    header: [
      'apply_logit_bias: x[id] += bias; an id from V on stores its bias in extras[id - V] instead',
      `logits (V) f32; ids (n) i32, distinct; biases (n) f32; extras (${extraCount}) f32, cleared first`,
      `params: V ${vocabularySize}. One workgroup, so that the clearing comes first. Shared: none. Needs: none. Exact.`,
    ],
    bindings: [
      { name: 'logits', type: 'array<f32>', access: 'read_write' },
      { name: 'ids', type: 'array<i32>', access: 'read' },
      { name: 'biases', type: 'array<f32>', access: 'read' },
      { name: 'extras', type: 'array<f32>', access: 'read_write' },
    ],
    uniforms: ['count'],
    workgroupSize: workgroup,
    declarations: [`const VOCABULARY = ${vocabularySize};\nconst EXTRAS = ${extraCount};`],
    body: `
  if (lane < u32(EXTRAS)) { extras[lane] = 0.0; }
  storageBarrier();
  for (var i = i32(lane); i < uniforms.count; i += ${workgroup}) {
    let id = ids[i];
    if (id >= 0 && id < VOCABULARY) {
      logits[id] += biases[i];
    } else if (id >= VOCABULARY && id < VOCABULARY + EXTRAS) {
      extras[id - VOCABULARY] = biases[i];
    }
  }`,
    f16: false,
    subgroups: false,
  });
}

export function penaltyKernel(vocabularySize: number): KernelSource {
  return createKernel({
    label: `apply_penalty_v${vocabularySize}`,
    header: [
      'apply_penalty: x -= presence + count * frequency, then x = x < 0 ? x * repetition : x / repetition',
      'logits (V) f32; ids (n) i32, distinct; counts (n) i32; penalties (3) f32: presence, frequency, repetition',
      `params: V ${vocabularySize}. One invocation: one id. Shared: none. Needs: none. Tolerance vs reference: 1e-6.`,
    ],
    bindings: [
      { name: 'logits', type: 'array<f32>', access: 'read_write' },
      { name: 'ids', type: 'array<i32>', access: 'read' },
      { name: 'counts', type: 'array<i32>', access: 'read' },
      { name: 'penalties', type: 'array<f32>', access: 'read' },
    ],
    uniforms: ['count'],
    workgroupSize: ELEMENTWISE_WORKGROUP,
    declarations: [`const VOCABULARY = ${vocabularySize};`],
    body: `
  let i = i32(group * ${ELEMENTWISE_WORKGROUP}u + lane);
  if (i >= uniforms.count) { return; }
  let id = ids[i];
  if (id < 0 || id >= VOCABULARY) { return; }
  var x = logits[id];
  // A masked logit stays what it is: times a penalty it would become an infinity.
  if (x <= ${MASKED_WGSL}) { return; }
  x -= penalties[0] + f32(counts[i]) * penalties[1];
  logits[id] = select(x / penalties[2], x * penalties[2], x < 0.0);`,
    f16: false,
    subgroups: false,
  });
}
