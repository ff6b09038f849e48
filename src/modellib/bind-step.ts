/**
 * Puts a step of a program onto a bare device, laid out as WebLLM's runtime does it: buffers bound whole, uniforms as
 * i32 followed by packGridDimX, a grid of 65,536 or more in x folded into z. For whoever runs plans without WebLLM:
 * the kernel view, and the kernels' tests.
 */
import { TramontaneError } from '../base/errors.ts';
import { type BufferRef, evaluateDim, type KernelSource, type Step, type Variable } from './library-spec.ts';

/** `planned:NAME`, `weight:RECORD` or `argument:INDEX`. */
export function bufferKey(ref: BufferRef): string {
  if (ref.kind === 'planned') return `planned:${ref.name}`;
  if (ref.kind === 'weight') return `weight:${ref.record}`;
  return `argument:${ref.index}`;
}

/** @throws TramontaneError `shader-invalid` with the compiler's messages and the source. */
export async function createPipeline(device: GPUDevice, kernel: KernelSource): Promise<GPUComputePipeline> {
  const module = device.createShaderModule({ code: kernel.wgsl, label: kernel.name });
  const bad = (await module.getCompilationInfo()).messages.filter((message) => message.type === 'error');
  if (bad.length > 0) {
    const lines = kernel.wgsl.split('\n').map((line, i) => `${i + 1}: ${line}`);
    throw new TramontaneError(
      'shader-invalid',
      `${kernel.name}: ${bad.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join('; ')}\n${lines.join('\n')}`,
      { data: { kernel: kernel.name } },
    );
  }
  const { COMPUTE } = GPUShaderStage;
  const layout = device.createBindGroupLayout({
    entries: [
      ...kernel.bindings.map((access, binding) => ({
        binding,
        visibility: COMPUTE,
        buffer: { type: access === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
      })),
      { binding: kernel.bindings.length, visibility: COMPUTE, buffer: { type: 'uniform' as const } },
    ],
  });
  return device.createComputePipelineAsync({
    label: kernel.name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: kernel.name },
  });
}

/** A step that can be dispatched as often as one likes. */
export interface BoundStep {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  workgroups: readonly [x: number, y: number, z: number];
}

export interface StepBinding {
  variables: Readonly<Record<Variable, number>>;
  bufferOf(ref: BufferRef): GPUBuffer;
  /** A uniform buffer of these contents; the caller destroys it. */
  createUniform(contents: Int32Array<ArrayBuffer>): GPUBuffer;
}

/** Null for a step that has nothing to do with these variables. */
export function bindStep(
  device: GPUDevice,
  step: Step,
  pipeline: GPUComputePipeline,
  { variables, bufferOf, createUniform }: StepBinding,
): BoundStep | null {
  const gridX = evaluateDim(step.grid[0], variables);
  const gridY = evaluateDim(step.grid[1], variables);
  if (gridX === 0 || gridY === 0) return null;
  let [x, z] = [gridX, 1];
  while (x >= 65536) [x, z] = [Math.ceil(x / 2), z * 2];
  const uniforms = new Int32Array([...step.uniforms.map((expr) => evaluateDim(expr, variables)), gridX]);
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [...step.buffers.map(bufferOf), createUniform(uniforms)].map((buffer, binding) => ({
      binding,
      resource: { buffer },
    })),
  });
  return { pipeline, bindGroup, workgroups: [x, gridY, z] };
}

export function dispatchStep(
  pass: GPUComputePassEncoder,
  { pipeline, bindGroup, workgroups }: BoundStep,
): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...workgroups);
}
