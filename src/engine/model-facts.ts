/** What is running, exactly, as benchmark reports tell it. */
import { runtimeVersion } from '../modellib/runtime/runtime.generated.ts';
import type { ModelFiles } from '../models/model-files.ts';
import type { LoadedModelFacts } from './api.ts';
import { SUPPORTED_WEBLLM_VERSION } from './webllm-adapter.ts';

/** What the engine keeps of a load for its description. */
export interface LoadedParts {
  id: string;
  /** Null for a model whose weights only its prebuilt library knows. */
  parsed: ModelFiles | null;
  stopTokenIds: readonly number[];
  /** The content of `mlc-chat-config.json`. */
  config: unknown;
  tensorCacheSha256: string;
  weightBytes: number;
  library: LoadedModelFacts['library'];
  /** False for a prebuilt library. */
  generated: boolean;
}

export function describeLoadedModel(
  { id, parsed, stopTokenIds, config, tensorCacheSha256, weightBytes, library, generated }: LoadedParts,
  { limits, features }: GPUDevice,
): LoadedModelFacts {
  return {
    name: parsed?.origin.name ?? id,
    quantization: parsed?.origin.quantization ?? readQuantization(config),
    parameterCount: parsed?.origin.parameterCount ?? null,
    weightBytes,
    sourceSha256: parsed?.origin.sha256 ?? null,
    tensorCacheSha256,
    library,
    runtime: generated ? runtimeVersion : null,
    webLlm: SUPPORTED_WEBLLM_VERSION,
    stopTokenIds,
    description: parsed?.description ?? null,
    deviceLimits: readLimits(limits),
    deviceFeatures: [...features].sort(),
  };
}

/** Of a prebuilt model: what MLC's configuration calls it. */
function readQuantization(config: unknown): string {
  const value = (config as { quantization?: unknown } | null)?.quantization;
  return typeof value === 'string' ? value : 'unknown';
}

/** A device's limits as a plain object: their getters lie on the prototype. */
function readLimits(limits: GPUSupportedLimits): Record<string, number> {
  const entries: [string, number][] = [];
  for (const name in limits) {
    const value = limits[name as keyof GPUSupportedLimits];
    if (typeof value === 'number') entries.push([name, value]);
  }
  return Object.fromEntries(entries);
}
