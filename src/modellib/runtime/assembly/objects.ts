// Reference-counted objects. tvmjs reads only the type index; the rest of the header is ours.
//
//   object header, 24 bytes
//   +0   u32  references
//   +4   u32  unused (tvm keeps weak references here)
//   +8   i32  type index            read by tvmjs
//   +12  u32  unused
//   +16  u32  finalizer             index in the function table, 0 for none; releases what the object owns
//   +20  u32  unused

import { Address, FIRST_OBJECT_TYPE, ObjectAddress, TYPE_BOOL, TYPE_FLOAT, TYPE_INT, TYPE_OPAQUE } from "./abi";

export const OBJECT_HEADER_BYTES: usize = 24;
const REFERENCES: usize = 0;
const TYPE_INDEX: usize = 8;
const FINALIZER: usize = 16;

export type Finalizer = (object: ObjectAddress) => void;

let liveObjects: i32 = 0;

export function liveObjectCount(): i32 {
  return liveObjects;
}

/** Creates a zeroed object with one reference. `finalizer` is a function's `.index`, or 0. */
export function createObject(typeIndex: i32, byteLength: usize, finalizer: u32): ObjectAddress {
  const object = heap.alloc(byteLength);
  memory.fill(object, 0, byteLength);
  store<u32>(object, 1, REFERENCES);
  store<i32>(object, typeIndex, TYPE_INDEX);
  store<u32>(object, finalizer, FINALIZER);
  liveObjects++;
  return object;
}

export function typeOf(object: ObjectAddress): i32 {
  return load<i32>(object, TYPE_INDEX);
}

export function retain(object: ObjectAddress): ObjectAddress {
  store<u32>(object, load<u32>(object, REFERENCES) + 1, REFERENCES);
  return object;
}

export function release(object: ObjectAddress): void {
  const references = load<u32>(object, REFERENCES) - 1;
  store<u32>(object, references, REFERENCES);
  if (references != 0) return;
  const finalizer = load<u32>(object, FINALIZER);
  if (finalizer != 0) call_indirect<void>(finalizer, object);
  liveObjects--;
  heap.free(object);
}

// Any, 16 bytes, aligned to 8 (JS reads the value as an f64 array element)
//   +0   i32  type index
//   +4   u32  zero; for small texts the length
//   +8   value: i64, f64, an address (upper half zero), or {i32 device type, i32 device id}

export const ANY_BYTES: usize = 16;
const ANY_LENGTH: usize = 4;
export const ANY_VALUE: usize = 8;

/** The address of argument `index`. */
@inline
export function argumentAt(args: Address, index: i32): Address {
  return args + (<usize>index) * ANY_BYTES;
}

export function anyType(any: Address): i32 {
  return load<i32>(any);
}

export function setNone(any: Address): void {
  store<u64>(any, 0);
  store<u64>(any, 0, ANY_VALUE);
}

export function setInteger(any: Address, value: i64): void {
  store<u64>(any, TYPE_INT);
  store<i64>(any, value, ANY_VALUE);
}

export function setOpaque(any: Address, value: u32): void {
  store<u64>(any, TYPE_OPAQUE);
  store<u64>(any, <u64>value, ANY_VALUE);
}

/** Gives the caller's reference to the Any. */
export function setObject(any: Address, object: ObjectAddress): void {
  store<i32>(any, typeOf(object));
  store<u32>(any, 0, ANY_LENGTH);
  store<u64>(any, <u64>object, ANY_VALUE);
}

/** Copies an Any, with a reference of its own where it is an object. The two may be the same. */
export function copyAny(source: Address, target: Address): void {
  const head = load<u64>(source);
  const value = load<u64>(source, ANY_VALUE);
  if (<i32>head >= FIRST_OBJECT_TYPE) retain(<usize>value);
  store<u64>(target, head);
  store<u64>(target, value, ANY_VALUE);
}

export function releaseAny(any: Address): void {
  if (anyType(any) >= FIRST_OBJECT_TYPE) release(objectOf(any));
  setNone(any);
}

export function objectOf(any: Address): ObjectAddress {
  return <usize>load<u32>(any, ANY_VALUE);
}

export function isObject(any: Address, typeIndex: i32): bool {
  return anyType(any) == typeIndex && objectOf(any) != 0;
}

/** True for an Int or Bool, and for a Float of a whole value: plain JS numbers arrive as Float. */
export function isInteger(any: Address): bool {
  const type = anyType(any);
  if (type == TYPE_INT || type == TYPE_BOOL) return true;
  if (type != TYPE_FLOAT) return false;
  const value = load<f64>(any, ANY_VALUE);
  return Math.abs(value) <= 9007199254740991 && Math.floor(value) == value;
}

/** The value of an Any that {@link isInteger}. */
export function integerOf(any: Address): i64 {
  return anyType(any) == TYPE_FLOAT ? <i64>load<f64>(any, ANY_VALUE) : load<i64>(any, ANY_VALUE);
}
