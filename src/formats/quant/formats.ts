/** GGML's tensor types that the store can hold bit-exactly. To add one: a file beside this, and a line here. */
import type { GgmlType } from '../gguf/ggml-types.ts';
import type { BlockFormat } from './block-format.ts';
import { f16, f32 } from './plain.ts';
import { q4_0 } from './q4-0.ts';
import { q4_1 } from './q4-1.ts';
import { q8_0 } from './q8-0.ts';

export const BLOCK_FORMATS: Readonly<Partial<Record<GgmlType, BlockFormat>>> = {
  F32: f32,
  F16: f16,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q8_0: q8_0,
};

/** Names of the supported tensor types, for messages. */
export const SUPPORTED_TYPES = Object.keys(BLOCK_FORMATS).join(', ');
