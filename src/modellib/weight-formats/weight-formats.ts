/**
 * How kernels read each weight format. One idea serves them all: a block of 32 columns is an affine map of its quants,
 *
 *   weight[c] = quant[c] * scale + bias
 *
 * so a dot product needs sum(quant * x) and sum(x) only, and staging a tile needs one fma a weight. A format says how
 * its quants and its (scale, bias) come out of its records; the kernels know nothing else about it. To add a format see
 * docs/kernels.md.
 */
import { float16ToNumber } from '../../base/float16.ts';
import type { WeightFormat } from '../../models/model-description.ts';

export interface WeightFormatKernels {
  /** u32 words of quants in a block; kernels load them as quantWords / 4 vec4<u32> named q0, q1, … */
  quantWords: number;
  /** f16 values beside a block's quants: none, a scale, or a scale and a minimum. */
  scaleCount: 0 | 1 | 2;
  /** What the quants hold, for whoever makes test data. */
  quantKind: 'integer' | 'f16' | 'f32';
  /**
   * Eight WGSL expressions over q0, q1, …: entry i is a vec4<f32> of the quants of columns 4i .. 4i+3, component j
   * still to be multiplied by columnFactors[j].
   */
  quants: readonly string[];
  /**
   * Powers of two that the quants' components are still to be multiplied by: masking a nibble where it stands is
   * cheaper than shifting it down, and the factor goes (exactly) into x or the scale. Null: all 1.
   */
  columnFactors: readonly [number, number, number, number] | null;
  /** WGSL expression of the bias; `scale` and `minimum` are f32 in scope. Null: no bias. */
  bias: string | null;
  /** CPU twin: column `column` (0..31) of block number `block`, in float64. */
  decode(record: { quants: DataView; scales: DataView | null }, block: number, column: number): number;
}

const NIBBLE_FACTORS = [1, 1 / 16, 1 / 256, 1 / 4096] as const;

function f16At(scales: DataView | null, index: number): number {
  return scales === null ? 0 : float16ToNumber(scales.getUint16(index * 2, true));
}

function nibbleAt(quants: DataView, block: number, column: number): number {
  return (quants.getUint8(block * 16 + (column >> 1)) >> ((column & 1) * 4)) & 15;
}

const NIBBLE_MASK = 'vec4<u32>(0xfu, 0xf0u, 0xf00u, 0xf000u)';

/** 32 nibbles in four words. Signed conversion: it is one instruction everywhere, and the nibbles stay below 2^16. */
const nibbles = {
  quantWords: 4,
  quantKind: 'integer',
  quants: ['q0.x', 'q0.y', 'q0.z', 'q0.w'].flatMap((word) =>
    [word, `${word} >> 16u`].map((bits) => `vec4<f32>(vec4<i32>(vec4<u32>(${bits}) & ${NIBBLE_MASK}))`),
  ),
  columnFactors: NIBBLE_FACTORS,
} as const satisfies Partial<WeightFormatKernels>;

/**
 * Signed bytes where they stand: the highest as it is, the others made unsigned by adding 128, which is taken off again
 * after the conversion. Exact, and without the shifts by different amounts that some processors lack.
 */
const BYTE_FACTORS = [1, 2 ** -8, 2 ** -16, 2 ** -24] as const;
const BYTE_MASK = 'vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u)';
const BYTE_OFFSETS = 'vec4<f32>(128.0, 32768.0, 8388608.0, 0.0)';

/** Every component of q0 .. q(count-1), in order. */
function words(count: number): string[] {
  return Array.from({ length: count * 4 }, (_, i) => `q${i >> 2}.${'xyzw'[i & 3]}`);
}

export const weightFormats: Readonly<Record<WeightFormat, WeightFormatKernels>> = {
  f32: {
    quantWords: 32,
    scaleCount: 0,
    quantKind: 'f32',
    quants: Array.from({ length: 8 }, (_, i) => `bitcast<vec4<f32>>(q${i})`),
    columnFactors: null,
    bias: null,
    decode: ({ quants }, block, column) => quants.getFloat32((block * 32 + column) * 4, true),
  },
  f16: {
    quantWords: 16,
    scaleCount: 0,
    quantKind: 'f16',
    quants: Array.from({ length: 8 }, (_, i) => words(4).slice(i * 2, i * 2 + 2)).map(
      ([a, b]) => `vec4<f32>(unpack2x16float(${a}), unpack2x16float(${b}))`,
    ),
    columnFactors: null,
    bias: null,
    decode: ({ quants }, block, column) => f16At(quants, block * 32 + column),
  },
  q4f16_1: {
    ...nibbles,
    scaleCount: 1,
    bias: '-7.0 * scale',
    decode: ({ quants, scales }, block, column) =>
      (nibbleAt(quants, block, column) - 7) * f16At(scales, block),
  },
  q4_0: {
    ...nibbles,
    scaleCount: 1,
    bias: '-8.0 * scale',
    decode: ({ quants, scales }, block, column) =>
      (nibbleAt(quants, block, column) - 8) * f16At(scales, block),
  },
  q4_1: {
    ...nibbles,
    scaleCount: 2,
    bias: 'minimum',
    decode: ({ quants, scales }, block, column) =>
      nibbleAt(quants, block, column) * f16At(scales, block * 2) + f16At(scales, block * 2 + 1),
  },
  q8_0: {
    quantWords: 8,
    scaleCount: 1,
    quantKind: 'integer',
    quants: words(2).map(
      (word) => `(vec4<f32>(vec4<i32>(vec4<u32>(${word} ^ 0x808080u) & ${BYTE_MASK})) - ${BYTE_OFFSETS})`,
    ),
    columnFactors: BYTE_FACTORS,
    bias: null,
    decode: ({ quants, scales }, block, column) => quants.getInt8(block * 32 + column) * f16At(scales, block),
  },
};
