/**
 * A GGUF file taken apart into the pieces that mutators move about, and put together again. Written apart from the
 * parser under test; the files it takes apart are good ones.
 */

/** Where in a piece a number lies that tells of the structure: a length, count, type, dimension or offset. */
export interface NumberField {
  at: number;
  byteLength: 4 | 8;
}

/** A metadata entry, or an entry of the tensor table. */
export interface Piece {
  bytes: Uint8Array;
  fields: readonly NumberField[];
  /** A number of it was changed, so it can no longer be walked through. */
  isBroken?: true;
}

export interface GgufPieces {
  version: number;
  metadata: Piece[];
  tensors: Piece[];
  /** What follows the tensor table and its padding. */
  data: Uint8Array;
  alignmentBytes: number;
}

/** Bytes of a metadata value by type number; strings (8) and arrays (9) have no fixed length. */
export const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8] as const;
export const STRING_TYPE = 8;
export const ARRAY_TYPE = 9;

const HEADER_BYTES = 24;

class Walker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #start: number;
  #fields: NumberField[] = [];
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#start = at;
    this.at = at;
  }

  u32(): number {
    this.#fields.push({ at: this.at - this.#start, byteLength: 4 });
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  u64(): number {
    this.#fields.push({ at: this.at - this.#start, byteLength: 8 });
    this.at += 8;
    return Number(this.#view.getBigUint64(this.at - 8, true));
  }

  string(): void {
    const byteLength = this.u64();
    this.at += byteLength;
  }

  value(type: number): void {
    if (type === STRING_TYPE) this.string();
    else if (type === ARRAY_TYPE) {
      const elementType = this.u32();
      const count = this.u64();
      for (let index = 0; index < count; index++) this.value(elementType);
    } else this.at += VALUE_BYTES[type] as number;
  }

  /** Everything since the last call. */
  take(): Piece {
    const piece = { bytes: this.#bytes.slice(this.#start, this.at), fields: this.#fields };
    this.#start = this.at;
    this.#fields = [];
    return piece;
  }
}

/** A piece of one metadata entry or tensor entry, with its fields found. */
export function toPiece(kind: 'metadata' | 'tensor', bytes: Uint8Array): Piece {
  const walker = new Walker(bytes, 0);
  if (kind === 'metadata') walkMetadata(walker);
  else walkTensor(walker);
  return walker.take();
}

function walkMetadata(walker: Walker): void {
  walker.string();
  walker.value(walker.u32());
}

function walkTensor(walker: Walker): void {
  walker.string();
  const dimensionCount = walker.u32();
  for (let axis = 0; axis < dimensionCount; axis++) walker.u64();
  walker.u32();
  walker.u64();
}

/** Where the name of an entry, of either kind, ends in it. */
export function nameEnd({ bytes }: Piece): number {
  return 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}

export function nameOf(piece: Piece): string {
  return new TextDecoder().decode(piece.bytes.subarray(8, nameEnd(piece)));
}

export function takeApart(file: Uint8Array): GgufPieces {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const tensorCount = Number(view.getBigUint64(8, true));
  const keyCount = Number(view.getBigUint64(16, true));
  const walker = new Walker(file, HEADER_BYTES);
  const take = (walk: (walker: Walker) => void) => () => {
    walk(walker);
    return walker.take();
  };
  const metadata = Array.from({ length: keyCount }, take(walkMetadata));
  const tensors = Array.from({ length: tensorCount }, take(walkTensor));
  const alignment = metadata.find((piece) => nameOf(piece) === 'general.alignment');
  const alignmentBytes = alignment
    ? new DataView(alignment.bytes.buffer).getUint32(alignment.bytes.byteLength - 4, true)
    : 32;
  const dataStart = Math.ceil(walker.at / alignmentBytes) * alignmentBytes;
  const data = file.slice(dataStart);
  return { version: view.getUint32(4, true), metadata, tensors, data, alignmentBytes };
}

export interface Joined {
  bytes: Uint8Array<ArrayBuffer>;
  /** Where every number of the structure lies, from the start of the file. */
  fields: NumberField[];
  /** Where pieces begin and end, magic and data included. */
  borders: number[];
  headerBytes: number;
}

/** The file, with the counts that the pieces have. */
export function join(pieces: GgufPieces): Joined {
  const entries = [...pieces.metadata, ...pieces.tensors];
  const headerBytes = entries.reduce((sum, { bytes }) => sum + bytes.byteLength, HEADER_BYTES);
  const dataStart = Math.ceil(headerBytes / pieces.alignmentBytes) * pieces.alignmentBytes;
  const bytes = new Uint8Array(dataStart + pieces.data.byteLength);
  bytes.set([0x47, 0x47, 0x55, 0x46]);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, pieces.version, true);
  view.setBigUint64(8, BigInt(pieces.tensors.length), true);
  view.setBigUint64(16, BigInt(pieces.metadata.length), true);
  const fields: NumberField[] = [
    { at: 4, byteLength: 4 },
    { at: 8, byteLength: 8 },
    { at: 16, byteLength: 8 },
  ];
  const borders = [0, 4, 8, 16, HEADER_BYTES];
  let at = HEADER_BYTES;
  for (const entry of entries) {
    bytes.set(entry.bytes, at);
    for (const field of entry.fields) fields.push({ at: at + field.at, byteLength: field.byteLength });
    at += entry.bytes.byteLength;
    borders.push(at);
  }
  bytes.set(pieces.data, dataStart);
  borders.push(dataStart, bytes.byteLength);
  return { bytes, fields, borders, headerBytes };
}
