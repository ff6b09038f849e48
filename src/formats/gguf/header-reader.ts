/**
 * A forward cursor over a ByteSource for headers: little-endian values, each preceded by a range check. It holds one
 * window of the source, so a header of any length is read in bounded memory and few reads.
 *
 * `has(n)`, then `await fill(n)` where it says no, then the synchronous readers: hot loops await once per window, not
 * once per value.
 */
import { FormatError } from '../../base/errors.ts';
import { clip } from '../../base/shown.ts';
import { type ByteSource, shortRead } from '../byte-source.ts';
import { decodeShortUtf8 } from './short-utf8.ts';

const WINDOW_BYTES = 1 << 20;

export class HeaderReader {
  readonly #source: ByteSource;
  readonly #limitBytes: number;
  readonly #signal: AbortSignal | undefined;
  #window = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  #windowOffset = 0;
  #cursor = 0;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  /** `limitBytes`: where the header must have ended, from the start of the source. */
  constructor(source: ByteSource, limitBytes: number, signal?: AbortSignal) {
    this.#source = source;
    this.#limitBytes = limitBytes;
    this.#signal = signal;
  }

  /** Offset of the next byte, from the start of the source. */
  get offset(): number {
    return this.#windowOffset + this.#cursor;
  }

  /** Bytes from here to the end of the source. */
  get remaining(): number {
    return this.#source.byteLength - this.offset;
  }

  /** True where the next `length` bytes are in the window. */
  has(length: number): boolean {
    return length <= this.#window.byteLength - this.#cursor;
  }

  /**
   * Brings the next `length` bytes into the window.
   * @throws FormatError naming `field` where the source or the limit ends before; `signal.reason` when aborted.
   */
  async fill(length: number, field: string): Promise<void> {
    const { offset, remaining } = this;
    if (length > remaining) {
      throw new FormatError(
        `The file ends at byte ${this.#source.byteLength}, inside ${clip(field)}: ${length} bytes expected at offset ${offset}, ${remaining} found`,
        { field, offset },
        { nextStep: 'The file is incomplete: download it again.' },
      );
    }
    const allowed = this.#limitBytes - offset;
    if (length > allowed) {
      throw new FormatError(
        `The header is larger than ${this.#limitBytes} bytes, the most that is supported, inside ${clip(field)}`,
        { field, offset },
        { code: 'format-unsupported' },
      );
    }
    const windowBytes = Math.min(remaining, allowed, Math.max(length, WINDOW_BYTES));
    const bytes = await this.#source.read(offset, windowBytes, this.#signal);
    if (bytes.byteLength !== windowBytes) throw shortRead(offset, windowBytes, bytes.byteLength);
    this.#window = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#windowOffset = offset;
    this.#cursor = 0;
  }

  readU8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  readI8(): number {
    return this.#view.getInt8(this.#advance(1));
  }

  readU16Le(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  readI16Le(): number {
    return this.#view.getInt16(this.#advance(2), true);
  }

  readU32Le(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  readI32Le(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  readU64Le(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  readI64Le(): bigint {
    return this.#view.getBigInt64(this.#advance(8), true);
  }

  readF32Le(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  readF64Le(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  /** `length` bytes of UTF-8. @throws FormatError naming `field` where they are not. */
  readUtf8(length: number, field: string): string {
    const start = this.#advance(length);
    const short = decodeShortUtf8(this.#window, start, start + length);
    if (short !== null) return short;
    try {
      return this.#decoder.decode(this.#window.subarray(start, start + length));
    } catch (cause) {
      throw new FormatError(
        `${clip(field)} is not valid UTF-8`,
        { field, offset: this.#windowOffset + start },
        { cause },
      );
    }
  }

  /** Moves past `length` bytes of the window and returns where they start in it. */
  #advance(length: number): number {
    const start = this.#cursor;
    if (length > this.#window.byteLength - start) {
      throw new Error(`Internal error: ${length} bytes read at offset ${this.offset} without fill()`);
    }
    this.#cursor = start + length;
    return start;
  }
}
