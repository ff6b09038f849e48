/**
 * Runs the steps of a program on a bare device, the way WebLLM's runtime does: one compute pass per dispatch, buffers
 * bound whole, uniforms as i32 followed by packGridDimX, a grid of 65,536 or more in x folded into z.
 */
import { bindStep, bufferKey, createPipeline, dispatchStep } from '../../src/modellib/bind-step.ts';
import type { KernelSource, Step, Variable } from '../../src/modellib/library-spec.ts';

export type BufferContents = ArrayBufferView | { byteLength: number };

export interface StepRun {
  /** Contents by {@link bufferKey}. */
  buffers: Record<string, BufferContents>;
  variables?: Partial<Record<Variable, number>>;
  /** Keys of the buffers to read back. */
  read: string[];
  /** How often to run the steps. Default 1. */
  repeat?: number;
}

/** Software drivers take seconds to compile a kernel, so a device keeps those that it has, by binding and source. */
const compiled = new WeakMap<GPUDevice, Map<string, GPUComputePipeline>>();

/** @throws as {@link createPipeline} */
export async function getPipeline(device: GPUDevice, kernel: KernelSource): Promise<GPUComputePipeline> {
  const cache = compiled.get(device) ?? new Map<string, GPUComputePipeline>();
  compiled.set(device, cache);
  const cacheKey = [...kernel.bindings, kernel.name, kernel.wgsl].join('\n');
  const known = cache.get(cacheKey);
  if (known !== undefined) return known;
  const pipeline = await createPipeline(device, kernel);
  cache.set(cacheKey, pipeline);
  return pipeline;
}

/** @returns the bytes of each buffer in `run.read`. @throws Error on any WebGPU validation error. */
export async function runSteps(
  device: GPUDevice,
  steps: readonly Step[],
  run: StepRun,
): Promise<Record<string, ArrayBuffer>> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const created: GPUBuffer[] = [];
  const create = (byteLength: number, usage: number) => {
    const buffer = device.createBuffer({ size: Math.max(16, Math.ceil(byteLength / 4) * 4), usage });
    created.push(buffer);
    return buffer;
  };
  const variables: Record<Variable, number> = {
    one: 1,
    tokens: 1,
    position: 0,
    length: 1,
    count: 0,
    biased: 0,
    ...run.variables,
  };
  const buffers = new Map<string, GPUBuffer>();
  for (const [name, contents] of Object.entries(run.buffers)) {
    const buffer = create(
      contents.byteLength,
      GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    );
    if (ArrayBuffer.isView(contents)) {
      const bytes = new Uint8Array(Math.ceil(contents.byteLength / 4) * 4);
      bytes.set(new Uint8Array(contents.buffer, contents.byteOffset, contents.byteLength));
      device.queue.writeBuffer(buffer, 0, bytes);
    }
    buffers.set(name, buffer);
  }
  try {
    const pipelines = new Map<string, GPUComputePipeline>();
    for (const { kernel } of steps) {
      if (!pipelines.has(kernel.name)) pipelines.set(kernel.name, await getPipeline(device, kernel));
    }
    const encoder = device.createCommandEncoder();
    for (let repetition = 0; repetition < (run.repeat ?? 1); repetition++) {
      for (const step of steps) {
        const bound = bindStep(device, step, pipelines.get(step.kernel.name)!, {
          variables,
          bufferOf(ref) {
            const buffer = buffers.get(bufferKey(ref));
            if (buffer === undefined)
              throw new Error(`${step.kernel.name}: no contents for ${bufferKey(ref)}`);
            return buffer;
          },
          createUniform(contents) {
            const uniform = create(contents.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
            device.queue.writeBuffer(uniform, 0, contents);
            return uniform;
          },
        });
        if (bound === null) continue;
        const pass = encoder.beginComputePass();
        dispatchStep(pass, bound);
        pass.end();
      }
    }
    const staging = run.read.map((name) => {
      const source = buffers.get(name);
      if (source === undefined) throw new Error(`no buffer ${name} to read`);
      const target = create(source.size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
      encoder.copyBufferToBuffer(source, 0, target, 0, source.size);
      return target;
    });
    device.queue.submit([encoder.finish()]);
    const results: Record<string, ArrayBuffer> = {};
    for (const [i, buffer] of staging.entries()) {
      await buffer.mapAsync(GPUMapMode.READ);
      results[run.read[i]!] = buffer.getMappedRange().slice(0);
    }
    const error = await popErrorScopes(device);
    if (error !== null) throw new Error(`WebGPU: ${error.message}`);
    return results;
  } catch (error) {
    // A validation error explains what follows from it (a failed submit, a mapping that never comes).
    const reported = await popErrorScopes(device).catch(() => null);
    throw reported === null ? error : new Error(`WebGPU: ${reported.message}`, { cause: error });
  } finally {
    for (const buffer of created) buffer.destroy();
  }
}

async function popErrorScopes(device: GPUDevice): Promise<GPUError | null> {
  const memory = await device.popErrorScope();
  return memory ?? (await device.popErrorScope());
}
