/** GGML's tensor types that the store can hold bit for bit. */
import type { GgmlType } from '../gguf/ggml-types.ts';
import type { BlockFormat } from './block-format.ts';
import { kQuants } from './k-quants.ts';
import { legacyFormats } from './legacy.ts';
import { plainFormats } from './plain.ts';

const formats = [...plainFormats, ...legacyFormats, ...kQuants];

export const BLOCK_FORMATS: ReadonlyMap<GgmlType, BlockFormat> = new Map(
  formats.map((format) => [format.ggmlType, format]),
);

/** Names of the supported tensor types, for messages. */
export const SUPPORTED_TYPES = [...BLOCK_FORMATS.keys()].join(', ');
