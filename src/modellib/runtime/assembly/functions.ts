// Function objects and the registry of global functions.
//
//   function object, 40 bytes
//   +24  u32  index in the function table (native) or in tvmjs's table (JS)
//   +28  u32  1 for a JS function
//   +32  u32  self: an object of the function's own, or 0 (native)
//   +36  u16  fewest arguments (native)

import { Address, callJsFunction, deleteJsFunction, ObjectAddress, OK, TYPE_FUNCTION } from "./abi";
import { addNumber, addText, endError, fail, startError } from "./errors";
import { createNameTable, findName, putName } from "./name-table";
import { createObject, OBJECT_HEADER_BYTES, release, retain, typeOf } from "./objects";
import { copyLiteral } from "./strings";

/** Arguments are borrowed; `result` is None on entry and what is stored there is the caller's. */
export type NativeFunction = (self: ObjectAddress, args: Address, count: i32, result: Address) => i32;

const FUNCTION_INDEX: usize = OBJECT_HEADER_BYTES;
const FUNCTION_IS_JS: usize = 28;
const FUNCTION_SELF: usize = 32;
const FUNCTION_ARGUMENTS: usize = 36;
const FUNCTION_BYTES: usize = 40;

/** A function that runs `body`; takes over the caller's reference to `self`. */
export function createFunction(body: NativeFunction, argumentCount: u16, self: ObjectAddress): ObjectAddress {
  const object = createObject(TYPE_FUNCTION, FUNCTION_BYTES, finalizeFunction.index);
  store<u32>(object, body.index, FUNCTION_INDEX);
  store<u32>(object, <u32>self, FUNCTION_SELF);
  store<u16>(object, argumentCount, FUNCTION_ARGUMENTS);
  return object;
}

export function createJsFunction(index: usize): ObjectAddress {
  const object = createObject(TYPE_FUNCTION, FUNCTION_BYTES, finalizeFunction.index);
  store<u32>(object, <u32>index, FUNCTION_INDEX);
  store<u32>(object, 1, FUNCTION_IS_JS);
  return object;
}

function finalizeFunction(object: ObjectAddress): void {
  if (load<u32>(object, FUNCTION_IS_JS) != 0) {
    deleteJsFunction(<usize>load<u32>(object, FUNCTION_INDEX));
  } else {
    const self = <usize>load<u32>(object, FUNCTION_SELF);
    if (self != 0) release(self);
  }
}

/** Calls a function. `result` must be None; the caller owns what is stored there. @returns 0, or -1 and sets the error. */
export function callFunction(object: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  const index = load<u32>(object, FUNCTION_INDEX);
  if (load<u32>(object, FUNCTION_IS_JS) != 0) return callJsFunction(<usize>index, args, count, result);
  const fewest = <i32>load<u16>(object, FUNCTION_ARGUMENTS);
  if (count < fewest) {
    startError("a function of ");
    addNumber(fewest);
    addText(" arguments was called with ");
    addNumber(count);
    return endError();
  }
  return call_indirect<i32>(index, <usize>load<u32>(object, FUNCTION_SELF), args, count, result);
}

// Registered at start-up: about 50 names, and three more that tvmjs adds.
const globals = createNameTable(256);

/** Adds a named function to a table that keeps it for good. */
export function defineIn(table: Address, name: string, argumentCount: u16, body: NativeFunction): void {
  const length = <usize>name.length;
  const bytes = heap.alloc(length);
  copyLiteral(name, bytes);
  putName(table, bytes, length, createFunction(body, argumentCount, 0));
  heap.free(bytes);
}

export function defineGlobal(name: string, argumentCount: u16, body: NativeFunction): void {
  defineIn(globals, name, argumentCount, body);
}

/** Puts a function under a global name; the registry keeps a reference. */
export function setGlobal(name: Address, length: usize, object: ObjectAddress, replace: bool): i32 {
  if (object == 0 || typeOf(object) != TYPE_FUNCTION) return fail("a global must be a function");
  const present = findName(globals, name, length);
  if (present != 0 && !replace) return fail("this global function is registered already");
  const previous = putName(globals, name, length, retain(object));
  if (previous != 0) release(previous);
  return OK;
}

/** The function under a global name, borrowed, or 0. */
export function findGlobal(name: Address, length: usize): ObjectAddress {
  return findName(globals, name, length);
}

/** As {@link findGlobal}, by a literal. */
export function findGlobalByLiteral(name: string): ObjectAddress {
  const length = <usize>name.length;
  const bytes = heap.alloc(length);
  copyLiteral(name, bytes);
  const object = findName(globals, bytes, length);
  heap.free(bytes);
  return object;
}
