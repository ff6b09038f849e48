/** A growing byte buffer at an absolute address of the runtime's memory. */
import { TramontaneError } from '../base/errors.ts';
import { PAYLOAD_ADDRESS, PAYLOAD_END } from './runtime/payload-layout.ts';

/** {address, byte length or count}, as the payload stores it. */
export interface Span {
  address: number;
  length: number;
}

export class PayloadWriter {
  #bytes = new Uint8Array(1 << 18);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;

  /** Reserves zeroed bytes, aligned to 4. @returns their address. @throws TramontaneError library-invalid when full. */
  reserve(byteLength: number): number {
    const start = this.#used;
    const end = start + Math.ceil(byteLength / 4) * 4;
    const limit = PAYLOAD_END - PAYLOAD_ADDRESS;
    if (end > limit) {
      throw new TramontaneError(
        'library-invalid',
        `The model library needs ${end} bytes or more for its kernels, tables and programs; the limit is ${limit}.`,
        {
          nextStep: 'Make fewer program variants, or raise PAYLOAD_END in payload-layout.ts.',
          data: { byteLength: end, limit },
        },
      );
    }
    if (end > this.#bytes.length) {
      const bytes = new Uint8Array(Math.min(limit, Math.max(end, this.#bytes.length * 2)));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer);
    }
    this.#used = end;
    return PAYLOAD_ADDRESS + start;
  }

  setU32(address: number, value: number): void {
    this.#view.setUint32(address - PAYLOAD_ADDRESS, value, true);
  }

  setI32(address: number, value: number): void {
    this.#view.setInt32(address - PAYLOAD_ADDRESS, value, true);
  }

  setU16(address: number, value: number): void {
    this.#view.setUint16(address - PAYLOAD_ADDRESS, value, true);
  }

  setSpan(address: number, span: Span): void {
    this.setU32(address, span.address);
    this.setU32(address + 4, span.length);
  }

  addBytes(bytes: Uint8Array): Span {
    const address = this.reserve(bytes.length);
    this.#bytes.set(bytes, address - PAYLOAD_ADDRESS);
    return { address, length: bytes.length };
  }

  /** @throws TramontaneError library-invalid where the text is not ASCII: WebLLM decodes it byte by byte. */
  addText(text: string, what: string): Span {
    const address = this.reserve(text.length);
    const start = address - PAYLOAD_ADDRESS;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 126) {
        throw new TramontaneError(
          'library-invalid',
          `${what} has the character U+${code.toString(16).padStart(4, '0').toUpperCase()} at ${i}; only ASCII is allowed.`,
          { data: { what, offset: i } },
        );
      }
      this.#bytes[start + i] = code;
    }
    return { address, length: text.length };
  }

  get byteLength(): number {
    return this.#used;
  }

  /** What has been written, as a view. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }
}
