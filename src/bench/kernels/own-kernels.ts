/** Kernels of the kernel view's own: random contents, a copy, bare arithmetic, and next to nothing. */
import { type BoundStep, bindStep, createPipeline } from '../../modellib/bind-step.ts';
import { createKernel, type KernelText } from '../../modellib/kernels/matrix/kernel-text.ts';
import { constant, type DimExpr, planned, type Step } from '../../modellib/library-spec.ts';
import type { BenchDevice } from './bench-device.ts';

type OwnKernel = Pick<KernelText, 'label' | 'header' | 'bindings' | 'uniforms' | 'body'> & {
  workgroupSize: number;
};

function ownStep(kernel: OwnKernel, uniforms: readonly DimExpr[], workgroups: number): Step {
  return {
    kernel: createKernel({ ...kernel, declarations: [], f16: false, subgroups: false }),
    buffers: kernel.bindings.map(({ name }) => planned(name)),
    uniforms,
    grid: [constant(workgroups), constant(1)],
    work: { op: kernel.label, shape: '', formats: [], bytes: [], flops: null },
  };
}

/** Binds steps of this module, keeping their pipelines and uniforms. */
export class OwnKernels {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #uniforms: GPUBuffer[] = [];

  constructor({ device }: BenchDevice) {
    this.#device = device;
  }

  /** @param buffers by binding name */
  async bind(step: Step, buffers: Readonly<Record<string, GPUBuffer>>): Promise<BoundStep> {
    const device = this.#device;
    const { kernel } = step;
    const pipeline = this.#pipelines.get(kernel.name) ?? createPipeline(device, kernel);
    this.#pipelines.set(kernel.name, pipeline);
    const bound = bindStep(device, step, await pipeline, {
      variables: { one: 1, tokens: 1, position: 0, length: 1, count: 0, biased: 0 },
      bufferOf: (ref) => buffers[(ref as { name: string }).name]!,
      createUniform: (contents) => {
        const uniform = createUniform(device, contents);
        this.#uniforms.push(uniform);
        return uniform;
      },
    });
    return bound!;
  }

  destroy(): void {
    for (const uniform of this.#uniforms) uniform.destroy();
  }
}

export function createUniform(device: GPUDevice, contents: Int32Array<ArrayBuffer>): GPUBuffer {
  const uniform = device.createBuffer({
    size: contents.byteLength,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  device.queue.writeBuffer(uniform, 0, contents);
  return uniform;
}

/** What random contents look like: any bits, or numbers of either sign between 2^-exponent and twice that. */
export type Contents =
  | { kind: 'bits' }
  | { kind: 'f16'; exponent: number }
  | { kind: 'f32'; exponent: number };

const FILL_LANES = 256;
const FILL_KINDS: readonly Contents['kind'][] = ['bits', 'f16', 'f32'];

/** Fills `contents`, a buffer of `byteLength` rounded up to 16; another seed, other contents. */
export function fillStep(contents: Contents, byteLength: number, seed: number): Step {
  const vectors = Math.ceil(byteLength / 16);
  return ownStep(
    {
      label: 'fill',
      header: [
        'fill: random contents, by a hash of the index. kind 0: bits; 1: two f16 a word; 2: f32',
        'contents (vectors) vec4<u32>. The hash is the finaliser of MurmurHash3.',
      ],
      bindings: [{ name: 'contents', type: 'array<vec4<u32>>', access: 'read_write' }],
      uniforms: ['vectors', 'seed', 'kind', 'exponent'],
      workgroupSize: FILL_LANES,
      body: `  let at = group * ${FILL_LANES}u + lane;
  if (at >= u32(uniforms.vectors)) { return; }
  var h = vec4<u32>(at * 4u) + vec4<u32>(0u, 1u, 2u, 3u) + vec4<u32>(u32(uniforms.seed) * 0x9e3779b9u);
  h = (h ^ (h >> vec4<u32>(16u))) * 0x85ebca6bu;
  h = (h ^ (h >> vec4<u32>(13u))) * 0xc2b2ae35u;
  h = h ^ (h >> vec4<u32>(16u));
  // An exponent and a sign for each number: what is left of its bits are the fraction.
  if (uniforms.kind == 1) { h = (h & vec4<u32>(0x83ff83ffu)) | vec4<u32>(u32(15 - uniforms.exponent) * 0x04000400u); }
  if (uniforms.kind == 2) { h = (h & vec4<u32>(0x807fffffu)) | vec4<u32>(u32(127 - uniforms.exponent) << 23u); }
  contents[at] = h;`,
    },
    [
      constant(vectors),
      constant(seed),
      constant(FILL_KINDS.indexOf(contents.kind)),
      constant(contents.kind === 'bits' ? 0 : contents.exponent),
    ],
    Math.ceil(vectors / FILL_LANES),
  );
}

/** Copies `vectors` vec4s; each lane takes `each` of them, a workgroup's width apart. Buffers: original, copied. */
export function copyStep(vectors: number, lanes: number, each: number): Step {
  return ownStep(
    {
      label: `copy_${lanes}x${each}`,
      header: ['copy: copied[i] = original[i]', 'original, copied (vectors) vec4<u32>'],
      bindings: [
        { name: 'original', type: 'array<vec4<u32>>', access: 'read' },
        { name: 'copied', type: 'array<vec4<u32>>', access: 'read_write' },
      ],
      uniforms: ['vectors'],
      workgroupSize: lanes,
      body: `  for (var i = 0u; i < ${each}u; i++) {
    let at = (group * ${each}u + i) * ${lanes}u + lane;
    if (at < u32(uniforms.vectors)) { copied[at] = original[at]; }
  }`,
    },
    [constant(vectors)],
    Math.ceil(vectors / (lanes * each)),
  );
}

const ARITHMETIC_LANES = 64;
const ARITHMETIC_CHAINS = 8;
const ARITHMETIC_LOOPS = 256;

/** Operations of one workgroup of {@link arithmeticStep}: chains of vec4 multiply-adds. */
const ARITHMETIC_FLOPS = ARITHMETIC_LANES * ARITHMETIC_CHAINS * 4 * 2 * ARITHMETIC_LOOPS;

/** As many multiply-adds as the GPU can do from registers. Buffers: factors f32 [8], sums f32 [workgroups, 256]. */
export function arithmeticStep(workgroups: number): { step: Step; flops: number; sumBytes: number } {
  const chains = (text: (i: number) => string) =>
    Array.from({ length: ARITHMETIC_CHAINS }, (_, i) => text(i)).join(' ');
  const step = ownStep(
    {
      label: 'arithmetic',
      header: [
        'arithmetic: chains of sum = sum * factor + term, each lane for itself',
        'factors (2) vec4<f32>, below 1 in magnitude; sums (lanes) vec4<f32>',
      ],
      bindings: [
        { name: 'factors', type: 'array<vec4<f32>>', access: 'read' },
        { name: 'sums', type: 'array<vec4<f32>>', access: 'read_write' },
      ],
      uniforms: [],
      workgroupSize: ARITHMETIC_LANES,
      body: `  let factor = factors[0];
  let term = factors[1];
  ${chains((i) => `var sum${i} = term * f32(lane + ${i}u);`)}
  for (var i = 0u; i < ${ARITHMETIC_LOOPS}u; i++) {
    ${chains((i) => `sum${i} = fma(sum${i}, factor, term);`)}
  }
  var all = vec4<f32>(0.0);
  ${chains((i) => `all += sum${i};`)}
  sums[group * ${ARITHMETIC_LANES}u + lane] = all;`,
    },
    [],
    workgroups,
  );
  return { step, flops: workgroups * ARITHMETIC_FLOPS, sumBytes: workgroups * ARITHMETIC_LANES * 16 };
}

/** One lane that writes one word. Buffer: word. */
export function nothingStep(): Step {
  return ownStep(
    {
      label: 'nothing',
      header: ['nothing: the least that a GPU can be asked for'],
      bindings: [{ name: 'word', type: 'array<u32>', access: 'read_write' }],
      uniforms: [],
      workgroupSize: 1,
      body: '  word[0] = group;',
    },
    [],
    1,
  );
}
