/**
 * What `lower` produces and `link` places into the runtime: WGSL kernels, planned buffers, and the programs that
 * WebLLM calls by name. Data only, no GPU objects, so that Node can inspect and test every plan.
 */
import type { WeightFormat } from '../models/model-description.ts';

/** A quantity that is known only when a program runs. */
export type Variable =
  /** The constant 1. */
  | 'one'
  /** Tokens in this call (n ≥ 1). */
  | 'tokens'
  /** Position in the context of this call's first token; equals the tokens already in the KV cache. */
  | 'position'
  /** position + tokens. */
  | 'length'
  /** Elements of the call's argument number 1 (tensor numbering as in the call), e.g. the ids of a logit bias. */
  | 'count'
  /** 1 when this step's logits had a bias call (so the bias kernel wrote sampling extras), else 0. */
  | 'biased';

/** ceil((variable * multiply + add) / divide), in integers. */
export interface DimExpr {
  variable: Variable;
  multiply: number;
  add: number;
  divide: number;
}

export function dim(variable: Variable, multiply = 1, add = 0, divide = 1): DimExpr {
  return { variable, multiply, add, divide };
}

export function constant(value: number): DimExpr {
  return { variable: 'one', multiply: value, add: 0, divide: 1 };
}

/** ceil(variable / divide). */
export function tiles(variable: Variable, divide: number): DimExpr {
  return { variable, multiply: 1, add: 0, divide };
}

/** An amount that depends on the call: the sum of count * each. */
export type Amount = readonly (readonly [count: DimExpr, each: number])[];

export function evaluateAmount(amount: Amount, variables: Readonly<Record<Variable, number>>): number {
  return amount.reduce((sum, [count, each]) => sum + evaluateDim(count, variables) * each, 0);
}

export function evaluateDim(expr: DimExpr, variables: Readonly<Record<Variable, number>>): number {
  return Math.ceil((variables[expr.variable] * expr.multiply + expr.add) / expr.divide);
}

export type BufferRef =
  /** A buffer planned at load, by its name in `LibrarySpec.buffers`. */
  | { kind: 'planned'; name: string }
  /** A weight record, by its name in tensor-cache.json. */
  | { kind: 'weight'; record: string }
  /** Tensor argument number `index` of the call (WebLLM's argument order, from 0). */
  | { kind: 'argument'; index: number };

export const planned = (name: string): BufferRef => ({ kind: 'planned', name });
export const weight = (record: string): BufferRef => ({ kind: 'weight', record });
export const argument = (index: number): BufferRef => ({ kind: 'argument', index });

/**
 * One WGSL compute kernel. `name` is its entry point and must be unique for its source: kernels of one name must have
 * one source. Binding i is `@group(0) @binding(i)`, a storage buffer; the uniform comes after the last of them,
 * `struct { <pods, each i32>, packGridDimX: u32 }`, present even without pods.
 */
export interface KernelSource {
  name: string;
  wgsl: string;
  /** Access of each binding, in order: exactly what the WGSL declares. */
  bindings: readonly ('read' | 'read_write')[];
  /** Names of the i32 uniforms, in order. */
  uniforms: readonly string[];
}

/**
 * What a step has to move and compute at the least, by which its time is judged. Every byte of weights, activations and
 * caches that it needs counts once, however often the kernel loads it.
 */
export interface StepWork {
  /** The operation, e.g. `norm-matvec`. */
  op: string;
  /** Its dimensions, for people, e.g. `(576 + 192 + 192) x 576`. */
  shape: string;
  /** Distinct formats of the weights that it reads. */
  formats: readonly WeightFormat[];
  /** Bytes read and written. */
  bytes: Amount;
  /** Floating-point operations of a matrix product, two a multiplication and addition. Null: not a product. */
  flops: Amount | null;
}

/** One dispatch of a program. */
export interface Step {
  kernel: KernelSource;
  buffers: readonly BufferRef[];
  uniforms: readonly DimExpr[];
  /** Workgroups in x and y; z belongs to WebLLM (it folds an x of 65,536 or more into z). */
  grid: readonly [DimExpr, DimExpr];
  work: StepWork;
}

export interface PlannedBuffer {
  name: string;
  byteLength: number;
  /** Contents to upload once at load (tables); the rest of the buffer is zero. Without it: all zero. */
  initial?: Uint8Array;
  /** What the memory plan counts it as. */
  use: 'kv-cache' | 'activation' | 'sampling';
}

/** The steps for calls of up to `maxTokens` tokens. */
export interface ProgramVariant {
  maxTokens: number;
  steps: readonly Step[];
}

export interface LibrarySpec {
  /** Returned by `_metadata()`; WebLLM reads `params`, `prefill_chunk_size`, `kv_state_kind`. */
  metadata: Record<string, unknown>;
  hiddenSize: number;
  vocabularySize: number;
  contextLength: number;
  prefillChunkLength: number;
  /** Most tokens in one call of `score`. */
  scoreChunkLength: number;
  /** Weight records in the order of `metadata.params`. */
  records: readonly string[];
  buffers: readonly PlannedBuffer[];
  programs: {
    /** argument 0: token ids i32 [n]. Writes `planned('x')`, f32 [n, hidden]. */
    embed: readonly Step[];
    /** One token through all layers and the head. Reads x, writes `planned('logits')`, f32 [vocabulary]. */
    decode: readonly Step[];
    /** n tokens; sorted by maxTokens, the last one serves whole chunks. Writes logits of the last token only. */
    prefill: readonly ProgramVariant[];
    /** As prefill, but writes `planned('score_logits')`, f32 [n, vocabulary]. */
    score: readonly ProgramVariant[];
    /** argument 0: logits, 1: unused here (i32 [1] sequence ids), 2: mask i32 [1, ceil(V/32)]. */
    applyBitmask: readonly Step[];
    /** arguments: 0 logits, 1 pos2seq i32 [count], 2 token ids i32 [count], 3 bias f32 [count]. */
    applyLogitBias: readonly Step[];
    /** arguments: 0 logits, 1 sequence ids, 2 pos2seq, 3 token ids i32 [n], 4 counts i32 [n], 5 penalties f32 [1,3].
     * Here `count` is the number of elements of argument 3. */
    applyPenalty: readonly Step[];
    /** arguments: 0 logits, 1 temperature f32 [1]. Writes `planned('probs')`: the distribution at temperature 1. */
    softmax: readonly Step[];
    /** arguments: 0 logits, 1 temperature f32 [1] (both kept from the softmax call), 2 uniform f32 [1],
     * 3 top_p f32 [1]. Writes `planned('sampled')`, i32 [1]. */
    sample: readonly Step[];
  };
}
