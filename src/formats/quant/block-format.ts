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
   * exactly the blocks of `blocks`.
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
