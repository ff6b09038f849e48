const BLOCK_BYTES = 64;
const LENGTH_BYTES = 8;

/** What MD5 and SHA-256 have in common: bytes are taken in blocks of 64, in pieces of any length. */
export abstract class BlockHash {
  readonly #state: Int32Array;
  readonly #isLittleEndian: boolean;
  /** What came after the last whole block. */
  readonly #rest = new Uint8Array(BLOCK_BYTES);
  #byteLength = 0;

  /** @param state words, which {@link addBlock} changes, and which at the end are the hash */
  constructor(state: Int32Array, isLittleEndian: boolean) {
    this.#state = state;
    this.#isLittleEndian = isLittleEndian;
  }

  /** @param words of one block */
  protected abstract addBlock(state: Int32Array, words: Int32Array): void;

  /** @returns itself */
  add(bytes: Uint8Array): this {
    const restLength = this.#byteLength % BLOCK_BYTES;
    this.#byteLength += bytes.byteLength;
    let at = 0;
    if (restLength > 0) {
      at = Math.min(BLOCK_BYTES - restLength, bytes.byteLength);
      this.#rest.set(bytes.subarray(0, at), restLength);
      if (restLength + at < BLOCK_BYTES) return this;
      this.#addBlocks(this.#rest);
    }
    const end = bytes.byteLength - ((bytes.byteLength - at) % BLOCK_BYTES);
    this.#addBlocks(bytes.subarray(at, end));
    this.#rest.set(bytes.subarray(end));
    return this;
  }

  /** Ends it: nothing can be added any more. @returns eight hex digits a word */
  hex(): string {
    const bitLength = BigInt(this.#byteLength) * 8n;
    // A bit, zeros, and how many bits there were, to the end of a block.
    const used = (this.#byteLength % BLOCK_BYTES) + 1 + LENGTH_BYTES;
    const padding = new Uint8Array(1 + LENGTH_BYTES + ((2 * BLOCK_BYTES - used) % BLOCK_BYTES));
    padding[0] = 0x80;
    const length = new DataView(padding.buffer, padding.byteLength - LENGTH_BYTES);
    length.setBigUint64(0, bitLength, this.#isLittleEndian);
    this.add(padding);
    const digest = new DataView(new ArrayBuffer(this.#state.byteLength));
    this.#state.forEach((word, i) => {
      digest.setInt32(i * 4, word, this.#isLittleEndian);
    });
    return hexOf(new Uint8Array(digest.buffer));
  }

  #addBlocks(bytes: Uint8Array): void {
    const state = this.#state;
    const isLittleEndian = this.#isLittleEndian;
    const words = new Int32Array(BLOCK_BYTES / 4);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let offset = 0; offset < view.byteLength; offset += BLOCK_BYTES) {
      for (let i = 0; i < words.length; i++) words[i] = view.getInt32(offset + i * 4, isLittleEndian);
      this.addBlock(state, words);
    }
  }
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
