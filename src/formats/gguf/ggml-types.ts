/**
 * GGML's tensor types: number in the file, name, elements and bytes of a block. The whole list is known, so that a file
 * with a type we cannot run is still read and refused by that type's name.
 * Numbers and block sizes: https://github.com/ggml-org/ggml/blob/master/include/ggml.h, src/ggml-common.h
 */

export interface GgmlTypeInfo {
  readonly id: number;
  readonly blockElements: number;
  readonly blockBytes: number;
}

const info = (id: number, blockElements: number, blockBytes: number): GgmlTypeInfo => ({
  id,
  blockElements,
  blockBytes,
});

export const GGML_TYPES = {
  F32: info(0, 1, 4),
  F16: info(1, 1, 2),
  Q4_0: info(2, 32, 18),
  Q4_1: info(3, 32, 20),
  Q5_0: info(6, 32, 22),
  Q5_1: info(7, 32, 24),
  Q8_0: info(8, 32, 34),
  Q8_1: info(9, 32, 36),
  Q2_K: info(10, 256, 84),
  Q3_K: info(11, 256, 110),
  Q4_K: info(12, 256, 144),
  Q5_K: info(13, 256, 176),
  Q6_K: info(14, 256, 210),
  Q8_K: info(15, 256, 292),
  IQ2_XXS: info(16, 256, 66),
  IQ2_XS: info(17, 256, 74),
  IQ3_XXS: info(18, 256, 98),
  IQ1_S: info(19, 256, 50),
  IQ4_NL: info(20, 32, 18),
  IQ3_S: info(21, 256, 110),
  IQ2_S: info(22, 256, 82),
  IQ4_XS: info(23, 256, 136),
  I8: info(24, 1, 1),
  I16: info(25, 1, 2),
  I32: info(26, 1, 4),
  I64: info(27, 1, 8),
  F64: info(28, 1, 8),
  IQ1_M: info(29, 256, 56),
  BF16: info(30, 1, 2),
  // Repacked for processors; llama.cpp writes these no more, and public files of them are still about.
  Q4_0_4_4: info(31, 32, 18),
  Q4_0_4_8: info(32, 32, 18),
  Q4_0_8_8: info(33, 32, 18),
  TQ1_0: info(34, 256, 54),
  TQ2_0: info(35, 256, 66),
  IQ4_NL_4_4: info(36, 32, 18),
  IQ4_NL_4_8: info(37, 32, 18),
  IQ4_NL_8_8: info(38, 32, 18),
  MXFP4: info(39, 32, 17),
  NVFP4: info(40, 64, 36),
  Q1_0: info(41, 128, 18),
} as const satisfies Record<string, GgmlTypeInfo>;

export type GgmlType = keyof typeof GGML_TYPES;

const BY_ID: ReadonlyMap<number, GgmlType> = new Map(
  (Object.keys(GGML_TYPES) as GgmlType[]).map((type) => [GGML_TYPES[type].id, type]),
);

/** @returns null for a number that names no type. */
export function ggmlTypeById(id: number): GgmlType | null {
  return BY_ID.get(id) ?? null;
}

/** Bytes of `elements` consecutive elements; `elements` is a multiple of the type's block. */
export function ggmlByteLength(type: GgmlType, elements: number): number {
  const { blockElements, blockBytes } = GGML_TYPES[type];
  return (elements / blockElements) * blockBytes;
}

/**
 * Values of `general.file_type` that name a build, of those that we can run.
 * Numbers: enum llama_ftype in https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h
 */
export const FILE_TYPES: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  7: 'Q8_0',
  8: 'Q5_0',
  9: 'Q5_1',
  14: 'Q4_K_S',
  15: 'Q4_K_M',
  16: 'Q5_K_S',
  17: 'Q5_K_M',
  18: 'Q6_K',
  25: 'IQ4_NL',
  30: 'IQ4_XS',
  32: 'BF16',
};
