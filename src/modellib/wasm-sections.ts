/** Just enough of the WebAssembly binary format to add a data segment to a module. */
import { TramontaneError } from '../base/errors.ts';

const SECTION_DATA_COUNT = 12;
const SECTION_DATA = 11;
const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

export function encodeUnsignedLeb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? byte : byte | 0x80);
  } while (rest !== 0);
  return bytes;
}

/** Of a 32-bit value, as in `i32.const`. */
export function encodeSignedLeb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    bytes.push(done ? byte : byte | 0x80);
    if (done) return bytes;
  }
}

/** A module taken apart around its data section. */
export interface WasmTemplate {
  /** Up to the data section; a data count section is left out. */
  head: Uint8Array;
  /** Segments of the data section, without their count. */
  segments: Uint8Array;
  segmentCount: number;
  /** Where in `head` the data count section was, or null without one. */
  dataCountAt: number | null;
  /** After the data section. */
  tail: Uint8Array;
}

function invalid(what: string, offset: number): TramontaneError {
  return new TramontaneError('library-invalid', `The runtime's wasm is damaged: ${what} at byte ${offset}.`, {
    nextStep: 'Build the runtime again: npm run build:runtime.',
    data: { offset },
  });
}

/** @throws TramontaneError library-invalid */
export function splitWasm(wasm: Uint8Array): WasmTemplate {
  if (MAGIC_AND_VERSION.some((byte, i) => wasm[i] !== byte)) throw invalid('no wasm header', 0);
  let at = MAGIC_AND_VERSION.length;
  const readUnsigned = () => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = wasm[at++];
      if (byte === undefined) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw invalid('an unfinished number', at);
  };
  let dataCount: { start: number; end: number } | null = null;
  let data: { start: number; segments: number; segmentCount: number; end: number } | null = null;
  while (at < wasm.length) {
    const start = at;
    const id = wasm[at++];
    const byteLength = readUnsigned();
    const end = at + byteLength;
    if (end > wasm.length) throw invalid(`section ${id} of ${byteLength} bytes goes beyond the end`, start);
    if (id === SECTION_DATA_COUNT) dataCount = { start, end };
    if (id === SECTION_DATA) {
      const segmentCount = readUnsigned();
      data = { start, segments: at, segmentCount, end };
    }
    at = end;
  }
  if (data === null) throw invalid('no data section', at);
  const head = new Uint8Array(data.start - (dataCount === null ? 0 : dataCount.end - dataCount.start));
  head.set(wasm.subarray(0, dataCount === null ? data.start : dataCount.start));
  if (dataCount !== null) head.set(wasm.subarray(dataCount.end, data.start), dataCount.start);
  return {
    head,
    segments: wasm.slice(data.segments, data.end),
    segmentCount: data.segmentCount,
    dataCountAt: dataCount?.start ?? null,
    tail: wasm.slice(data.end),
  };
}

/** The module with one more active data segment: `contents` at `address` of its memory. */
export function addDataSegment(
  template: WasmTemplate,
  address: number,
  contents: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const count = encodeUnsignedLeb128(template.segmentCount + 1);
  const segmentHead = [
    0, // active, memory 0
    0x41, // i32.const
    ...encodeSignedLeb128(address),
    0x0b, // end
    ...encodeUnsignedLeb128(contents.length),
  ];
  const sectionLength = count.length + template.segments.length + segmentHead.length + contents.length;
  const dataCount =
    template.dataCountAt === null
      ? []
      : [SECTION_DATA_COUNT, ...encodeUnsignedLeb128(count.length), ...count];
  const dataCountAt = template.dataCountAt ?? template.head.length;
  const parts = [
    template.head.subarray(0, dataCountAt),
    dataCount,
    template.head.subarray(dataCountAt),
    [SECTION_DATA, ...encodeUnsignedLeb128(sectionLength), ...count],
    template.segments,
    segmentHead,
    contents,
    template.tail,
  ];
  const wasm = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    wasm.set(part, at);
    at += part.length;
  }
  return wasm;
}
