// Texts and byte strings: objects, arguments in their several forms, and literals.
//
//   text object, 32 bytes + contents
//   +24  u32  address of the contents: +32, or constant memory outside the object
//   +28  u32  length in bytes
//   +32  contents, then NUL

import {
  Address,
  ObjectAddress,
  TYPE_BYTES,
  TYPE_RAW_BYTES,
  TYPE_RAW_TEXT,
  TYPE_SMALL_BYTES,
  TYPE_SMALL_TEXT,
  TYPE_TEXT,
} from "./abi";
import { ANY_VALUE, anyType, copyAny, createObject, objectOf, setObject } from "./objects";

const TEXT_ADDRESS: usize = 24;
const TEXT_LENGTH: usize = 28;
const TEXT_CONTENTS: usize = 32;

/** A text or byte object with a copy of the bytes. */
export function createText(typeIndex: i32, source: Address, byteLength: usize): ObjectAddress {
  const object = createObject(typeIndex, TEXT_CONTENTS + byteLength + 1, 0);
  store<u32>(object, <u32>(object + TEXT_CONTENTS), TEXT_ADDRESS);
  store<u32>(object, <u32>byteLength, TEXT_LENGTH);
  memory.copy(object + TEXT_CONTENTS, source, byteLength);
  return object;
}

/** A text object over constant memory (the payload), without a copy. */
export function createConstantText(source: Address, byteLength: usize): ObjectAddress {
  const object = createObject(TYPE_TEXT, TEXT_CONTENTS, 0);
  store<u32>(object, <u32>source, TEXT_ADDRESS);
  store<u32>(object, <u32>byteLength, TEXT_LENGTH);
  return object;
}

export function createLiteralText(literal: string): ObjectAddress {
  const length = <usize>literal.length;
  const object = createObject(TYPE_TEXT, TEXT_CONTENTS + length + 1, 0);
  store<u32>(object, <u32>(object + TEXT_CONTENTS), TEXT_ADDRESS);
  store<u32>(object, <u32>length, TEXT_LENGTH);
  copyLiteral(literal, object + TEXT_CONTENTS);
  return object;
}

/** Writes an ASCII literal as bytes. */
export function copyLiteral(literal: string, target: Address): void {
  const characters = changetype<usize>(literal);
  for (let i: usize = 0; i < <usize>literal.length; i++) store<u8>(target + i, load<u16>(characters + (i << 1)));
}

export function lengthOfCText(text: Address): usize {
  let end = text;
  while (load<u8>(end) != 0) end++;
  return end - text;
}

/** What the last successful {@link readText} or {@link readBytes} found; borrowed from the argument. */
export let readAddress: Address = 0;
export let readLength: usize = 0;

/** Finds the contents of a text argument in any of its forms. @returns false where it is none. */
export function readText(any: Address): bool {
  const type = anyType(any);
  if (type == TYPE_RAW_TEXT) {
    readAddress = <usize>load<u32>(any, ANY_VALUE);
    readLength = lengthOfCText(readAddress);
    return true;
  }
  if (type == TYPE_SMALL_TEXT || type == TYPE_SMALL_BYTES) {
    readAddress = any + ANY_VALUE;
    readLength = <usize>load<u32>(any, 4);
    return true;
  }
  if (type == TYPE_TEXT || type == TYPE_BYTES) {
    readAddress = <usize>load<u32>(objectOf(any), TEXT_ADDRESS);
    readLength = <usize>load<u32>(objectOf(any), TEXT_LENGTH);
    return true;
  }
  return false;
}

/** Finds the contents of a byte argument (or a text). @returns false where it is neither. */
export function readBytes(any: Address): bool {
  if (anyType(any) != TYPE_RAW_BYTES) return readText(any);
  const span = <usize>load<u32>(any, ANY_VALUE);
  readAddress = <usize>load<u32>(span);
  readLength = <usize>load<u32>(span, 4);
  return true;
}

/** Copies an argument so that it may be kept: borrowed texts and bytes become objects. The two may be the same. */
export function ownAny(source: Address, target: Address): void {
  const type = anyType(source);
  if (type == TYPE_RAW_TEXT || type == TYPE_RAW_BYTES) {
    readBytes(source);
    setObject(target, createText(type == TYPE_RAW_TEXT ? TYPE_TEXT : TYPE_BYTES, readAddress, readLength));
  } else {
    copyAny(source, target);
  }
}

export function equalsLiteral(address: Address, byteLength: usize, literal: string): bool {
  if (byteLength != <usize>literal.length) return false;
  const characters = changetype<usize>(literal);
  for (let i: usize = 0; i < byteLength; i++) {
    if (<u32>load<u8>(address + i) != <u32>load<u16>(characters + (i << 1))) return false;
  }
  return true;
}
