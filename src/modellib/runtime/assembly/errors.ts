// The text of the last error. Built piece by piece in a fixed buffer, so that reporting an error never allocates.
// tvmjs decodes it byte by byte, hence ASCII only.

import { FAILED } from "./abi";

const CAPACITY: usize = 4096;
const buffer = memory.data(4096);
let used: usize = 0;

/** Starts a message; every message of ours begins with "tramontane: ". */
export function startError(text: string): void {
  used = 0;
  addText("tramontane: ");
  addText(text);
}

export function addByte(byte: u32): void {
  if (used + 1 >= CAPACITY) return;
  const isAllowed = (byte >= 32 && byte < 127) || byte == 10;
  store<u8>(buffer + used, isAllowed ? byte : 63 /* ? */);
  used++;
}

export function addText(text: string): void {
  const characters = changetype<usize>(text);
  for (let i = 0; i < text.length; i++) addByte(load<u16>(characters + ((<usize>i) << 1)));
}

export function addBytes(address: usize, byteLength: usize): void {
  for (let i: usize = 0; i < byteLength; i++) addByte(load<u8>(address + i));
}

export function addNumber(value: i64): void {
  if (value < 0) {
    addByte(45 /* - */);
    value = -value;
  }
  let unit: i64 = 1;
  while (value / unit >= 10) unit *= 10;
  for (; unit > 0; unit /= 10) addByte(48 + <u32>((value / unit) % 10));
}

/** Ends the message. @returns what a failing function returns. */
export function endError(): i32 {
  store<u8>(buffer + used, 0);
  return FAILED;
}

export function fail(text: string): i32 {
  startError(text);
  return endError();
}

/** "<what><value><between><limit>" */
export function failWithLimit(what: string, value: i64, between: string, limit: i64): i32 {
  startError(what);
  addNumber(value);
  addText(between);
  addNumber(limit);
  return endError();
}

/** Sets the message to a NUL-terminated text from JS as it is. */
export function setForeignError(text: usize): void {
  used = 0;
  for (let byte = load<u8>(text); byte != 0; byte = load<u8>(++text)) addByte(byte);
  endError();
}

/** Puts "tramontane: <what>: " before the present message, which came from JS. */
export function prefixError(what: string, address: usize, byteLength: usize): i32 {
  const length = used;
  const copy = heap.alloc(length + 1);
  memory.copy(copy, buffer, length);
  startError(what);
  addBytes(address, byteLength);
  addText(": ");
  addBytes(copy, length);
  heap.free(copy);
  return endError();
}

/** The message, NUL-terminated. */
export function lastError(): usize {
  return buffer;
}

/** Reached only through a bug of this runtime: the page sees a RuntimeError. */
export function abort(_message: usize, _file: usize, _line: u32, _column: u32): void {
  unreachable();
}
