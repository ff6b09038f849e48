/**
 * The weight formats: their names, and how their bytes divide. Importer, model files and kernels take every size from
 * this table; docs/kernels.md says where the rest of a format lives.
 *
 * A matrix is [rows, columns] with columns contiguous. A *block* is 32 consecutive columns of one row, which kernels
 * work in; a *group* is what a format packs together: one block, or eight that share a scale. Rows are whole groups.
 * A part of a matrix has two records: the quants of its groups, and their scales. All numbers are little-endian. Quants
 * are u32 words in column order, lowest bits first.
 *
 * | format  | quants, per group     | scales, per group          | weight                    |
 * |---------|-----------------------|----------------------------|---------------------------|
 * | f32     | 32 f32                | none                       | w                         |
 * | f16     | 32 f16 in 16 words    | none                       | w                         |
 * | q4f16_1 | 32 nibbles in 4 words | 1 f16                      | (q - 7) * scale  (MLC)    |
 * | q4_0    | 32 nibbles in 4 words | 1 f16                      | (q - 8) * scale           |
 * | q4_1    | 32 nibbles in 4 words | f16 scale, f16 min, 1 word | q * scale + min           |
 * | q8_0    | 32 int8 in 8 words    | 1 f16                      | q * scale                 |
 * | bf16    | 32 bf16 in 16 words   | none                       | w                         |
 * | q5_0    | 32 nibbles            | 32 high bits; f16 d, 0     | (q - 16) * d              |
 * | q5_1    | 32 nibbles            | 32 high bits; f16 d, f16 m | q * d + m                 |
 * | iq4_nl  | 32 nibbles            | 1 f16                      | table[q] * d              |
 * | q4_k    | 256 nibbles           | d, dmin, 8 + 8 of 6 bits   | q * d * sc - dmin * m     |
 * | q5_k    | 256 nibbles           | the same, 256 high bits    | q * d * sc - dmin * m     |
 * | q6_k    | 256 nibbles, 256 × 2  | 16 int8, f16 d             | (q - 32) * sc * d         |
 * | iq4_xs  | 256 nibbles           | f16 d, 8 of 6 bits         | table[q] * d * (sc - 32)  |
 *
 * Bits of k-quants' scales are put in another order, so that a kernel needs no branch to read them; none is lost.
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
