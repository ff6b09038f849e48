import { WEIGHT_FORMATS, type WeightFormat } from '../../base/weight-formats.ts';
import { type GgmlType, ggmlByteLength } from '../gguf/ggml-types.ts';

/** How a GGUF type's groups are moved into the layout of base/weight-formats.ts and back. */
export interface Packing {
  /**
   * Moves whole groups; every bit of the source is kept. Any run of groups can be packed wherever it begins: `groups`
   * at any offset, `quants` at a multiple of 4, `scales` at a multiple of 4 or, where a group's are not whole words, of
   * 2. Both have room for exactly the groups of `groups`.
   */
  repack(groups: Uint8Array, quants: Uint8Array, scales: Uint8Array): void;
  /** The inverse of {@link repack}: proves that it loses nothing. `groups` begins at a multiple of 4. */
  unpack(quants: Uint8Array, scales: Uint8Array, groups: Uint8Array): void;
}

/** A GGUF type that the store holds bit for bit. */
export interface BlockFormat extends Packing {
  readonly name: WeightFormat;
  readonly ggmlType: GgmlType;
  readonly groupColumns: number;
  /** Bytes of a group: in the GGUF file, and as packed. */
  readonly sourceBytes: number;
  readonly quantBytes: number;
  /** 0 where the format has no scales. */
  readonly scaleBytes: number;
}

/** Formats that come from GGUF. */
type GgufFormat = {
  [Name in WeightFormat]: (typeof WEIGHT_FORMATS)[Name]['ggmlType'] extends null ? never : Name;
}[WeightFormat];

export function blockFormat(name: GgufFormat, packing: Packing): BlockFormat {
  const sizes = WEIGHT_FORMATS[name];
  return { name, ...sizes, sourceBytes: ggmlByteLength(sizes.ggmlType, sizes.groupColumns), ...packing };
}

/** Little-endian view of bytes at any alignment. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Bytes as 16-bit words in little-endian order, which is that of every platform with WebGPU. A view of the bytes where
 * they begin at an even offset, else of a copy: only for reading, then.
 */
export function wordsOf(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(even.buffer, even.byteOffset, even.byteLength / 2);
}

/** As {@link wordsOf}, for writing. @throws RangeError where the bytes begin at an odd offset */
export function writableWordsOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}
