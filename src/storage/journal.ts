/**
 * Bytes of one source as they came from the network, in pieces by their offset, kept until what they are needed for is
 * stored: so that an interrupted download goes on at the byte.
 */
import { createBlob } from './create-blob.ts';
import type { Key, KeyValueStore } from './key-value.ts';

export interface JournalPiece {
  offset: number;
  byteLength: number;
}

/** A piece's key is [model id, record, source, state, offset, length]. */
export function journalPieceOf(key: Key): JournalPiece {
  return { offset: key[4] as number, byteLength: key[5] as number };
}

/** Every failure is a TramontaneError `storage-failed` or `storage-quota`. */
export class Journal {
  readonly #values: KeyValueStore;
  readonly #under: readonly [string, ...string[]];
  readonly #attempt: <T>(operation: string, action: () => Promise<T>) => Promise<T>;

  /**
   * @param under what the keys of all pieces begin with
   * @param attempt runs an action and says its failure in words
   */
  constructor(
    values: KeyValueStore,
    under: readonly [modelId: string, ...rest: string[]],
    attempt: <T>(operation: string, action: () => Promise<T>) => Promise<T>,
  ) {
    this.#values = values;
    this.#under = under;
    this.#attempt = attempt;
  }

  /** In the order of their offsets. They may overlap. */
  async list(): Promise<JournalPiece[]> {
    const keys = await this.#attempt('list', () => this.#values.keys(this.#under));
    return keys.map(journalPieceOf);
  }

  /** @returns null where the piece has gone. */
  async read(piece: JournalPiece): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#attempt('read', async () => {
      const blob = await this.#values.get(this.#key(piece));
      return blob instanceof Blob ? new Uint8Array(await blob.arrayBuffer()) : null;
    });
  }

  async write(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const key = this.#key({ offset, byteLength: bytes.byteLength });
    await this.#attempt('write', () => this.#values.change({ put: [[key, createBlob(bytes)]] }));
  }

  async delete(pieces: readonly JournalPiece[]): Promise<void> {
    if (pieces.length === 0) return;
    await this.#attempt('delete', () =>
      this.#values.change({ delete: pieces.map((piece) => this.#key(piece)) }),
    );
  }

  async clear(): Promise<void> {
    await this.#attempt('delete', () => this.#values.change({ deleteUnder: [this.#under] }));
  }

  #key({ offset, byteLength }: JournalPiece) {
    return [...this.#under, offset, byteLength] as const;
  }
}
