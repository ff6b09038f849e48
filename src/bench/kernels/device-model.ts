/**
 * A model on a device, with random weights at its true shapes, and its programs ready to be dispatched. Of a model
 * that does not fit there are as many layers as do.
 */
import { TramontaneError } from '../../base/errors.ts';
import {
  type BoundStep,
  bindStep,
  bufferKey,
  createPipeline,
  type StepBinding,
} from '../../modellib/bind-step.ts';
import {
  type BufferRef,
  type LibrarySpec,
  planned,
  type Step,
  type Variable,
} from '../../modellib/library-spec.ts';
import type { lower } from '../../modellib/lower.ts';
import type { ModelDescription } from '../../models/model-description.ts';
import type { BenchDevice } from './bench-device.ts';
import {
  type Allocation,
  DeviceBuffers,
  layerWeights,
  outerWeights,
  plannedAllocation,
  totalBytes,
} from './device-buffers.ts';
import type { Phase } from './kernel-report.ts';
import { layersByKind, withLayers } from './layer-subset.ts';
import { createUniform, type OwnKernels } from './own-kernels.ts';

export interface DeviceModelOptions {
  lower: typeof lower;
  /** Positions in the KV cache before a decoded token. */
  depth: number;
  /** Tokens of a prefill chunk, which starts an empty cache. */
  prefillTokens: number;
  /** Most bytes of weights and caches; one layer is taken even so. */
  maxBytes: number;
  maxLayers: number;
  /** By kernel name: those that are there already are not compiled again. */
  pipelines: Map<string, GPUComputePipeline>;
  signal: AbortSignal | undefined;
  onLayer(done: number, total: number): void;
  onPipeline(done: number, total: number): void;
}

export interface DeviceStep {
  step: Step;
  bound: BoundStep;
  /** Binds the step anew, as WebLLM's runtime does for each dispatch. */
  rebind(): BoundStep;
}

/** The steps of one phase, in order. */
export interface DevicePhase {
  phase: Phase;
  tokens: number;
  depth: number;
  variables: Readonly<Record<Variable, number>>;
  steps: readonly DeviceStep[];
  /** Dispatches by kernel name in a step of the whole model, which may have more layers. */
  wholeModel: ReadonlyMap<string, number>;
}

export interface DeviceModel {
  layers: { measured: number; total: number };
  weightBytes: number;
  decode: DevicePhase;
  prefill: DevicePhase;
  buffers: DeviceBuffers;
  destroy(): void;
}

/** Arguments that WebLLM would pass, as buffers of ours: some token ids, and a greedy draw. */
function argumentAllocations(tokens: number, vocabularySize: number): Allocation[] {
  const contents = {
    ids: Int32Array.from({ length: tokens }, (_, i) => (i * 7919 + 1) % vocabularySize),
    temperature: new Float32Array([0]),
    uniform: new Float32Array([0.5]),
    top_p: new Float32Array([1]),
  };
  return Object.entries(contents).map(([name, values]) => ({
    key: bufferKey(planned(`argument_${name}`)),
    byteLength: values.byteLength,
    contents: null,
    initial: new Uint8Array(values.buffer),
  }));
}

function withArguments(steps: readonly Step[], names: readonly string[]): Step[] {
  const resolve = (ref: BufferRef) => (ref.kind === 'argument' ? planned(names[ref.index]!) : ref);
  return steps.map((step) => ({ ...step, buffers: step.buffers.map(resolve) }));
}

/** A step of a phase as WebLLM runs it: the embedding, the layers, the head, in decode the draw. */
function phaseSteps({ programs }: LibrarySpec, phase: Phase, tokens: number): Step[] {
  const embed = withArguments(programs.embed, ['argument_ids']);
  if (phase === 'prefill') {
    return [...embed, ...programs.prefill.find(({ maxTokens }) => maxTokens >= tokens)!.steps];
  }
  const draw = ['logits', 'argument_temperature', 'argument_uniform', 'argument_top_p'];
  return [
    ...embed,
    ...programs.decode,
    ...withArguments(programs.softmax, draw),
    ...withArguments(programs.sample, draw),
  ];
}

/**
 * Allocates, fills and compiles.
 * @throws TramontaneError `out-of-memory` where not one layer fits, `adapter-limits`, `config-invalid`,
 *   `shader-invalid`, `device-lost`; the signal's reason
 */
export async function createDeviceModel(
  bench: BenchDevice,
  own: OwnKernels,
  model: ModelDescription,
  options: DeviceModelOptions,
): Promise<DeviceModel> {
  const { depth, prefillTokens } = options;
  const plan = (layers: readonly number[]) =>
    options.lower(withLayers(model, layers), bench.caps, {
      contextLength: Math.max(depth + 1, prefillTokens),
      prefillChunkLength: prefillTokens,
    }).spec;
  const order = layersByKind(model);
  const whole = plan(order);
  const buffers = new DeviceBuffers(bench, own);
  const uniforms: GPUBuffer[] = [];
  const destroy = () => {
    buffers.destroy();
    for (const uniform of uniforms) uniform.destroy();
  };
  try {
    const { layers, weightBytes } = await allocate(buffers, model, order, whole, options);
    const spec = plan(order.slice(0, layers));
    await compile(bench, spec, options);
    const bindPhase = (phase: Phase): DevicePhase => {
      const [tokens, position] = phase === 'decode' ? [1, depth] : [prefillTokens, 0];
      const variables = { one: 1, tokens, position, length: position + tokens, count: 0, biased: 0 };
      const bind = (step: Step, createUniform: StepBinding['createUniform']) =>
        bindStep(bench.device, step, options.pipelines.get(step.kernel.name)!, {
          variables,
          bufferOf: (ref) => buffers.get(bufferKey(ref)),
          createUniform,
        })!;
      const steps = phaseSteps(spec, phase, tokens).map((step): DeviceStep => {
        let uniform: GPUBuffer | undefined;
        const bound = bind(step, (contents) => {
          uniform = createUniform(bench.device, contents);
          uniforms.push(uniform);
          return uniform;
        });
        const rebind = () =>
          bind(step, (contents) => {
            bench.device.queue.writeBuffer(uniform!, 0, contents);
            return uniform!;
          });
        return { step, bound, rebind };
      });
      const wholeModel = new Map<string, number>();
      for (const { kernel } of phaseSteps(whole, phase, tokens)) {
        wholeModel.set(kernel.name, (wholeModel.get(kernel.name) ?? 0) + 1);
      }
      return { phase, tokens, depth: position, variables, steps, wholeModel };
    };
    return {
      layers: { measured: layers, total: order.length },
      weightBytes,
      decode: bindPhase('decode'),
      prefill: bindPhase('prefill'),
      buffers,
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Everything outside the layers, and layers in `order` until one does not fit. */
async function allocate(
  buffers: DeviceBuffers,
  { tensors, architecture }: ModelDescription,
  order: readonly number[],
  whole: LibrarySpec,
  { prefillTokens, maxBytes, maxLayers, signal, onLayer }: DeviceModelOptions,
): Promise<{ layers: number; weightBytes: number }> {
  const used = new Set(
    (['decode', 'prefill'] as const).flatMap((phase) =>
      phaseSteps(whole, phase, prefillTokens).flatMap((step) => step.buffers.map(bufferKey)),
    ),
  );
  const working = whole.buffers.filter(({ use }) => use !== 'kv-cache').map(plannedAllocation);
  const caches = whole.buffers.filter(({ use }) => use === 'kv-cache').map(plannedAllocation);
  const cachesPerLayer = caches.length / order.length;
  const layerCaches = (i: number) => caches.slice(i * cachesPerLayer, (i + 1) * cachesPerLayer);

  const outer = outerWeights(tensors);
  const outside = [
    ...outer,
    ...working.filter(({ key }) => used.has(key)),
    ...argumentAllocations(prefillTokens, architecture.vocabularySize),
  ];
  let fits = await buffers.allocate(outside);
  let byteLength = totalBytes(outside);
  let weightBytes = totalBytes(outer);
  let layers = 0;
  const most = Math.min(maxLayers, order.length);
  while (fits && layers < most) {
    signal?.throwIfAborted();
    const weights = layerWeights(tensors.layers[order[layers]!]!);
    const layer = [...weights, ...layerCaches(layers)];
    byteLength += totalBytes(layer);
    fits = (layers === 0 || byteLength <= maxBytes) && (await buffers.allocate(layer));
    if (fits) {
      weightBytes += totalBytes(weights);
      layers++;
      onLayer(layers, most);
    }
  }
  if (layers === 0) {
    throw new TramontaneError('out-of-memory', `Not one layer of the model fits: ${byteLength} bytes.`, {
      nextStep: 'Close other programs that use the GPU, or choose a smaller model.',
      data: { needed: byteLength },
    });
  }
  return { layers, weightBytes };
}

async function compile(
  bench: BenchDevice,
  spec: LibrarySpec,
  { prefillTokens, pipelines, signal, onPipeline }: DeviceModelOptions,
): Promise<void> {
  const steps = [...phaseSteps(spec, 'decode', 1), ...phaseSteps(spec, 'prefill', prefillTokens)];
  const kernels = new Map(
    steps.filter(({ kernel }) => !pipelines.has(kernel.name)).map(({ kernel }) => [kernel.name, kernel]),
  );
  let done = 0;
  await Promise.all(
    [...kernels.values()].map(async (kernel) => {
      pipelines.set(kernel.name, await bench.wait(createPipeline(bench.device, kernel)));
      onPipeline(++done, kernels.size);
    }),
  );
  signal?.throwIfAborted();
}
