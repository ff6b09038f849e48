/** Writes small GGUF files, for tests and for models that scripts make. Good files only: tests spoil bytes themselves. */

import { numberToFloat16 } from '../../src/base/float16.ts';
import { GGML_TYPES, type GgmlType, ggmlByteLength } from '../../src/formats/gguf/ggml-types.ts';
import type { GgufScalarType, GgufValue } from '../../src/formats/gguf/gguf.ts';

/** A tensor without its data. */
export interface TensorToList {
  name: string;
  type: GgmlType;
  /** The contiguous dimension first, as in the file. */
  dimensions: readonly number[];
}

export interface TensorToWrite extends TensorToList {
  bytes: Uint8Array;
}

export interface GgufToWrite<Tensor extends TensorToList = TensorToWrite> {
  metadata: readonly (readonly [key: string, value: GgufValue])[];
  tensors: readonly Tensor[];
  /** Default 3. */
  version?: number;
  /** Default 32; write `general.alignment` into the metadata where it differs. */
  alignmentBytes?: number;
}

const TYPE_NUMBERS: Record<GgufScalarType | 'array', number> = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
};

const SCALAR_BYTES: Record<Exclude<GgufScalarType, 'string'>, number> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  uint64: 8,
  int64: 8,
  float64: 8,
};

const WRITE_NUMBER: Record<
  Exclude<GgufScalarType, 'string' | 'uint64' | 'int64'>,
  (view: DataView, start: number, value: number) => void
> = {
  uint8: (view, start, value) => view.setUint8(start, value),
  int8: (view, start, value) => view.setInt8(start, value),
  uint16: (view, start, value) => view.setUint16(start, value, true),
  int16: (view, start, value) => view.setInt16(start, value, true),
  uint32: (view, start, value) => view.setUint32(start, value, true),
  int32: (view, start, value) => view.setInt32(start, value, true),
  float32: (view, start, value) => view.setFloat32(start, value, true),
  float64: (view, start, value) => view.setFloat64(start, value, true),
  bool: (view, start, value) => view.setUint8(start, value),
};

class ByteWriter {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }

  bytes(bytes: Uint8Array): void {
    const start = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, start);
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.scalar('uint64', BigInt(bytes.byteLength));
    this.bytes(bytes);
  }

  pad(alignment: number): void {
    this.#grow((alignment - (this.length % alignment)) % alignment);
  }

  scalar(type: GgufScalarType, value: number | bigint | boolean | string): void {
    if (type === 'string') {
      this.string(String(value));
      return;
    }
    const start = this.#grow(SCALAR_BYTES[type]);
    if (type === 'uint64') this.#view.setBigUint64(start, BigInt(value), true);
    else if (type === 'int64') this.#view.setBigInt64(start, BigInt(value), true);
    else WRITE_NUMBER[type](this.#view, start, Number(value));
  }

  /** Adds zero bytes; returns where they start. */
  #grow(byteLength: number): number {
    const start = this.length;
    this.length += byteLength;
    if (this.length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.length, this.#bytes.byteLength * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}

/** The bytes of a GGUF file. Tensor data follow in the order of the table; the last one is not padded. */
export function writeGguf(file: GgufToWrite): Uint8Array<ArrayBuffer> {
  const writer = writeHeader(file);
  for (const { bytes } of file.tensors) {
    writer.pad(alignmentOf(file));
    writer.bytes(bytes);
  }
  return writer.take();
}

/** The bytes before the data of the first tensor, padding included. */
export function writeGgufHeader(file: GgufToWrite<TensorToList>): Uint8Array<ArrayBuffer> {
  const writer = writeHeader(file);
  writer.pad(alignmentOf(file));
  return writer.take();
}

function alignmentOf({ alignmentBytes = 32 }: GgufToWrite<TensorToList>): number {
  return alignmentBytes;
}

function writeHeader(file: GgufToWrite<TensorToList>): ByteWriter {
  const alignment = alignmentOf(file);
  const writer = new ByteWriter();
  writer.bytes(new TextEncoder().encode('GGUF'));
  writer.scalar('uint32', file.version ?? 3);
  writer.scalar('uint64', BigInt(file.tensors.length));
  writer.scalar('uint64', BigInt(file.metadata.length));
  for (const [key, value] of file.metadata) {
    writer.string(key);
    writer.scalar('uint32', TYPE_NUMBERS[value.type]);
    if (value.type !== 'array') {
      writer.scalar(value.type, value.value);
      continue;
    }
    writer.scalar('uint32', TYPE_NUMBERS[value.elementType]);
    writer.scalar('uint64', BigInt(value.value.length));
    for (const element of value.value) writer.scalar(value.elementType, element);
  }
  let offset = 0;
  for (const { name, type, dimensions } of file.tensors) {
    writer.string(name);
    writer.scalar('uint32', dimensions.length);
    for (const dimension of dimensions) writer.scalar('uint64', BigInt(dimension));
    writer.scalar('uint32', GGML_TYPES[type].id);
    writer.scalar('uint64', BigInt(offset));
    const elements = dimensions.reduce((product, length) => product * length, 1);
    offset = Math.ceil((offset + ggmlByteLength(type, elements)) / alignment) * alignment;
  }
  return writer;
}

export type QuantisableType = 'F32' | 'F16' | 'Q4_0' | 'Q4_1' | 'Q8_0';

const BLOCK = 32;

/** Quantises weights (a multiple of 32) in the simple way: no search for better scales. */
export function quantise(type: QuantisableType, weights: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockBytes, blockElements } = GGML_TYPES[type];
  const bytes = new Uint8Array((weights.length / blockElements) * blockBytes);
  const view = new DataView(bytes.buffer);
  if (type === 'F32' || type === 'F16') {
    weights.forEach((weight, index) => {
      if (type === 'F32') view.setFloat32(index * 4, weight, true);
      else view.setUint16(index * 2, numberToFloat16(weight), true);
    });
    return bytes;
  }
  for (let block = 0; block < weights.length / BLOCK; block++) {
    const values = weights.subarray(block * BLOCK, (block + 1) * BLOCK);
    const start = block * blockBytes;
    const largest = values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const scale = { Q4_0: largest / -8, Q4_1: (most - least) / 15, Q8_0: Math.abs(largest) / 127 }[type];
    const inverse = scale === 0 ? 0 : 1 / scale;
    view.setUint16(start, numberToFloat16(scale), true);
    if (type === 'Q8_0') {
      values.forEach((value, index) => {
        view.setInt8(start + 2 + index, Math.round(value * inverse));
      });
      continue;
    }
    if (type === 'Q4_1') view.setUint16(start + 2, numberToFloat16(least), true);
    const quants = start + (type === 'Q4_1' ? 4 : 2);
    values.forEach((value, index) => {
      const exact = type === 'Q4_0' ? value * inverse + 8.5 : (value - least) * inverse + 0.5;
      const quant = Math.min(15, Math.max(0, Math.floor(exact)));
      // Weight j in the low half of byte j, weight j + 16 in its high half.
      const byte = quants + (index % 16);
      view.setUint8(byte, view.getUint8(byte) | (quant << (index < 16 ? 0 : 4)));
    });
  }
  return bytes;
}
