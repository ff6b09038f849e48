/** Test tool: many draws from the same logits with different uniform numbers, in one submission. */
import { getPipeline } from '../../../../tests/gpu/run-steps.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { planned } from '../../library-spec.ts';
import { encodeSamplingExtras, planSample, SAMPLING_EXTRAS_BYTES } from './sampling.plan.ts';
import type { SampleSettings } from './sampling.reference.ts';

/** Bindings at an offset need this alignment on every device. */
const STRIDE = 256;

/** The contents of the extras buffer that the logit bias kernel would leave. */
export function extrasContents(vocabularySize: number, settings: SampleSettings): Float32Array {
  const { topK = 0, minP = 0 } = settings;
  const contents = new Float32Array(SAMPLING_EXTRAS_BYTES / 4);
  for (const [id, value] of Object.entries(encodeSamplingExtras({ topK, minP, vocabularySize }))) {
    contents[Number(id) - vocabularySize] = value;
  }
  return contents;
}

/** @returns the token of each draw. @throws Error on any WebGPU validation error. */
export async function drawMany(
  { device, caps }: { device: GPUDevice; caps: GpuCaps },
  logits: Float32Array,
  settings: SampleSettings,
  uniforms: ArrayLike<number>,
): Promise<Int32Array> {
  const [step] = planSample(
    { vocabularySize: logits.length, extras: planned('extras'), output: planned('sampled') },
    caps,
  );
  const pipeline = await getPipeline(device, step!.kernel);
  const buffers: GPUBuffer[] = [];
  const upload = (contents: Float32Array | Int32Array, usage = GPUBufferUsage.STORAGE) => {
    const buffer = device.createBuffer({
      size: Math.max(16, contents.byteLength),
      usage: usage | GPUBufferUsage.COPY_DST,
    });
    buffers.push(buffer);
    device.queue.writeBuffer(buffer, 0, contents as Float32Array<ArrayBuffer>);
    return buffer;
  };
  device.pushErrorScope('validation');
  try {
    const spaced = new Float32Array((uniforms.length * STRIDE) / 4);
    for (let i = 0; i < uniforms.length; i++) spaced[(i * STRIDE) / 4] = uniforms[i]!;
    const output = device.createBuffer({
      size: uniforms.length * STRIDE,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
    });
    const staging = device.createBuffer({
      size: output.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    buffers.push(output, staging);
    const fixed = [
      upload(logits),
      upload(new Float32Array([settings.temperature])),
      upload(spaced),
      upload(new Float32Array([settings.topP])),
      upload(extrasContents(logits.length, settings)),
      output,
      upload(new Int32Array([1, 1]), GPUBufferUsage.UNIFORM),
    ];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    for (let i = 0; i < uniforms.length; i++) {
      const entries = fixed.map((buffer, binding) => ({
        binding,
        resource: binding === 2 || binding === 5 ? { buffer, offset: i * STRIDE, size: 4 } : { buffer },
      }));
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(1);
    }
    pass.end();
    encoder.copyBufferToBuffer(output, 0, staging, 0, output.size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const spacedResult = new Int32Array(staging.getMappedRange());
    const tokens = Int32Array.from({ length: uniforms.length }, (_, i) => spacedResult[(i * STRIDE) / 4]!);
    return tokens;
  } finally {
    const error = await device.popErrorScope();
    for (const buffer of buffers) buffer.destroy();
    // biome-ignore lint/correctness/noUnsafeFinally: a validation error is the cause of whatever failed before it.
    if (error !== null) throw new Error(`WebGPU: ${error.message}`);
  }
}
