/**
 * Whether a model suits this device: what can be known before a download, in a word and in sentences, and what would
 * suit it instead. How much memory a GPU has, browsers do not tell; where it matters and was not measured, this says so.
 */
import { formatBytes, formatInteger, formatMemory } from '../base/number-text.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What of a prebuilt library matters here. */
export interface FitLibrary {
  needsShaderF16: boolean;
  /** What its makers say it needs in all, and at which context; absent where nobody says. */
  need?: { memoryBytes: number; contextLength: number };
}

/** What of a model matters here. */
export interface FitModel {
  /** Of the weights, on disk and on the GPU alike. */
  byteLength: number;
  /** Null, like the numbers below, where a prebuilt model's files do not tell. */
  parameterCount: number | null;
  maxContextLength: number | null;
  /** KV cache per token of context, of all layers together. */
  kvBytesPerToken: number | null;
  layerCount: number | null;
  /** Of a prebuilt library; null or absent where it is generated. */
  library?: FitLibrary | null;
}

/** What of the adapter matters here. Structurally a part of the engine's `AdapterReport`. */
export interface FitAdapter {
  vendor: string;
  architecture: string;
  isSoftware: boolean;
  shaderF16: boolean;
  maxBufferBytes: number;
  maxStorageBindingBytes: number;
  maxWorkgroupStorageBytes: number;
  maxInvocationsPerWorkgroup: number;
  maxStorageBuffersPerStage: number;
}

export interface FitSituation {
  /** Null: no WebGPU. */
  adapter: FitAdapter | null;
  /** Null where the browser does not tell. */
  storage: { usedBytes: number; quotaBytes: number; isLeast?: true } | null;
  /** Bytes that would have to be stored; 0 for a model that is. */
  bytesToStore: number;
  /** Tokens; null where the model's own is not known. */
  contextLength: number | null;
  /** `navigator.deviceMemory`, in GiB; null where the browser does not tell. */
  deviceMemoryGib: number | null;
  /** What the GPU granted in a test; null where it was not tested. */
  probe: { wantedBytes: number; grantedBytes: number } | null;
}

/**
 * `good`: nothing known speaks against it. `slow`: it runs, not fast. `untested`: it may not fit, and only a test can
 * tell. `too-slow`: it might run, and nobody would wait for it. `impossible`: it cannot run.
 */
export type FitVerdict = 'good' | 'slow' | 'untested' | 'too-slow' | 'impossible';

/** One thing to know, and how bad it is. */
export interface FitFinding {
  verdict: Exclude<FitVerdict, 'good'>;
  text: string;
}

export interface Fit {
  verdict: FitVerdict;
  /** What a person should know, most important first; empty where all is well. */
  findings: readonly FitFinding[];
  need: MemoryNeed;
  /** The longest context that would fit, where the chosen one does not and a shorter one would. */
  contextInstead: number | null;
  /** Whether there is room to store it, be it fit to run or not. */
  canStore: boolean;
}

/** True where a person should rather take something else. */
export function isDoubtful({ verdict }: Fit): boolean {
  return verdict === 'impossible' || verdict === 'too-slow';
}

/** GPU memory, in bytes. */
export interface MemoryNeed {
  weightBytes: number;
  kvCacheBytes: number;
  /** Activations and sampling, and a shard of weights on its way to the GPU. */
  workingBytes: number;
  totalBytes: number;
}

/** Bytes of keys and values that one token takes in all layers, in f16. */
export function kvBytesPerToken(architecture: {
  layerCount: number;
  kvHeadCount: number;
  headDim: number;
}): number {
  const { layerCount, kvHeadCount, headDim } = architecture;
  return 2 * layerCount * kvHeadCount * headDim * 2;
}

/**
 * Estimated before there is a plan; `modellib/lower.ts` plans exactly. Activations grow with widths and vocabulary,
 * which a catalogue does not list: for models of this family they stay below 24 MiB + 1/64 of the weights, and below
 * 128 MiB (fit.test.ts compares). While weights are copied, a shard of at most 128 MiB is there twice.
 */
export function memoryNeed(model: FitModel, contextLength: number | null): MemoryNeed {
  const { byteLength: weightBytes } = model;
  const told = model.library?.need;
  const kvCacheBytes = (model.kvBytesPerToken ?? 0) * (contextLength ?? 0);
  const workingBytes = told
    ? Math.max(0, told.memoryBytes - weightBytes - (model.kvBytesPerToken ?? 0) * told.contextLength)
    : Math.min(128 * MIB, 24 * MIB + weightBytes / 64) + Math.min(128 * MIB, weightBytes);
  return {
    weightBytes,
    kvCacheBytes,
    workingBytes,
    totalBytes: weightBytes + kvCacheBytes + workingBytes,
  };
}

const LEAST_CONTEXT = 2048;

/** Lengths of context to choose from: 2k, 3k, 4k, 6k, 8k … and the most that the model was made for. */
export function contextSteps(maxContextLength: number): number[] {
  const steps: number[] = [];
  for (let length = LEAST_CONTEXT; length < maxContextLength; length *= 2) {
    steps.push(length);
    if (length * 1.5 < maxContextLength) steps.push(length * 1.5);
  }
  return [...steps, maxContextLength];
}

/** The longest step that fits, or null. */
function longestContext(model: FitModel, fits: (contextLength: number) => boolean): number | null {
  if (model.kvBytesPerToken === null || model.maxContextLength === null) return null;
  return contextSteps(model.maxContextLength).findLast(fits) ?? null;
}

/** Limits that WebLLM 0.2.86 asks of a device (its detectGPUDevice); below these it refuses. */
export const REQUIRED_LIMITS: readonly [
  limit: keyof FitAdapter &
    (
      | 'maxBufferBytes'
      | 'maxStorageBindingBytes'
      | 'maxWorkgroupStorageBytes'
      | 'maxStorageBuffersPerStage'
      | 'maxInvocationsPerWorkgroup'
    ),
  needed: number,
  unit: string,
][] = [
  ['maxBufferBytes', 256 * MIB, 'bytes in one buffer'],
  ['maxStorageBindingBytes', 128 * MIB, 'bytes in one storage binding'],
  ['maxWorkgroupStorageBytes', 32 * 1024, 'bytes of workgroup memory'],
  ['maxStorageBuffersPerStage', 10, 'storage buffers per shader stage'],
  ['maxInvocationsPerWorkgroup', 256, 'invocations per workgroup'],
];

/** Bytes of one storage binding on WebLLM's device: it asks for 1 GiB and, where that is not to be had, for 128 MiB. */
export function bindingBytes(adapter: FitAdapter): number {
  return adapter.maxStorageBindingBytes >= GIB ? GIB : 128 * MIB;
}

/** Above this many weights a software adapter takes minutes for a word. */
const SOFTWARE_PARAMETER_LIMIT = 1_000_000_000;
/** Above this many weights a GPU without memory of its own is slow enough to say so. */
const SHARED_PARAMETER_LIMIT = 8_000_000_000;
/** Any GPU that passes the limits has this much. */
const SURE_MEMORY_BYTES = GIB;

/**
 * True where the GPU uses the device's own memory, false where that is not so or not known: WebGPU tells vendor and
 * architecture, not whether memory is shared. Apple and mobile GPUs share always, Intel's except the HPG and HPC lines.
 */
export function sharesMemory({ isSoftware, vendor, architecture }: FitAdapter): boolean {
  if (isSoftware || /^(apple|qualcomm|arm|img-tec|samsung)$/.test(vendor)) return true;
  return vendor === 'intel' && !/hp[gc]|12hp/.test(architecture);
}

/**
 * Memory of the whole device in bytes, or null where it is not known: browsers round `deviceMemory` to a power of two
 * and cut it off, the older ones at 8, newer ones at 32.
 */
function knownDeviceMemory(deviceMemoryGib: number | null): number | null {
  return deviceMemoryGib === null || deviceMemoryGib === 8 || deviceMemoryGib >= 32
    ? null
    : deviceMemoryGib * GIB;
}

export function assessFit(model: FitModel, situation: FitSituation): Fit {
  const { adapter, contextLength } = situation;
  const need = memoryNeed(model, contextLength);
  const storage = assessStorage(situation);
  const canStore = storage.length === 0;
  if (adapter === null) {
    return {
      verdict: 'impossible',
      findings: [{ verdict: 'impossible', text: 'This browser offers no WebGPU.' }],
      need,
      contextInstead: null,
      canStore,
    };
  }
  const limits = assessLimits(model, adapter);
  const memory = assessMemory(model, situation, adapter, need);
  const speed = assessSpeed(model, adapter);
  const all = [...limits, ...memory.findings, ...storage, ...speed];
  // Whether there is memory enough does not matter where it could not, or should not, run anyway.
  const isSettled = all.some(({ verdict }) => verdict === 'impossible' || verdict === 'too-slow');
  const findings = all
    .filter(({ verdict }) => verdict !== 'untested' || !isSettled)
    .sort((a, b) => SEVERITY.indexOf(b.verdict) - SEVERITY.indexOf(a.verdict));
  return {
    verdict: findings[0]?.verdict ?? 'good',
    findings,
    need,
    contextInstead: limits.length > 0 ? null : memory.contextInstead,
    canStore,
  };
}

const SEVERITY: readonly FitFinding['verdict'][] = ['slow', 'untested', 'too-slow', 'impossible'];

function assessLimits(model: FitModel, adapter: FitAdapter): FitFinding[] {
  const findings = REQUIRED_LIMITS.filter(([limit, needed]) => adapter[limit] < needed).map(
    ([limit, needed, unit]): FitFinding => ({
      verdict: 'impossible',
      text: `The GPU allows ${formatInteger(adapter[limit])} ${unit}; ${formatInteger(needed)} are needed.`,
    }),
  );
  if (model.library?.needsShaderF16 && !adapter.shaderF16) {
    findings.push({
      verdict: 'impossible',
      text: 'Its prebuilt library needs 16-bit arithmetic (shader-f16), which the GPU does not have.',
    });
  }
  return findings;
}

function assessMemory(
  model: FitModel,
  { contextLength, deviceMemoryGib, probe }: FitSituation,
  adapter: FitAdapter,
  need: MemoryNeed,
): { findings: FitFinding[]; contextInstead: number | null } {
  const isShared = sharesMemory(adapter);
  const deviceBytes = isShared ? knownDeviceMemory(deviceMemoryGib) : null;
  // A test that ended where it was meant to end says nothing of what is beyond.
  const isProbedOut = probe !== null && probe.grantedBytes < probe.wantedBytes;
  const maxBytes = Math.min(
    isProbedOut ? probe.grantedBytes : Number.POSITIVE_INFINITY,
    deviceBytes ?? Number.POSITIVE_INFINITY,
  );
  // Our libraries bind a layer's keys, and its values, whole; prebuilt ones lay their cache out in their own way.
  const cacheBytesPerToken =
    model.library || model.kvBytesPerToken === null || model.layerCount === null
      ? 0
      : model.kvBytesPerToken / model.layerCount / 2;
  const isBound = (length: number | null) => cacheBytesPerToken * (length ?? 0) <= bindingBytes(adapter);
  const fits = (length: number | null) => isBound(length) && memoryNeed(model, length).totalBytes <= maxBytes;
  if (fits(contextLength)) {
    const isSure =
      (probe !== null && need.totalBytes <= probe.grantedBytes) || need.totalBytes <= SURE_MEMORY_BYTES;
    const finding: FitFinding = {
      verdict: 'untested',
      text: isShared
        ? `It needs about ${formatMemory(need.totalBytes)} of memory, which the GPU shares with everything else on this device.`
        : `It needs about ${formatMemory(need.totalBytes)} of GPU memory. How much there is, browsers do not tell.`,
    };
    return { findings: isSure ? [] : [finding], contextInstead: null };
  }
  const context = contextLength === null ? '' : ` for ${formatInteger(contextLength)} tokens of context`;
  const needs = `It needs about ${formatMemory(need.totalBytes)} of memory${context}`;
  const text = !isBound(contextLength)
    ? `The cache of one layer${context} is larger than the GPU can bind at once.`
    : isProbedOut && maxBytes === probe.grantedBytes
      ? `${needs}, and the GPU granted ${formatMemory(probe.grantedBytes)}.`
      : `${needs}; this device has about ${formatMemory(maxBytes)} in all.`;
  return { findings: [{ verdict: 'impossible', text }], contextInstead: longestContext(model, fits) };
}

function assessStorage({ storage, bytesToStore }: FitSituation): FitFinding[] {
  if (storage === null || storage.isLeast || bytesToStore === 0) return [];
  const freeBytes = Math.max(0, storage.quotaBytes - storage.usedBytes);
  if (bytesToStore <= freeBytes) return [];
  return [
    {
      verdict: 'impossible',
      text: `It takes ${formatBytes(bytesToStore)} of storage, and the browser has ${formatBytes(freeBytes)} left for this site.`,
    },
  ];
}

function assessSpeed(model: FitModel, adapter: FitAdapter): FitFinding[] {
  // Builds have between 4 and 8 bits a weight.
  const parameterCount = model.parameterCount ?? model.byteLength * 1.5;
  if (adapter.isSoftware) {
    const isLarge = parameterCount > SOFTWARE_PARAMETER_LIMIT;
    return [
      {
        verdict: isLarge ? 'too-slow' : 'slow',
        text: isLarge
          ? 'No GPU was found, only its emulation on the processor: far too slow for a model of this size.'
          : 'No GPU was found, only its emulation on the processor: answers come slowly.',
      },
    ];
  }
  const findings: FitFinding[] = [];
  // Apple's shared memory is as fast as that of many graphics cards.
  if (sharesMemory(adapter) && adapter.vendor !== 'apple' && parameterCount > SHARED_PARAMETER_LIMIT) {
    findings.push({
      verdict: 'slow',
      text: `The GPU shares the device's memory: at 100 GB/s, which few such devices reach, it writes at most ${speedLimit(model, 100e9)} tokens a second.`,
    });
  }
  if (!adapter.shaderF16 && !model.library) {
    findings.push({
      verdict: 'slow',
      text: 'The GPU has no 16-bit arithmetic (shader-f16): answers are as good, but slower.',
    });
  }
  return findings;
}

/** Tokens per second that a memory bandwidth allows: each token reads all weights once. At least 1. */
export function speedLimit(model: FitModel, bytesPerSecond: number): number {
  return Math.max(1, Math.round(bytesPerSecond / model.byteLength));
}
