// Compute kernels: their sources, the functions that WebLLM compiled from them, and dispatching them.

import { Address, ObjectAddress, OK, TYPE_FUNCTION } from "./abi";
import { addBytes, addText, endError, fail, prefixError, startError } from "./errors";
import { callFunction, findGlobalByLiteral } from "./functions";
import { argumentAt, isObject, objectOf, release, retain, setNone, setObject } from "./objects";
import { kernelTable, tableCount } from "./payload";
import {
  HEADER_KERNELS,
  KERNEL_BYTES,
  KERNEL_FMAP_ENTRY,
  KERNEL_FUNCTION,
  KERNEL_NAME,
  KERNEL_WGSL,
} from "../payload-layout";
import { createConstantText, readAddress, readLength, readText } from "./strings";

let dispatches: i32 = 0;

export function dispatchCount(): i32 {
  return dispatches;
}

/** The kernel that a text argument names, or 0 with the error set. */
export function readKernel(any: Address): Address {
  if (!readText(any)) {
    fail("a kernel's name must be a text");
    return 0;
  }
  let kernel = kernelTable();
  for (let i = tableCount(HEADER_KERNELS); i > 0; i--, kernel += KERNEL_BYTES) {
    const length = <usize>load<u32>(kernel, KERNEL_NAME + 4);
    const name = <usize>load<u32>(kernel, KERNEL_NAME);
    if (length == readLength && memory.compare(name, readAddress, length) == 0) return kernel;
  }
  startError("there is no kernel \"");
  addBytes(readAddress, readLength);
  addText("\"");
  endError();
  return 0;
}

export function kernelSource(kernel: Address): ObjectAddress {
  return createConstantText(<usize>load<u32>(kernel, KERNEL_WGSL), <usize>load<u32>(kernel, KERNEL_WGSL + 4));
}

/** Keeps the function that WebLLM compiled for a kernel. */
export function setKernelFunction(kernel: Address, compiled: ObjectAddress): void {
  const previous = <usize>load<u32>(kernel, KERNEL_FUNCTION);
  store<u32>(kernel, <u32>retain(compiled), KERNEL_FUNCTION);
  if (previous != 0) release(previous);
}

/** Compiles a kernel that WebLLM has not compiled beforehand. @returns 0 with the error set. */
function compileKernel(kernel: Address): ObjectAddress {
  const create = findGlobalByLiteral("wasm.WebGPUCreateShader");
  if (create == 0) {
    fail("WebGPU is not initialised: wasm.WebGPUCreateShader is not registered");
    return 0;
  }
  const args = memory.data(32, 16);
  const result = memory.data(16, 16);
  const entry = createConstantText(
    <usize>load<u32>(kernel, KERNEL_FMAP_ENTRY),
    <usize>load<u32>(kernel, KERNEL_FMAP_ENTRY + 4),
  );
  const source = kernelSource(kernel);
  setObject(args, entry);
  setObject(argumentAt(args, 1), source);
  setNone(result);
  const status = callFunction(create, args, 2, result);
  release(entry);
  release(source);
  if (status != OK) {
    prefixError("cannot compile the kernel ", <usize>load<u32>(kernel, KERNEL_NAME), <usize>load<u32>(kernel, KERNEL_NAME + 4));
    return 0;
  }
  if (!isObject(result, TYPE_FUNCTION)) {
    fail("wasm.WebGPUCreateShader returned no function");
    return 0;
  }
  store<u32>(kernel, <u32>objectOf(result), KERNEL_FUNCTION);
  return objectOf(result);
}

/** The compiled function of a kernel, borrowed, or 0 with the error set. Call before filling any argument area. */
export function kernelFunction(kernel: Address): ObjectAddress {
  const compiled = <usize>load<u32>(kernel, KERNEL_FUNCTION);
  return compiled != 0 ? compiled : compileKernel(kernel);
}

/** Records one dispatch. Its arguments are numbers only, so tvmjs leaves them as they are. */
export function dispatch(compiled: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  dispatches++;
  return callFunction(compiled, args, count, result);
}
