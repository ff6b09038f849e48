/** What the kernel view finds: where the time of a step goes, kernel by kernel, on this GPU. Plain data. */
import type { AdapterReport } from '../../engine/api.ts';
import type { Disturber } from '../busy-probe.ts';

/** Decode: one token. Prefill: one chunk of tokens. */
export type Phase = 'decode' | 'prefill';

/** One kernel at one shape, as often as a step of its phase runs it. */
export interface KernelTiming {
  /** As in the plan: unique for its source. */
  name: string;
  /** E.g. `norm-matvec`. */
  op: string;
  /** Weight formats that it reads, e.g. `q4_1`; empty for none. */
  formats: string;
  /** For people, e.g. `(576 + 192 + 192) x 576`. */
  shape: string;
  phase: Phase;
  /** In one step of the whole model. */
  dispatches: number;
  /** One dispatch: the median of the samples. */
  microseconds: number;
  /** Least bytes that a dispatch has to move: weights, activations and KV cache, each once. */
  bytes: number;
  gigabytesPerSecond: number;
  /** Of the measured copy bandwidth. Above 1 where caches hold what is read. */
  shareOfCopyBandwidth: number;
  /** Of a matrix product, two a multiplication and addition; else null. */
  flops: number | null;
  gflopsPerSecond: number | null;
  /** Of all kernels' time in its phase. */
  shareOfTime: number;
  /** Microseconds of one dispatch, each the mean of a batch. */
  samples: number[];
  /** Those of disturbed rounds, which are in no figure. */
  uncounted: number[];
}

/** What went wrong while kernels were timed. */
export interface KernelDisturbance {
  /** `clock`: the GPU's clock went backwards within a batch, which was taken again. Else of whole rounds. */
  kind: Disturber['kind'] | 'clock';
  /** Rounds, or batches. */
  count: number;
  /** As the second half of a sentence. */
  text: string;
}

/** One step of a phase: a token or a chunk, embedding to logits; in decode with the draw of the next token. */
export interface PhaseReport {
  /** Tokens of a step: 1 in decode. */
  tokens: number;
  /** Positions in the KV cache before the step. */
  depth: number;
  dispatches: number;
  /** To encode and submit a step, in JavaScript, the way WebLLM's runtime does. */
  cpuMicroseconds: number;
  /** A whole step on the GPU, from the first dispatch to the last. */
  gpuMicroseconds: number;
  /** What the kernels' own times add up to. */
  kernelMicroseconds: number;
  /** By their share of the time, largest first. */
  kernels: KernelTiming[];
}

export interface KernelReport {
  /** How GPU time was read: written by the GPU, or from the outside around batches. */
  clock: 'timestamp-query' | 'batches';
  adapter: AdapterReport;
  /** Bytes read plus bytes written, by a copy kernel of ours. */
  copyGigabytesPerSecond: number;
  /** The most that any kernel reached, one of nothing but multiply-adds included. f32. */
  peakGflopsPerSecond: number;
  /** Layers whose weights were on the GPU, and the model's. Where they differ, whole steps are extrapolated. */
  layers: { measured: number; total: number };
  /** Bytes of weights on the GPU. */
  weightBytes: number;
  decode: PhaseReport;
  prefill: PhaseReport;
  /** Other plans for the same model, measured in turns with these; null where there was nothing to compare with. */
  before: { decode: PhaseReport; prefill: PhaseReport } | null;
  /** What disturbed it. Disturbed rounds are in no figure, unless all were. */
  disturbances: KernelDisturbance[];
  /** What a reader has to know to trust the figures. */
  notes: string[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
