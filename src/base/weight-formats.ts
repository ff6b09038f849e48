/**
 * The weight formats: their names, and how their bytes divide. Importer, model files and kernels take every size from
 * this table; docs/kernels.md says where the rest of a format lives.
 *
 * A matrix is [rows, columns] with columns contiguous. A *block* is 32 consecutive columns of one row, which kernels
 * work in; a *group* is what a format packs together: one block, or eight that share a scale. Rows are whole groups.
 * A part of a matrix has two records: the quants of its groups, and their scales. All numbers are little-endian.
 *
 * | format  | quants, per group        | scales, per group                        | weight                       |
 * |---------|--------------------------|------------------------------------------|------------------------------|
 * | f32     | 32 f32                   | none                                     | w                            |
 * | f16     | 32 f16                   | none                                     | w                            |
 * | bf16    | 32 bf16                  | none                                     | w                            |
 * | q4f16_1 | nibbles                  | f16 scale                                | (q - 7) * scale  (MLC)       |
 * | q4_0    | nibbles                  | f16 d                                    | (q - 8) * d                  |
 * | q4_1    | nibbles                  | f16 d, f16 m                             | q * d + m                    |
 * | q5_0    | nibbles                  | fifth bits, f16 d, 0                     | (q - 16) * d                 |
 * | q5_1    | nibbles                  | fifth bits, f16 d, f16 m                 | q * d + m                    |
 * | q8_0    | 32 int8                  | f16 d                                    | q * d                        |
 * | q4_k    | nibbles                  | f16 d, f16 dmin, 3 words of sub-scales   | d * sc[j] * q - dmin * mn[j] |
 * | q5_k    | nibbles                  | as q4_k, then fifth bits                 | as q4_k                      |
 * | q6_k    | nibbles, then high pairs | 16 int8 sub-scales, f16 d, 0             | d * sc[h] * (q - 32)         |
 * | iq4_nl  | nibbles                  | f16 d                                    | d * table[q]                 |
 * | iq4_xs  | nibbles                  | f16 d, 8 pairs of bits, 8 nibbles: sc    | d * (sc[j] - 32) * table[q]  |
 *
 * j is the number of a block in its group, h that of a half block.
 * - Nibbles: the low four bits of a block's 32 quants, in four words, in column order from the lowest bits on.
 * - Fifth bits: a word a block; that of column 4i + k is bit 16 * (i >> 2) + 4k + (i & 3).
 * - High pairs: bits 4 and 5, two words a block; those of column 4i + k are bits 16 * ((i >> 1) & 1) + 4k + 2 * (i & 1)
 *   and the next of word i >> 2. Both orders let four neighbours be masked with one shift.
 * - Sub-scales of q4_k and q5_k: the low nibbles of the eight sc, those of the eight mn, then the high pairs of bits, of
 *   sc in the low half of the word and of mn in the high half.
 */

/** Columns of a block. */
export const BLOCK_COLUMNS = 32;

interface WeightFormatSizes {
  /** The GGUF type that it holds, bit for bit; null where it comes from elsewhere. */
  ggmlType: string | null;
  /** A multiple of {@link BLOCK_COLUMNS}. */
  groupColumns: number;
  /** Bytes of a group in the record of quants, a multiple of 16, and in that of scales, 0 where there is none. */
  quantBytes: number;
  scaleBytes: number;
}

export const WEIGHT_FORMATS = {
  f32: { ggmlType: 'F32', groupColumns: 32, quantBytes: 128, scaleBytes: 0 },
  f16: { ggmlType: 'F16', groupColumns: 32, quantBytes: 64, scaleBytes: 0 },
  bf16: { ggmlType: 'BF16', groupColumns: 32, quantBytes: 64, scaleBytes: 0 },
  q4f16_1: { ggmlType: null, groupColumns: 32, quantBytes: 16, scaleBytes: 2 },
  q4_0: { ggmlType: 'Q4_0', groupColumns: 32, quantBytes: 16, scaleBytes: 2 },
  q4_1: { ggmlType: 'Q4_1', groupColumns: 32, quantBytes: 16, scaleBytes: 4 },
  q5_0: { ggmlType: 'Q5_0', groupColumns: 32, quantBytes: 16, scaleBytes: 8 },
  q5_1: { ggmlType: 'Q5_1', groupColumns: 32, quantBytes: 16, scaleBytes: 8 },
  q8_0: { ggmlType: 'Q8_0', groupColumns: 32, quantBytes: 32, scaleBytes: 2 },
  q4_k: { ggmlType: 'Q4_K', groupColumns: 256, quantBytes: 128, scaleBytes: 16 },
  q5_k: { ggmlType: 'Q5_K', groupColumns: 256, quantBytes: 128, scaleBytes: 48 },
  q6_k: { ggmlType: 'Q6_K', groupColumns: 256, quantBytes: 192, scaleBytes: 20 },
  iq4_nl: { ggmlType: 'IQ4_NL', groupColumns: 32, quantBytes: 16, scaleBytes: 2 },
  iq4_xs: { ggmlType: 'IQ4_XS', groupColumns: 256, quantBytes: 128, scaleBytes: 8 },
} as const satisfies Record<string, WeightFormatSizes>;

export type WeightFormat = keyof typeof WEIGHT_FORMATS;
