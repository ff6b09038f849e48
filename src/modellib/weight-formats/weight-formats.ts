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

/** Names of the two storage variables of a matrix part in WGSL. */
export interface PartVariables {
  quants: string;
  scales: string;
}

export interface WeightFormatKernels {
  /** u32 words of quants in a block. */
  quantWords: number;
  /** f16 values beside a block's quants: none, a scale, or a scale and a minimum. */
  scaleCount: 0 | 1 | 2;
  /** What the quants hold, for whoever makes test data. */
  quantKind: 'integer' | 'f16' | 'f32';
  /** WGSL element type of the quants' array; 16 bytes, so that one load fetches as much as it can. */
  quantElement: 'vec4<f32>' | 'vec4<u32>' | 'vec4<i32>';
  /**
   * WGSL for the quants of one block. `load` declares what `quants` use; `quants[i]` is a vec4<f32> of the columns
   * 4i .. 4i+3, the component j still to be multiplied by columnFactors[j].
   */
  blockCode(part: PartVariables, block: string): { load: readonly string[]; quants: readonly string[] };
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

/** 32 nibbles in four words. */
function nibbles(rest: Pick<WeightFormatKernels, 'scaleCount' | 'bias' | 'decode'>): WeightFormatKernels {
  return {
    quantWords: 4,
    quantKind: 'integer',
    quantElement: 'vec4<i32>',
    columnFactors: NIBBLE_FACTORS,
    blockCode(part, block) {
      const mask = 'vec4<i32>(0xf, 0xf0, 0xf00, 0xf000)';
      return {
        load: [`let low = ${part.quants}[${block}];`, 'let high = low >> vec4<u32>(16u);'],
        quants: ['x', 'y', 'z', 'w'].flatMap((word) =>
          ['low', 'high'].map((from) => `vec4<f32>(vec4<i32>(${from}.${word}) & ${mask})`),
        ),
      };
    },
    ...rest,
  };
}

export const weightFormats: Readonly<Record<WeightFormat, WeightFormatKernels>> = {
  f32: {
    quantWords: 32,
    scaleCount: 0,
    quantKind: 'f32',
    quantElement: 'vec4<f32>',
    columnFactors: null,
    bias: null,
    blockCode: (part, block) => ({
      load: [`let at = ${block} * 8u;`],
      quants: Array.from({ length: 8 }, (_, i) => `${part.quants}[at + ${i}u]`),
    }),
    decode: ({ quants }, block, column) => quants.getFloat32((block * 32 + column) * 4, true),
  },
  f16: {
    quantWords: 16,
    scaleCount: 0,
    quantKind: 'f16',
    quantElement: 'vec4<u32>',
    columnFactors: null,
    bias: null,
    blockCode: (part, block) => ({
      load: [
        `let at = ${block} * 4u;`,
        ...[0, 1, 2, 3].map((i) => `let words${i} = ${part.quants}[at + ${i}u];`),
      ],
      quants: [0, 1, 2, 3].flatMap((i) =>
        ['xy', 'zw'].map(
          ([a, b]) => `vec4<f32>(unpack2x16float(words${i}.${a}), unpack2x16float(words${i}.${b}))`,
        ),
      ),
    }),
    decode: ({ quants }, block, column) => f16At(quants, block * 32 + column),
  },
  q4f16_1: nibbles({
    scaleCount: 1,
    bias: '-7.0 * scale',
    decode: ({ quants, scales }, block, column) =>
      (nibbleAt(quants, block, column) - 7) * f16At(scales, block),
  }),
  q4_0: nibbles({
    scaleCount: 1,
    bias: '-8.0 * scale',
    decode: ({ quants, scales }, block, column) =>
      (nibbleAt(quants, block, column) - 8) * f16At(scales, block),
  }),
  q4_1: nibbles({
    scaleCount: 2,
    bias: 'minimum',
    decode: ({ quants, scales }, block, column) =>
      nibbleAt(quants, block, column) * f16At(scales, block * 2) + f16At(scales, block * 2 + 1),
  }),
  q8_0: {
    quantWords: 8,
    scaleCount: 1,
    quantKind: 'integer',
    quantElement: 'vec4<i32>',
    columnFactors: null,
    bias: null,
    blockCode: (part, block) => ({
      load: [
        `let at = ${block} * 2u;`,
        `let words0 = ${part.quants}[at];`,
        `let words1 = ${part.quants}[at + 1u];`,
      ],
      quants: ['0.x', '0.y', '0.z', '0.w', '1.x', '1.y', '1.z', '1.w'].map(
        (word) => `vec4<f32>((vec4<i32>(words${word}) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u))`,
      ),
    }),
    decode: ({ quants, scales }, block, column) => quants.getInt8(block * 32 + column) * f16At(scales, block),
  },
};
