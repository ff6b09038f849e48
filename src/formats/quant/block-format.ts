/**
 * What each weight format provides. "Packed" is the layout of models/model-description.ts: quants of a matrix in one
 * run, scales in another, both in row order, so a run of whole blocks can be repacked wherever it starts.
 */
export interface BlockFormat {
  /** Name in the packed layout. */
  readonly name: 'f32' | 'f16' | 'q4_0' | 'q4_1' | 'q8_0';
  /** Bytes of a block of 32 weights: in the GGUF file, and as packed. */
  readonly ggufBlockBytes: number;
  readonly quantBytes: number;
  /** 0 where the format has no scales. */
  readonly scaleBytes: number;
  /**
   * Moves whole GGUF blocks into the packed layout; every bit of the source is kept. `quants` and `scales` have room for
   * exactly the blocks of `blocks`, and begin at even byte offsets of their buffers.
   */
  repack(blocks: Uint8Array, quants: Uint8Array, scales: Uint8Array): void;
  /** The inverse of {@link repack}: proves that it loses nothing. */
  unpack(quants: Uint8Array, scales: Uint8Array, blocks: Uint8Array): void;
  /** The weights of packed blocks, computed in f32: the reference for kernels. 32 a block into `weights`. */
  dequantise(quants: Uint8Array, scales: Uint8Array, weights: Float32Array): void;
}

/** Weights in a block, in every format here. */
export const BLOCK_WEIGHTS = 32;

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
