import { float16ToNumber } from '../../base/float16.ts';

/** A value that a kernel loads. WGSL texts: name, type, and an expression over a storage array and `block` (u32). */
export interface BlockLoad {
  name: string;
  type: string;
  value: string;
}

/**
 * How kernels read a weight format. One idea serves all: a block of 32 columns is an affine map of its quants,
 *
 *   weight[c] = quant[c] * scale + bias
 *
 * so a dot product needs sum(quant * x) and sum(x) only, and staging a tile needs one fma a weight. A format says how
 * its quants and its (scale, bias) come out of its records; the kernels know nothing else about it. Quants may be any
 * numbers that f32 holds exactly: sub-scales can be multiplied into them.
 *
 * `block` counts blocks of 32 columns along the part, so that `block >> 3u` is the number of a group of 256 columns.
 */
export interface FormatCode {
  /** Loads from the storage array of quants, which is an array<vec4<u32>>. */
  quantLoads(array: string): readonly BlockLoad[];
  /** The storage array of scales; null where the format has none. */
  scales: ScalesCode | null;
  /** Statements after the loads that declare what the following expressions need. */
  prepare: string;
  /** Eight expressions: entry i is a vec4<f32> of the quants of columns 4i .. 4i+3, each still times columnFactors. */
  quants: readonly string[];
  /**
   * Powers of two that the quants' components are still to be multiplied by: masking a nibble where it stands is
   * cheaper than shifting it down, and the factor goes (exactly) into x or the scale. Null: all 1.
   */
  columnFactors: readonly [number, number, number, number] | null;
  /** f32 expressions. Null: 1, and 0. */
  scale: string | null;
  bias: string | null;
  /** CPU twin: column `column` (0..31) of block number `block`, in float64. */
  decode(record: WeightRecord, block: number, column: number): number;
  /** For whoever makes test data: what the quants are, and which 16-bit words of a group's scales are f16. */
  testData: { quants: 'bits' | 'f32' | 'f16' | 'bf16'; halves: readonly number[] };
}

/** A part's two records. */
export interface WeightRecord {
  quants: DataView;
  scales: DataView | null;
}

export interface ScalesCode {
  /** WGSL type of an element. With shader-f16 it may be of f16; without, two of them are unpacked from a u32. */
  element(shaderF16: boolean): string;
  loads(array: string, shaderF16: boolean): readonly BlockLoad[];
}

/** `count` vec4s of quants a block, named q0, q1, … */
export function consecutiveQuants(count: number): FormatCode['quantLoads'] {
  return (array) =>
    Array.from({ length: count }, (_, i) => ({
      name: `q${i}`,
      type: 'vec4<u32>',
      value: `${array}[block${count === 1 ? '' : ` * ${count}u + ${i}u`}]`,
    }));
}

/** One f16 a block, loaded as `scale`. */
export const halfScale: ScalesCode = {
  element: (shaderF16) => (shaderF16 ? 'f16' : 'u32'),
  loads: (array, shaderF16) => [
    {
      name: 'scale',
      type: 'f32',
      value: shaderF16 ? `f32(${array}[block])` : `unpack2x16float(${array}[block >> 1u])[block & 1u]`,
    },
  ],
};

/** Two f16 a block, loaded as `pair`: scale and minimum. */
export const halfPair: ScalesCode = {
  element: (shaderF16) => (shaderF16 ? 'vec2<f16>' : 'u32'),
  loads: (array, shaderF16) => [
    {
      name: 'pair',
      type: 'vec2<f32>',
      value: shaderF16 ? `vec2<f32>(${array}[block])` : `unpack2x16float(${array}[block])`,
    },
  ],
};

/** Every component of q0 .. q(count-1), in order. */
export function quantWords(count: number): string[] {
  return Array.from({ length: count * 4 }, (_, i) => `q${i >> 2}.${'xyzw'[i & 3]}`);
}

/** Values of all f16, made when first asked for: decoding a model looks up hundreds of millions. */
let halfValues: Float64Array | null = null;

/** Value of the f16 that is 16-bit word number `index` of a record. */
export function halfAt(record: DataView | null, index: number): number {
  if (record === null) return 0;
  halfValues ??= Float64Array.from({ length: 1 << 16 }, (_, bits) => float16ToNumber(bits));
  return halfValues[record.getUint16(index * 2, true)]!;
}
