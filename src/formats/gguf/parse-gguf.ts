/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian. The file is not trusted: every read is checked
 * against the file's end, every count against a limit, and every tensor's range against the file and its neighbours.
 * Tensor data are not touched.
 */
import { FormatError } from '../../base/errors.ts';
import { clip, shown } from '../../base/shown.ts';
import type { ByteSource } from '../byte-source.ts';
import { GGML_TYPES, ggmlByteLength, ggmlTypeById } from './ggml-types.ts';
import type { Gguf, GgufArray, GgufMetadata, GgufScalarType, GgufTensor, GgufValue } from './gguf.ts';
import { HeaderReader } from './header-reader.ts';

const MAGIC = 0x46554747; // "GGUF"

/** A header is held in memory; Mistral's comes to 8 MB, the largest known to about 20. */
const MAX_HEADER_BYTES = 64 << 20;
/** Real files have 20 to 60 keys. */
const MAX_METADATA_KEYS = 4096;
/** The specification's limit on keys. */
const MAX_KEY_BYTES = 65_535;
/** The largest strings are chat templates, below 100 kB, and licence texts. */
const MAX_STRING_BYTES = 4 << 20;
/**
 * Of all arrays together, as an element of a byte in the file takes eight in memory. Mistral's tokenizer has 131,072
 * tokens with as many types, and 269,443 merges; the largest known come to 1.3 million.
 */
const MAX_ARRAY_ELEMENTS = 4 << 20;
/** Mistral Small has 363 tensors, mixtures of experts some thousands. */
export const MAX_TENSORS = 65_536;
/** GGML's own limit is 64; be generous. */
const MAX_TENSOR_NAME_BYTES = 1024;
/** GGML_MAX_DIMS. */
const MAX_DIMENSIONS = 4;
/** GGUF's default is 32; a page of the largest kind is more than anyone needs. */
const MAX_ALIGNMENT = 1 << 20;

/** Type numbers of metadata values, and the least bytes one takes. */
const VALUE_TYPES: readonly (readonly [name: GgufScalarType | 'array', minBytes: number])[] = [
  ['uint8', 1],
  ['int8', 1],
  ['uint16', 2],
  ['int16', 2],
  ['uint32', 4],
  ['int32', 4],
  ['float32', 4],
  ['bool', 1],
  ['string', 8],
  ['array', 12],
  ['uint64', 8],
  ['int64', 8],
  ['float64', 8],
];

/** A value where its bytes are at hand, else a promise of it: loops over hundreds of thousands await only then. */
type Soon<T> = T | Promise<T>;

/**
 * Parses the header: metadata and tensor table.
 * @throws FormatError `format-invalid` with the offset and field at fault, or `format-unsupported` for another version,
 *   an unknown tensor type, or a header beyond all limits; `signal.reason` when aborted.
 */
export async function parseGguf(source: ByteSource, signal?: AbortSignal): Promise<Gguf> {
  const reader = new HeaderReader(source, MAX_HEADER_BYTES, signal);
  const version = await readPreamble(reader);
  const tensorCount = await readCount(reader, 'tensor count', MAX_TENSORS, 24);
  const keyCount = await readCount(reader, 'metadata count', MAX_METADATA_KEYS, 13);
  const offsets = new Map<string, number>();
  const metadata = await readMetadata(reader, keyCount, offsets);
  const alignmentBytes = readAlignment(metadata, offsets);
  const entries = await readTensorTable(reader, tensorCount);

  const dataOffsetBytes = Math.ceil(reader.offset / alignmentBytes) * alignmentBytes;
  const placed = entries.map((entry) =>
    placeTensor(entry, dataOffsetBytes, alignmentBytes, source.byteLength),
  );
  checkPacking(placed, dataOffsetBytes, alignmentBytes);
  for (const { name, entryOffset } of entries) if (!offsets.has(name)) offsets.set(name, entryOffset);
  const tensors = placed.map(({ tensor }) => tensor);
  return { version, metadata, tensors, dataOffsetBytes, alignmentBytes, offsets };
}

async function readPreamble(reader: HeaderReader): Promise<2 | 3> {
  await reader.fill(8, 'magic and version');
  const magic = reader.readU32Le();
  if (magic !== MAGIC) {
    throw new FormatError(
      `The file starts with 0x${magic.toString(16).padStart(8, '0')}, expected "GGUF"`,
      { field: 'magic', offset: 0 },
      { nextStep: 'Choose a GGUF file.' },
    );
  }
  const version = reader.readU32Le();
  if (version === 2 || version === 3) return version;
  const bigEndian = version === 0x02000000 || version === 0x03000000;
  throw new FormatError(
    bigEndian
      ? 'The GGUF file is big-endian; only little-endian files are supported'
      : `GGUF version ${version} is not supported, expected 2 or 3`,
    { field: 'version', offset: 4 },
    { code: 'format-unsupported', nextStep: 'Convert the model again with a current llama.cpp.' },
  );
}

async function readMetadata(
  reader: HeaderReader,
  keyCount: number,
  offsets: Map<string, number>,
): Promise<GgufMetadata> {
  const metadata = new Map<string, GgufValue>();
  let elements = 0;
  for (let index = 0; index < keyCount; index++) {
    const { offset } = reader;
    const key = await readName(reader, `metadata key ${index}`, MAX_KEY_BYTES);
    if (metadata.has(key)) {
      throw new FormatError(`GGUF metadata key ${shown(key)} occurs twice`, { field: key, offset });
    }
    offsets.set(key, reader.offset);
    const value = await readValue(reader, key, MAX_ARRAY_ELEMENTS - elements);
    if (value.type === 'array') elements += value.value.length;
    metadata.set(key, value);
  }
  return metadata;
}

/** A 64-bit count, limited by `max` and by what the rest of the file can hold. */
function readCount(reader: HeaderReader, field: string, max: number, minBytesEach: number): Soon<number> {
  if (!reader.has(8)) {
    return reader.fill(8, field).then(() => readCount(reader, field, max, minBytesEach));
  }
  const { offset } = reader;
  const count = reader.readU64Le();
  if (count > BigInt(max)) {
    throw new FormatError(`GGUF ${clip(field)} is ${count}, at most ${max} is supported`, { field, offset });
  }
  const needed = Number(count) * minBytesEach;
  if (needed > reader.remaining) {
    throw new FormatError(
      `GGUF ${clip(field)} is ${count}, which takes at least ${needed} bytes; ${reader.remaining} are left in the file`,
      { field, offset },
      { nextStep: 'The file is incomplete: download it again.' },
    );
  }
  return Number(count);
}

function readString(reader: HeaderReader, field: string, maxBytes: number): Soon<string> {
  const length = readCount(reader, `length of ${field}`, maxBytes, 1);
  if (typeof length !== 'number') return length.then((known) => readText(reader, field, known));
  return readText(reader, field, length);
}

function readText(reader: HeaderReader, field: string, length: number): Soon<string> {
  if (!reader.has(length)) return reader.fill(length, field).then(() => reader.readUtf8(length, field));
  return reader.readUtf8(length, field);
}

/** Of a metadata key or tensor. */
async function readName(reader: HeaderReader, field: string, maxBytes: number): Promise<string> {
  const { offset } = reader;
  const name = await readString(reader, field, maxBytes);
  if (name === '') throw new FormatError(`GGUF ${field} is empty`, { field, offset });
  return name;
}

async function readType(reader: HeaderReader, field: string): Promise<GgufScalarType | 'array'> {
  if (!reader.has(4)) await reader.fill(4, `type of ${field}`);
  const { offset } = reader;
  const id = reader.readU32Le();
  const type = VALUE_TYPES[id];
  if (type === undefined) {
    throw new FormatError(
      `GGUF metadata ${shown(field)} has value type ${id}, expected 0 to ${VALUE_TYPES.length - 1}`,
      { field, offset },
    );
  }
  return type[0];
}

function minBytesOf(type: GgufScalarType | 'array'): number {
  return VALUE_TYPES.find(([name]) => name === type)?.[1] ?? 1;
}

async function readValue(reader: HeaderReader, key: string, maxElements: number): Promise<GgufValue> {
  const type = await readType(reader, key);
  if (type === 'array') return readArray(reader, key, maxElements);
  return { type, value: await readScalar(reader, key, type, minBytesOf(type)) } as GgufValue;
}

async function readArray(reader: HeaderReader, key: string, maxElements: number): Promise<GgufArray> {
  const typeOffset = reader.offset;
  const elementType = await readType(reader, key);
  if (elementType === 'array') {
    throw new FormatError(
      `GGUF metadata ${shown(key)} is an array of arrays, which no known model uses`,
      { field: key, offset: typeOffset },
      { code: 'format-unsupported' },
    );
  }
  const elementBytes = minBytesOf(elementType);
  const count = await readCount(reader, `array length of ${key}`, maxElements, elementBytes);
  const value: (number | bigint | boolean | string)[] = [];
  for (let index = 0; index < count; index++) {
    const element = readScalar(reader, key, elementType, elementBytes);
    value.push(element instanceof Promise ? await element : element);
  }
  return { type: 'array', elementType, value } as GgufArray;
}

function readScalar(
  reader: HeaderReader,
  key: string,
  type: GgufScalarType,
  byteLength: number,
): Soon<number | bigint | boolean | string> {
  if (type === 'string') return readString(reader, key, MAX_STRING_BYTES);
  if (!reader.has(byteLength)) {
    return reader.fill(byteLength, key).then(() => readFilledScalar(reader, key, type));
  }
  return readFilledScalar(reader, key, type);
}

function readFilledScalar(
  reader: HeaderReader,
  key: string,
  type: Exclude<GgufScalarType, 'string'>,
): number | bigint | boolean {
  switch (type) {
    case 'uint8':
      return reader.readU8();
    case 'int8':
      return reader.readI8();
    case 'uint16':
      return reader.readU16Le();
    case 'int16':
      return reader.readI16Le();
    case 'uint32':
      return reader.readU32Le();
    case 'int32':
      return reader.readI32Le();
    case 'uint64':
      return reader.readU64Le();
    case 'int64':
      return reader.readI64Le();
    case 'float32':
      return reader.readF32Le();
    case 'float64':
      return reader.readF64Le();
    case 'bool': {
      const { offset } = reader;
      const byte = reader.readU8();
      if (byte > 1) {
        throw new FormatError(`GGUF metadata ${shown(key)} is ${byte}, expected a bool of 0 or 1`, {
          field: key,
          offset,
        });
      }
      return byte === 1;
    }
  }
}

function readAlignment(metadata: GgufMetadata, offsets: ReadonlyMap<string, number>): number {
  const field = 'general.alignment';
  const value = metadata.get(field);
  if (value === undefined) return 32;
  const alignment = value.type === 'uint32' ? value.value : 0;
  if (alignment < 1 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) !== 0) {
    const found = value.type === 'uint32' ? value.value : `of type ${value.type}`;
    throw new FormatError(
      `GGUF metadata "${field}" is ${found}, expected a uint32 that is a power of two up to ${MAX_ALIGNMENT}`,
      { field, offset: offsets.get(field) ?? 0 },
    );
  }
  return alignment;
}

interface TensorEntry {
  name: string;
  type: GgufTensor['type'];
  dimensions: number[];
  /** From the start of the data section. */
  relativeOffset: bigint;
  byteLength: number;
  /** Where the entry begins, from the start of the file. */
  entryOffset: number;
}

async function readTensorTable(reader: HeaderReader, count: number): Promise<TensorEntry[]> {
  const entries: TensorEntry[] = [];
  const names = new Set<string>();
  for (let index = 0; index < count; index++) {
    const entry = await readTensorEntry(reader, index);
    if (names.has(entry.name)) {
      throw new FormatError(`GGUF tensor ${shown(entry.name)} occurs twice`, {
        field: `tensor ${entry.name}`,
        offset: entry.entryOffset,
      });
    }
    names.add(entry.name);
    entries.push(entry);
  }
  return entries;
}

async function readTensorEntry(reader: HeaderReader, index: number): Promise<TensorEntry> {
  const entryOffset = reader.offset;
  const name = await readName(reader, `name of tensor ${index}`, MAX_TENSOR_NAME_BYTES);
  const field = `tensor ${name}`;
  if (!reader.has(4)) await reader.fill(4, field);
  const countOffset = reader.offset;
  const dimensionCount = reader.readU32Le();
  if (dimensionCount < 1 || dimensionCount > MAX_DIMENSIONS) {
    throw new FormatError(
      `GGUF tensor ${shown(name)} has ${dimensionCount} dimensions, expected 1 to ${MAX_DIMENSIONS}`,
      { field, offset: countOffset },
    );
  }
  const rest = dimensionCount * 8 + 12;
  if (!reader.has(rest)) await reader.fill(rest, field);

  const dimensionsOffset = reader.offset;
  const dimensions: number[] = [];
  let elements = 1n;
  for (let axis = 0; axis < dimensionCount; axis++) {
    const dimension = reader.readU64Le();
    elements *= dimension;
    if (dimension === 0n || elements > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new FormatError(
        `GGUF tensor ${shown(name)} has ${dimension} as dimension ${axis}; expected at least 1, and fewer than 2^53 elements in all`,
        { field, offset: dimensionsOffset + axis * 8 },
      );
    }
    dimensions.push(Number(dimension));
  }

  const typeOffset = reader.offset;
  const typeId = reader.readU32Le();
  const type = ggmlTypeById(typeId);
  if (type === null) {
    throw new FormatError(
      `GGUF tensor ${shown(name)} has type number ${typeId}, which is unknown`,
      { field, offset: typeOffset },
      {
        code: 'format-unsupported',
        nextStep: 'Choose a build in a supported format, such as Q4_K_M, Q4_0 or Q8_0.',
      },
    );
  }
  const columns = dimensions[0] as number;
  const { blockElements } = GGML_TYPES[type];
  if (columns % blockElements !== 0) {
    throw new FormatError(
      `GGUF tensor ${shown(name)} has ${columns} columns of ${type}, expected a multiple of ${blockElements}`,
      { field, offset: dimensionsOffset },
    );
  }
  return {
    name,
    type,
    dimensions,
    relativeOffset: reader.readU64Le(),
    byteLength: ggmlByteLength(type, Number(elements)),
    entryOffset,
  };
}

interface PlacedTensor {
  tensor: GgufTensor;
  entryOffset: number;
}

function placeTensor(
  entry: TensorEntry,
  dataOffsetBytes: number,
  alignmentBytes: number,
  fileByteLength: number,
): PlacedTensor {
  const { name, type, dimensions, relativeOffset, byteLength, entryOffset } = entry;
  const at = { field: `offset of tensor ${name}`, offset: entryOffset };
  if (relativeOffset % BigInt(alignmentBytes) !== 0n) {
    throw new FormatError(
      `GGUF tensor ${shown(name)} starts at data offset ${relativeOffset}, expected a multiple of ${alignmentBytes}`,
      at,
    );
  }
  const end = BigInt(dataOffsetBytes) + relativeOffset + BigInt(byteLength);
  if (end > BigInt(fileByteLength)) {
    throw new FormatError(
      `GGUF tensor ${shown(name)} ends at byte ${end}, the file at ${fileByteLength}`,
      at,
      { nextStep: 'The file is incomplete: download it again.' },
    );
  }
  const offsetBytes = dataOffsetBytes + Number(relativeOffset);
  return { tensor: { name, type, dimensions, offsetBytes, byteLength }, entryOffset };
}

/**
 * Tensors follow each other with nothing but padding between them, as llama.cpp demands too: a type, dimension or
 * offset that is not what was written shows here.
 */
function checkPacking(placed: readonly PlacedTensor[], dataOffsetBytes: number, alignment: number): void {
  const sorted = [...placed].sort((a, b) => a.tensor.offsetBytes - b.tensor.offsetBytes);
  let end = dataOffsetBytes;
  let before = 'the header';
  for (const { tensor, entryOffset } of sorted) {
    const expected = Math.ceil((end - dataOffsetBytes) / alignment) * alignment + dataOffsetBytes;
    if (tensor.offsetBytes !== expected) {
      const problem =
        tensor.offsetBytes < end
          ? `${before} and ${shown(tensor.name)} overlap at byte ${tensor.offsetBytes}`
          : `${tensor.offsetBytes - expected} bytes between ${before} and ${shown(tensor.name)} belong to none`;
      throw new FormatError(`GGUF tensors: ${problem}`, {
        field: `offset of tensor ${tensor.name}`,
        offset: entryOffset,
      });
    }
    end = tensor.offsetBytes + tensor.byteLength;
    before = shown(tensor.name);
  }
}
