// Weights by name: WebLLM fills the cache record by record, then asks for the model's parameters in order.

import { Address, ObjectAddress, OK, TYPE_ARRAY, TYPE_TENSOR, DEVICE_WEBGPU } from "./abi";
import { addBytes, addText, endError, fail, startError } from "./errors";
import { arrayItem, arrayLength, createArray } from "./containers";
import { defineGlobal } from "./functions";
import { createParameterModule } from "./modules";
import { createNameTable, findName, putName, removeAnyName, removeName } from "./name-table";
import { argumentAt, integerOf, isInteger, isObject, objectOf, release, retain, setObject } from "./objects";
import { recordTable, tableCount } from "./payload";
import { HEADER_RECORDS, RECORD_BYTES, RECORD_GPU_ID, RECORD_NAME } from "../payload-layout";
import { readAddress, readLength, readText } from "./strings";
import { tensorByteOffset, tensorDeviceType, tensorGpuId } from "./tensors";

const cache = createNameTable(256);

function missingRecord(name: Address, length: usize): i32 {
  startError("the weight record \"");
  addBytes(name, length);
  addText("\" is missing from the loaded weights");
  return endError();
}

/** Puts the GPU buffers of all weights where the programs look for them. */
function bindRecords(): i32 {
  let record = recordTable();
  for (let i = tableCount(HEADER_RECORDS); i > 0; i--, record += RECORD_BYTES) {
    const name = <usize>load<u32>(record, RECORD_NAME);
    const length = <usize>load<u32>(record, RECORD_NAME + 4);
    const tensor = findName(cache, name, length);
    if (tensor == 0) return missingRecord(name, length);
    if (tensorDeviceType(tensor) != DEVICE_WEBGPU || tensorByteOffset(tensor) != 0) {
      startError("the weight record \"");
      addBytes(name, length);
      addText("\" is not a GPU buffer of its own");
      return endError();
    }
    store<u32>(record, tensorGpuId(tensor), RECORD_GPU_ID);
  }
  return OK;
}

function get(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!readText(args)) return fail("tensor_cache.get needs a name");
  const tensor = findName(cache, readAddress, readLength);
  if (tensor != 0) setObject(result, retain(tensor));
  return OK;
}

function update(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  const replace = argumentAt(args, 2);
  if (!readText(args) || !isObject(argumentAt(args, 1), TYPE_TENSOR) || !isInteger(replace)) {
    return fail("tensor_cache.update needs a name, a tensor and whether to replace");
  }
  if (integerOf(replace) == 0 && findName(cache, readAddress, readLength) != 0) {
    startError("the weight record \"");
    addBytes(readAddress, readLength);
    addText("\" is there already");
    return endError();
  }
  const previous = putName(cache, readAddress, readLength, retain(objectOf(argumentAt(args, 1))));
  if (previous != 0) release(previous);
  return OK;
}

function remove(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!readText(args)) return fail("tensor_cache.remove needs a name");
  const tensor = removeName(cache, readAddress, readLength);
  if (tensor != 0) release(tensor);
  return OK;
}

function clear(_self: ObjectAddress, _args: Address, _count: i32, _result: Address): i32 {
  for (let tensor = removeAnyName(cache); tensor != 0; tensor = removeAnyName(cache)) release(tensor);
  return OK;
}

function parametersByName(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!isObject(args, TYPE_ARRAY)) return fail("param_module_from_cache_by_name needs an array of names");
  const names = objectOf(args);
  const count = arrayLength(names);
  const parameters = createArray(count);
  for (let i = 0; i < count; i++) {
    if (!readText(arrayItem(names, i))) {
      release(parameters);
      return fail("a parameter's name must be a text");
    }
    const tensor = findName(cache, readAddress, readLength);
    if (tensor == 0) {
      release(parameters);
      return missingRecord(readAddress, readLength);
    }
    setObject(arrayItem(parameters, i), retain(tensor));
  }
  if (bindRecords() != OK) {
    release(parameters);
    return -1;
  }
  setObject(result, createParameterModule(parameters));
  return OK;
}

export function registerTensorCache(): void {
  defineGlobal("vm.builtin.tensor_cache.get", 1, get);
  defineGlobal("vm.builtin.tensor_cache.update", 3, update);
  defineGlobal("vm.builtin.tensor_cache.remove", 1, remove);
  defineGlobal("vm.builtin.tensor_cache.clear", 0, clear);
  defineGlobal("vm.builtin.param_module_from_cache_by_name", 1, parametersByName);
}
