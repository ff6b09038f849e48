// The GPU as WebLLM lets a library see it: five functions, and buffers known by number. On top of it, memory that
// tensors share by reference count, with a pool so that a token's small tensors create and destroy no GPU buffer.
//
//   storage, 20 bytes (not an object: tensors only)
//   +0   u32  references
//   +4   u32  address (CPU) or buffer id (GPU)
//   +8   u32  kind: 0 .. 16 a pooled GPU buffer of 16 << kind bytes; GPU_EXACT; CPU
//   +12  u32  next free storage of the same kind
//   +16  u32  byte length

import { Address, ObjectAddress, OK, TYPE_FUNCTION } from "./abi";
import { fail, failWithLimit } from "./errors";
import { callFunction, findGlobalByLiteral } from "./functions";
import { argumentAt, integerOf, isInteger, isObject, objectOf, release, setInteger, setNone, setObject, setOpaque } from "./objects";
import { createLiteralText } from "./strings";

const STORAGE_REFERENCES: usize = 0;
const STORAGE_DATA: usize = 4;
const STORAGE_KIND: usize = 8;
const STORAGE_NEXT: usize = 12;
const STORAGE_BYTE_LENGTH: usize = 16;
const STORAGE_BYTES: usize = 20;

const POOL_KINDS: u32 = 17;
const SMALLEST_POOLED: u32 = 16;
const LARGEST_POOLED: i64 = 1 << 20;
const KIND_GPU_EXACT: u32 = 254;
const KIND_CPU: u32 = 255;

/** Int arguments cross to JS as signed 32 bits. */
const MOST_GPU_BYTES: i64 = 0x7ffffffc;
/** AssemblyScript's allocator traps from 1 GiB on. */
const MOST_CPU_BYTES: i64 = 0x3fffff00;

let allocateFunction: ObjectAddress = 0;
let freeFunction: ObjectAddress = 0;
let copyToGpuFunction: ObjectAddress = 0;
let copyFromGpuFunction: ObjectAddress = 0;
let copyWithinGpuFunction: ObjectAddress = 0;

// Used by this file only, and never across a call into another part of the runtime.
const callArguments = memory.data(80, 16);
const callResult = memory.data(16, 16);

let liveBuffers: i32 = 0;
let totalBuffers: i32 = 0;

export function liveGpuBufferCount(): i32 {
  return liveBuffers;
}

export function totalGpuBufferCount(): i32 {
  return totalBuffers;
}

/** Fetches the device's functions, once. */
function connect(): i32 {
  if (copyWithinGpuFunction != 0) return OK;
  const factory = findGlobalByLiteral("wasm.WebGPUDeviceAPI");
  if (factory == 0) return fail("WebGPU is not initialised: wasm.WebGPUDeviceAPI is not registered");
  allocateFunction = fetchFunction(factory, "deviceAllocDataSpace");
  freeFunction = fetchFunction(factory, "deviceFreeDataSpace");
  copyToGpuFunction = fetchFunction(factory, "deviceCopyToGPU");
  copyFromGpuFunction = fetchFunction(factory, "deviceCopyFromGPU");
  copyWithinGpuFunction = fetchFunction(factory, "deviceCopyWithinGPU");
  if (allocateFunction == 0 || freeFunction == 0 || copyToGpuFunction == 0 || copyFromGpuFunction == 0) {
    copyWithinGpuFunction = 0;
  }
  return copyWithinGpuFunction == 0 ? fail("wasm.WebGPUDeviceAPI lacks a function") : OK;
}

function fetchFunction(factory: ObjectAddress, name: string): ObjectAddress {
  const text = createLiteralText(name);
  setObject(callArguments, text);
  setNone(callResult);
  const status = callFunction(factory, callArguments, 1, callResult);
  release(text);
  return status == OK && isObject(callResult, TYPE_FUNCTION) ? objectOf(callResult) : 0;
}

/** Creates a GPU buffer of its own. @returns its id, or 0 with the error set. */
export function createGpuBuffer(byteLength: i64): u32 {
  if (byteLength < 0 || byteLength > MOST_GPU_BYTES) {
    failWithLimit("a GPU buffer of ", byteLength, " bytes is over the limit of ", MOST_GPU_BYTES);
    return 0;
  }
  if (connect() != OK) return 0;
  setInteger(callArguments, byteLength);
  setNone(callResult);
  if (callFunction(allocateFunction, callArguments, 1, callResult) != OK) return 0;
  const id = isInteger(callResult) ? <u32>integerOf(callResult) : 0;
  if (id == 0) {
    fail("deviceAllocDataSpace returned no buffer");
    return 0;
  }
  liveBuffers++;
  totalBuffers++;
  return id;
}

function destroyGpuBuffer(id: u32): void {
  setOpaque(callArguments, id);
  setNone(callResult);
  callFunction(freeFunction, callArguments, 1, callResult);
  liveBuffers--;
}

export function copyToGpu(source: Address, target: u32, offset: i64, byteLength: i64): i32 {
  if (connect() != OK) return -1;
  setOpaque(callArguments, <u32>source);
  setOpaque(argumentAt(callArguments, 1), target);
  setInteger(argumentAt(callArguments, 2), offset);
  setInteger(argumentAt(callArguments, 3), byteLength);
  setNone(callResult);
  return callFunction(copyToGpuFunction, callArguments, 4, callResult);
}

/** The bytes arrive only after the page has awaited device.sync(). */
export function copyFromGpu(source: u32, offset: i64, target: Address, byteLength: i64): i32 {
  if (connect() != OK) return -1;
  setOpaque(callArguments, source);
  setInteger(argumentAt(callArguments, 1), offset);
  setOpaque(argumentAt(callArguments, 2), <u32>target);
  setInteger(argumentAt(callArguments, 3), byteLength);
  setNone(callResult);
  return callFunction(copyFromGpuFunction, callArguments, 4, callResult);
}

/** WebGPU copies whole words between two different buffers only, and reports a mistake where nobody looks. */
export function copyWithinGpu(source: u32, sourceOffset: i64, target: u32, targetOffset: i64, byteLength: i64): i32 {
  if (source == target) return fail("a GPU buffer cannot be copied to itself");
  if (((sourceOffset | targetOffset | byteLength) & 3) != 0) {
    return failWithLimit("a GPU copy must be of whole words: ", byteLength, " bytes to offset ", targetOffset);
  }
  if (byteLength == 0) return OK;
  if (connect() != OK) return -1;
  setOpaque(callArguments, source);
  setInteger(argumentAt(callArguments, 1), sourceOffset);
  setOpaque(argumentAt(callArguments, 2), target);
  setInteger(argumentAt(callArguments, 3), targetOffset);
  setInteger(argumentAt(callArguments, 4), byteLength);
  setNone(callResult);
  return callFunction(copyWithinGpuFunction, callArguments, 5, callResult);
}

/** Heads of the lists of free pooled storages, u32[POOL_KINDS]. */
const freeStorages = memory.data(68, 4);

/** GPU memory with one reference, not cleared. @returns 0 with the error set. */
export function createGpuStorage(byteLength: i64): Address {
  if (byteLength > LARGEST_POOLED) {
    const id = createGpuBuffer((byteLength + 3) & ~3);
    return id == 0 ? 0 : createStorage(id, KIND_GPU_EXACT, byteLength);
  }
  let kind: u32 = 0;
  while ((<i64>(SMALLEST_POOLED << kind)) < byteLength) kind++;
  const head = freeStorages + ((<usize>kind) << 2);
  const free = <usize>load<u32>(head);
  if (free != 0) {
    store<u32>(head, load<u32>(free, STORAGE_NEXT));
    store<u32>(free, 1, STORAGE_REFERENCES);
    return free;
  }
  const capacity = <i64>(SMALLEST_POOLED << kind);
  const id = createGpuBuffer(capacity);
  return id == 0 ? 0 : createStorage(id, kind, capacity);
}

/** CPU memory with one reference, not cleared. @returns 0 with the error set. */
export function createCpuStorage(byteLength: i64): Address {
  if (byteLength > MOST_CPU_BYTES) {
    failWithLimit("a CPU tensor of ", byteLength, " bytes is over the limit of ", MOST_CPU_BYTES);
    return 0;
  }
  return createStorage(<u32>heap.alloc(<usize>max(byteLength, 16)), KIND_CPU, byteLength);
}

function createStorage(data: u32, kind: u32, byteLength: i64): Address {
  const storage = heap.alloc(STORAGE_BYTES);
  store<u32>(storage, 1, STORAGE_REFERENCES);
  store<u32>(storage, data, STORAGE_DATA);
  store<u32>(storage, kind, STORAGE_KIND);
  store<u32>(storage, 0, STORAGE_NEXT);
  store<u32>(storage, <u32>byteLength, STORAGE_BYTE_LENGTH);
  return storage;
}

/** Address or buffer id. */
export function storageData(storage: Address): u32 {
  return load<u32>(storage, STORAGE_DATA);
}

export function retainStorage(storage: Address): Address {
  store<u32>(storage, load<u32>(storage, STORAGE_REFERENCES) + 1, STORAGE_REFERENCES);
  return storage;
}

export function releaseStorage(storage: Address): void {
  const references = load<u32>(storage, STORAGE_REFERENCES) - 1;
  store<u32>(storage, references, STORAGE_REFERENCES);
  if (references != 0) return;
  const kind = load<u32>(storage, STORAGE_KIND);
  if (kind < POOL_KINDS) {
    const head = freeStorages + ((<usize>kind) << 2);
    store<u32>(storage, load<u32>(head), STORAGE_NEXT);
    store<u32>(head, <u32>storage);
    return;
  }
  if (kind == KIND_CPU) heap.free(<usize>load<u32>(storage, STORAGE_DATA));
  else destroyGpuBuffer(load<u32>(storage, STORAGE_DATA));
  heap.free(storage);
}

/** What TVMWasmAllocSpace gives the page. 0 where it is too much. */
export function allocateForPage(byteLength: usize): Address {
  return <i64>byteLength > MOST_CPU_BYTES ? 0 : heap.alloc(max(byteLength, 8));
}
