/** Whether a model suits this device: what can be known before a download, said in one word and in sentences. */

export interface FitModel {
  byteLength: number;
  parameterCount: number;
}

/** What of the adapter matters here. Structurally a part of the engine's `AdapterReport`. */
export interface FitAdapter {
  isSoftware: boolean;
  shaderF16: boolean;
  maxStorageBindingBytes: number;
  maxStorageBuffersPerStage: number;
}

export interface FitSituation {
  /** Null: no WebGPU. */
  adapter: FitAdapter | null;
  /** Null where the browser does not tell. */
  storage: { usedBytes: number; quotaBytes: number } | null;
  isStored: boolean;
}

export type FitVerdict = 'good' | 'slow' | 'impossible';

export interface Fit {
  verdict: FitVerdict;
  /** What a person should know, most important first; empty where all is well. */
  reasons: string[];
}

/** Records of the weight store are at most this long (DESIGN: decision 1). */
const MIN_BINDING_BYTES = 128 * 2 ** 20;
const MIN_STORAGE_BUFFERS = 8;
/** Above this many weights a software adapter takes minutes for a word. */
const SOFTWARE_PARAMETER_LIMIT = 1_000_000_000;

function megabytes(byteLength: number): string {
  return byteLength >= 1e9 ? `${(byteLength / 1e9).toFixed(1)} GB` : `${Math.ceil(byteLength / 1e6)} MB`;
}

export function assessFit(model: FitModel, { adapter, storage, isStored }: FitSituation): Fit {
  if (adapter === null) {
    return { verdict: 'impossible', reasons: ['This browser offers no WebGPU.'] };
  }
  const impossible: string[] = [];
  const slow: string[] = [];
  if (adapter.maxStorageBindingBytes < MIN_BINDING_BYTES) {
    impossible.push(
      `The GPU binds at most ${megabytes(adapter.maxStorageBindingBytes)} at once; the model needs ${megabytes(MIN_BINDING_BYTES)}.`,
    );
  }
  if (adapter.maxStorageBuffersPerStage < MIN_STORAGE_BUFFERS) {
    impossible.push(
      `The GPU takes ${adapter.maxStorageBuffersPerStage} buffers at once; the model needs ${MIN_STORAGE_BUFFERS}.`,
    );
  }
  if (!isStored && storage !== null) {
    const freeBytes = storage.quotaBytes - storage.usedBytes;
    if (freeBytes < model.byteLength) {
      impossible.push(
        `It takes ${megabytes(model.byteLength)} of storage, and the browser has ${megabytes(Math.max(0, freeBytes))} left for this site.`,
      );
    }
  }
  if (adapter.isSoftware) {
    slow.push(
      model.parameterCount > SOFTWARE_PARAMETER_LIMIT
        ? 'No GPU was found, only its emulation on the processor: far too slow for a model of this size.'
        : 'No GPU was found, only its emulation on the processor: answers come slowly.',
    );
  } else if (!adapter.shaderF16) {
    slow.push('The GPU has no 16-bit arithmetic (shader-f16): answers are as good, but slower.');
  }
  const verdict = impossible.length > 0 ? 'impossible' : slow.length > 0 ? 'slow' : 'good';
  return { verdict, reasons: [...impossible, ...slow] };
}
