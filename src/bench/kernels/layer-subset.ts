/** Models with some of their layers, for devices that do not hold them all. */
import type { LayerTensors, ModelDescription } from '../../models/model-description.ts';

/** What makes kernels differ: formats and parts. */
function layerKind({ query, key, value, output, gate, up, down }: LayerTensors): string {
  return JSON.stringify(
    [query, key, value, output, gate, up, down].map(({ format, parts }) => [
      format,
      ...parts.map(({ rows }) => rows),
    ]),
  );
}

/** Every layer's number: one of each kind first, so that few layers have as many of the model's kernels as can be. */
export function layersByKind({ tensors }: ModelDescription): number[] {
  const seen = new Set<string>();
  const numbers = tensors.layers.map((_, i) => i);
  const first = numbers.filter((i) => {
    const kind = layerKind(tensors.layers[i]!);
    return !seen.has(kind) && seen.add(kind) !== undefined;
  });
  return [...first, ...numbers.filter((i) => !first.includes(i))];
}

export function withLayers(model: ModelDescription, layers: readonly number[]): ModelDescription {
  return {
    ...model,
    architecture: { ...model.architecture, layerCount: layers.length },
    tensors: { ...model.tensors, layers: layers.map((i) => model.tensors.layers[i]!) },
  };
}
