// The exports that tvmjs calls (wasm32: every parameter and result is an i32), and start-up.
// `_initialize`, which runs this file's top level, is the module's start function under the name that tvmjs expects.

import { Address, ObjectAddress, OK, TYPE_ARRAY, TYPE_MODULE, TYPE_SHAPE, TYPE_TENSOR, TYPE_TEXT } from "./abi";
import { registerBuiltins } from "./builtins";
import { allocateForPage, liveGpuBufferCount, totalGpuBufferCount } from "./device";
import { addBytes, addText, endError, fail, lastError, setForeignError, startError } from "./errors";
import { callFunction, createJsFunction, findGlobal, setGlobal } from "./functions";
import { dispatchCount } from "./kernels";
import { registerKvState } from "./kv-state";
import { registerModules } from "./modules";
import { liveObjectCount, release, retain, typeOf } from "./objects";
import { createLiteralText, equalsLiteral, ownAny } from "./strings";
import { registerTensorCache } from "./tensor-cache";
import { registerMachine } from "./vm";

export function TVMWasmAllocSpace(byteLength: usize): Address {
  return allocateForPage(byteLength);
}

export function TVMWasmFreeSpace(address: Address): void {
  if (address != 0) heap.free(address);
}

export function TVMFFIWasmGetLastError(): Address {
  return lastError();
}

/** A JS callback failed: `message` is what the caller of the failing function will see. */
export function TVMFFIErrorSetRaisedFromCStr(_kind: Address, message: Address): void {
  setForeignError(message);
}

export function TVMFFIWasmFunctionCreate(index: usize, out: Address): i32 {
  store<u32>(out, <u32>createJsFunction(index));
  return OK;
}

export function TVMFFIFunctionCall(object: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  if (object == 0) return fail("call of a null function");
  return callFunction(object, args, count, result);
}

/** `name` is a span {address, length}. A missing function is 0, not an error. */
export function TVMFFIFunctionGetGlobal(name: Address, out: Address): i32 {
  const object = findGlobal(<usize>load<u32>(name), <usize>load<u32>(name, 4));
  store<u32>(out, object == 0 ? 0 : <u32>retain(object));
  return OK;
}

export function TVMFFIFunctionSetGlobal(name: Address, object: ObjectAddress, replace: i32): i32 {
  return setGlobal(<usize>load<u32>(name), <usize>load<u32>(name, 4), object, replace != 0);
}

export function TVMFFIObjectIncRef(object: ObjectAddress): i32 {
  if (object != 0) retain(object);
  return OK;
}

export function TVMFFIObjectDecRef(object: ObjectAddress): i32 {
  if (object != 0) release(object);
  return OK;
}

export function TVMFFITypeKeyToIndex(key: Address, out: Address): i32 {
  const address = <usize>load<u32>(key);
  const length = <usize>load<u32>(key, 4);
  if (equalsLiteral(address, length, "ffi.Array")) store<i32>(out, TYPE_ARRAY);
  else if (equalsLiteral(address, length, "ffi.Module")) store<i32>(out, TYPE_MODULE);
  else {
    startError("there is no type \"");
    addBytes(address, length);
    addText("\"");
    return endError();
  }
  return OK;
}

export function TVMFFIAnyViewToOwnedAny(source: Address, target: Address): i32 {
  ownAny(source, target);
  return OK;
}

// Type info as tvmjs reads it: the type's key is a span at +8. One static struct serves one caller at a time.
const typeInfo = memory.data(16, 4);
let typeKey: ObjectAddress = 0;

/** For `TVMObject.typeKey()` only, which WebLLM never calls. */
export function TVMFFIGetTypeInfo(typeIndex: i32): Address {
  if (typeKey != 0) release(typeKey);
  if (typeIndex == TYPE_TENSOR) typeKey = createLiteralText("ffi.Tensor");
  else if (typeIndex == TYPE_SHAPE) typeKey = createLiteralText("ffi.Shape");
  else if (typeIndex == TYPE_ARRAY) typeKey = createLiteralText("ffi.Array");
  else if (typeIndex == TYPE_MODULE) typeKey = createLiteralText("ffi.Module");
  else if (typeIndex == TYPE_TEXT) typeKey = createLiteralText("ffi.String");
  else typeKey = createLiteralText("ffi.Object");
  store<i32>(typeInfo, typeIndex);
  store<u64>(typeInfo, load<u64>(typeKey, 24), 8);
  return typeInfo;
}

/** For functions that return a data type; none of ours does. `dtype` is {u8 code, u8 bits, u16 lanes}. */
export function TVMFFIDataTypeToString(dtype: Address, out: Address): i32 {
  const code = load<u8>(dtype);
  const bits = load<u8>(dtype, 1);
  let text = "float32";
  if (code == 0) text = bits == 8 ? "int8" : bits == 16 ? "int16" : bits == 32 ? "int32" : "int64";
  else if (code == 1) text = bits == 8 ? "uint8" : bits == 16 ? "uint16" : bits == 32 ? "uint32" : "uint64";
  else if (bits != 32) text = bits == 16 ? "float16" : "float64";
  store<u32>(out, <u32>createLiteralText(text));
  return OK;
}

/** Objects that exist now. */
export function tramontane_live_objects(): i32 {
  return liveObjectCount();
}

/** GPU buffers that exist now, idle ones of the pool included. */
export function tramontane_gpu_buffer_count(): i32 {
  return liveGpuBufferCount();
}

/** GPU buffers ever created. */
export function tramontane_gpu_allocation_total(): i32 {
  return totalGpuBufferCount();
}

/** Dispatches ever recorded. */
export function tramontane_dispatch_total(): i32 {
  return dispatchCount();
}

registerBuiltins();
registerTensorCache();
registerKvState();
registerModules();
registerMachine();
