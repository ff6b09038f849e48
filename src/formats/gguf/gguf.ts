/**
 * What a GGUF file says of itself: typed metadata and a table of tensors. Types and accessors only; `parse-gguf.ts`
 * reads them from bytes. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { FormatError, TramontaneError } from '../../base/errors.ts';
import type { GgmlType } from './ggml-types.ts';

export type GgufIntegerType = 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'uint64' | 'int64';
export type GgufFloatType = 'float32' | 'float64';
export type GgufScalarType = GgufIntegerType | GgufFloatType | 'bool' | 'string';

/** A metadata value with the type it has in the file. 64-bit integers are bigint, as not all fit a number. */
export type GgufValue =
  | { readonly type: Exclude<GgufIntegerType, 'uint64' | 'int64'> | GgufFloatType; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | GgufArray;

/** Arrays hold scalars of one type; the parser refuses arrays of arrays. */
export type GgufArray =
  | {
      readonly type: 'array';
      readonly elementType: Exclude<GgufIntegerType, 'uint64' | 'int64'> | GgufFloatType;
      readonly value: readonly number[];
    }
  | { readonly type: 'array'; readonly elementType: 'uint64' | 'int64'; readonly value: readonly bigint[] }
  | { readonly type: 'array'; readonly elementType: 'bool'; readonly value: readonly boolean[] }
  | { readonly type: 'array'; readonly elementType: 'string'; readonly value: readonly string[] };

/** Metadata by key, in file order: `general.architecture`, `llama.block_count`, `tokenizer.ggml.tokens` and so on. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** As in the file: the contiguous dimension first, so a matrix is [columns, rows]. One to four dimensions. */
  readonly dimensions: readonly number[];
  /** Absolute, from the start of the file. */
  readonly offsetBytes: number;
  readonly byteLength: number;
}

export interface Gguf {
  readonly version: 2 | 3;
  readonly metadata: GgufMetadata;
  /** In file order; names are unique, ranges lie inside the file and do not overlap. */
  readonly tensors: readonly GgufTensor[];
  /** Where tensor data begin, from the start of the file. */
  readonly dataOffsetBytes: number;
  readonly alignmentBytes: number;
  /**
   * Where in the file each metadata value and each tensor's entry begins, by metadata key or tensor name: for errors
   * that are found after parsing ({@link locateErrors}).
   */
  readonly offsets: ReadonlyMap<string, number>;
}

/**
 * Runs `read`, which looks at what the header says; an error of ours that names a key or tensor, but not where in the
 * file that is, gets its `data.offset`.
 */
export function locateErrors<T>(gguf: Pick<Gguf, 'offsets'>, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TramontaneError && typeof error.data.offset !== 'number') {
      const offset = gguf.offsets.get(String(error.data.field));
      if (offset !== undefined) Object.assign(error, { data: { ...error.data, offset } });
    }
    throw error;
  }
}

function typeName(value: GgufValue): string {
  return value.type === 'array' ? `array of ${value.elementType}` : value.type;
}

function wrongType(key: string, expected: string, value: GgufValue): FormatError {
  return new FormatError(`GGUF metadata "${key}" is of type ${typeName(value)}, expected ${expected}`, {
    field: key,
  });
}

/** @returns null where the key is absent. @throws FormatError where it is not a string. */
export function metadataString(metadata: GgufMetadata, key: string): string | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (value.type !== 'string') throw wrongType(key, 'string', value);
  return value.value;
}

/** @returns null where the key is absent. @throws FormatError where it is not an integer of at most 2^53 - 1. */
export function metadataInteger(metadata: GgufMetadata, key: string): number | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  switch (value.type) {
    case 'uint64':
    case 'int64': {
      const number = Number(value.value);
      if (!Number.isSafeInteger(number)) {
        throw new FormatError(`GGUF metadata "${key}" is ${value.value}, expected at most 2^53 - 1`, {
          field: key,
        });
      }
      return number;
    }
    case 'float32':
    case 'float64':
    case 'bool':
    case 'string':
    case 'array':
      throw wrongType(key, 'an integer', value);
    default:
      return value.value;
  }
}

/** Floats and integers alike. @returns null where the key is absent. @throws FormatError where it is no number. */
export function metadataNumber(metadata: GgufMetadata, key: string): number | null {
  const value = metadata.get(key);
  if (value?.type === 'float32' || value?.type === 'float64') return value.value;
  return metadataInteger(metadata, key);
}

/**
 * A number from `min` to `max`.
 * @returns null where the key is absent. @throws FormatError where it is no number, or another one.
 */
export function metadataRange(metadata: GgufMetadata, key: string, min: number, max: number): number | null {
  const value = metadataNumber(metadata, key);
  if (value === null || (value >= min && value <= max)) return value;
  throw new FormatError(`GGUF metadata "${key}" is ${value}, expected ${min} to ${max}`, { field: key });
}

/** @returns null where the key is absent. @throws FormatError where it is not a bool. */
export function metadataBoolean(metadata: GgufMetadata, key: string): boolean | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (value.type !== 'bool') throw wrongType(key, 'bool', value);
  return value.value;
}
