/** Test tool: many draws from the same logits, each with a uniform number of its own, in one dispatch. */

import type { GpuCaps } from '../../src/modellib/gpu-caps.ts';
import {
  encodeSamplingExtras,
  planSample,
  SAMPLING_EXTRAS_BYTES,
} from '../../src/modellib/kernels/sampling/sampling.plan.ts';
import type { SampleSettings } from '../../src/modellib/kernels/sampling/sampling.reference.ts';
import { constant, planned } from '../../src/modellib/library-spec.ts';
import { runSteps } from '../gpu/run-steps.ts';

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
  uniforms: readonly number[],
  biased = true,
): Promise<Int32Array> {
  const [step] = planSample(
    { vocabularySize: logits.length, extras: planned('extras'), output: planned('sampled') },
    caps,
  );
  const several = { ...step!, grid: [constant(uniforms.length), constant(1)] as const };
  const result = await runSteps(device, [several], {
    buffers: {
      'argument:0': logits,
      'argument:1': new Float32Array([settings.temperature]),
      'argument:2': new Float32Array(uniforms),
      'argument:3': new Float32Array([settings.topP]),
      'planned:extras': extrasContents(logits.length, settings),
      'planned:sampled': { byteLength: uniforms.length * 4 },
    },
    variables: { biased: biased ? 1 : 0 },
    read: ['planned:sampled'],
  });
  return new Int32Array(result['planned:sampled']!, 0, uniforms.length);
}
