// The general functions that tvmjs needs: shapes, arrays, tensors and copies.

import {
  Address,
  DEVICE_CPU,
  ObjectAddress,
  OK,
  TYPE_ARRAY,
  TYPE_BYTES,
  TYPE_DEVICE,
  TYPE_SHAPE,
  TYPE_TENSOR,
} from "./abi";
import { arrayItem, arrayLength, createArray, createShape, shapeDimensions, shapeLength } from "./containers";
import { fail, failWithLimit } from "./errors";
import { defineGlobal } from "./functions";
import { ANY_VALUE, anyType, argumentAt, copyAny, integerOf, isInteger, isObject, objectOf, release, setInteger, setObject } from "./objects";
import { createText, equalsLiteral, ownAny, readAddress, readBytes, readLength, readText } from "./strings";
import {
  copyTensor,
  createTensor,
  createView,
  isTensorOn,
  readDtype,
  tensorByteLength,
  tensorByteOffset,
  tensorCpuAddress,
  tensorDeviceType,
  tensorDimension,
  tensorDimensionCount,
  tensorDtype,
  tensorElements,
  tensorGpuId,
} from "./tensors";

function makeShape(_self: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  const shape = createShape(count);
  for (let i = 0; i < count; i++) {
    if (!isInteger(argumentAt(args, i))) {
      release(shape);
      return fail("a shape's dimensions must be whole numbers");
    }
    store<i64>(shapeDimensions(shape) + ((<usize>i) << 3), integerOf(argumentAt(args, i)));
  }
  setObject(result, shape);
  return OK;
}

function makeArray(_self: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  const array = createArray(count);
  for (let i = 0; i < count; i++) ownAny(argumentAt(args, i), arrayItem(array, i));
  setObject(result, array);
  return OK;
}

function getArrayItem(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  const index = argumentAt(args, 1);
  if (!isObject(args, TYPE_ARRAY) || !isInteger(index)) return fail("ffi.ArrayGetItem needs an array and an index");
  const length = arrayLength(objectOf(args));
  if (integerOf(index) < 0 || integerOf(index) >= <i64>length) {
    return failWithLimit("item ", integerOf(index), " of an array of length ", length);
  }
  copyAny(arrayItem(objectOf(args), <i32>integerOf(index)), result);
  return OK;
}

function getArrayLength(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!isObject(args, TYPE_ARRAY)) return fail("ffi.ArraySize needs an array");
  setInteger(result, arrayLength(objectOf(args)));
  return OK;
}

function concatenateArrays(_self: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (!isObject(argumentAt(args, i), TYPE_ARRAY)) return fail("tvmjs.runtime.ArrayConcat needs arrays");
    total += arrayLength(objectOf(argumentAt(args, i)));
  }
  const joined = createArray(total);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const part = objectOf(argumentAt(args, i));
    for (let j = 0; j < arrayLength(part); j++) copyAny(arrayItem(part, j), arrayItem(joined, at++));
  }
  setObject(result, joined);
  return OK;
}

/** (shape, data type, device, scope) → tensor, not cleared */
function allocateTensor(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  const device = argumentAt(args, 2);
  if (!isObject(args, TYPE_SHAPE) || anyType(device) != TYPE_DEVICE) {
    return fail("TVMTensorAllocWithScope needs a shape, a data type and a device");
  }
  const dtype = readDtype(argumentAt(args, 1));
  if (dtype == 0) return -1;
  const shape = objectOf(args);
  const tensor = createTensor(shapeDimensions(shape), shapeLength(shape), dtype, load<i32>(device, ANY_VALUE));
  if (tensor == 0) return -1;
  setObject(result, tensor);
  return OK;
}

/** (tensor, shape, data type, byte offset within the tensor) → view */
function createTensorView(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  const shapeArgument = argumentAt(args, 1);
  const offset = argumentAt(args, 3);
  if (!isObject(args, TYPE_TENSOR) || !isObject(shapeArgument, TYPE_SHAPE) || !isInteger(offset)) {
    return fail("TVMTensorCreateView needs a tensor, a shape, a data type and an offset");
  }
  const dtype = readDtype(argumentAt(args, 2));
  if (dtype == 0) return -1;
  const shape = objectOf(shapeArgument);
  const view = createView(objectOf(args), shapeDimensions(shape), shapeLength(shape), dtype, integerOf(offset));
  if (view == 0) return -1;
  setObject(result, view);
  return OK;
}

function copyTensorFromTo(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!isObject(args, TYPE_TENSOR) || !isObject(argumentAt(args, 1), TYPE_TENSOR)) {
    return fail("TVMTensorCopyFromTo needs two tensors");
  }
  const source = objectOf(args);
  const target = objectOf(argumentAt(args, 1));
  if (tensorByteLength(source) != tensorByteLength(target)) {
    return failWithLimit("copy of ", tensorByteLength(source), " bytes to a tensor of ", tensorByteLength(target));
  }
  return copyTensor(source, target, 0);
}

/** (CPU tensor, bytes) */
function copyTensorFromBytes(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!isTensorOn(args, DEVICE_CPU) || !readBytes(argumentAt(args, 1))) {
    return fail("TensorCopyFromBytes needs a CPU tensor and bytes");
  }
  const tensor = objectOf(args);
  if (<i64>readLength != tensorByteLength(tensor)) {
    return failWithLimit("copy of ", readLength, " bytes to a tensor of ", tensorByteLength(tensor));
  }
  memory.copy(tensorCpuAddress(tensor), readAddress, readLength);
  return OK;
}

/** (CPU tensor) → bytes */
function copyTensorToBytes(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!isTensorOn(args, DEVICE_CPU)) return fail("TensorCopyToBytes needs a CPU tensor");
  const tensor = objectOf(args);
  setObject(result, createText(TYPE_BYTES, tensorCpuAddress(tensor), <usize>tensorByteLength(tensor)));
  return OK;
}

/** (CPU tensor, bytes, storage format, data type): "f32-to-bf16" holds the upper halves of f32; others are as they are. */
function decodeStorage(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!isTensorOn(args, DEVICE_CPU)) return fail("decode_storage needs a CPU tensor");
  const tensor = objectOf(args);
  const target = tensorCpuAddress(tensor);
  const byteLength = tensorByteLength(tensor);
  const isHalved =
    readText(argumentAt(args, 2)) &&
    equalsLiteral(readAddress, readLength, "f32-to-bf16") &&
    readText(argumentAt(args, 3)) &&
    equalsLiteral(readAddress, readLength, "float32");
  if (!readBytes(argumentAt(args, 1))) return fail("decode_storage needs bytes");
  const source = readAddress;
  const expected = isHalved ? byteLength >> 1 : byteLength;
  if (<i64>readLength != expected) {
    return failWithLimit("a weight record of ", readLength, " bytes; its shape and format need ", expected);
  }
  if (!isHalved) {
    memory.copy(target, source, readLength);
    return OK;
  }
  for (let i: usize = 0; i < readLength; i += 2) store<u32>(target + (i << 1), (<u32>load<u16>(source + i)) << 16);
  return OK;
}

/** (f32 [n, hidden], …) → f32 [sum of n, hidden] */
function concatenateEmbeddings(_self: ObjectAddress, args: Address, count: i32, result: Address): i32 {
  let rows: i64 = 0;
  for (let i = 0; i < count; i++) {
    const any = argumentAt(args, i);
    if (!isObject(any, TYPE_TENSOR) || tensorDimensionCount(objectOf(any)) != 2) {
      return fail("ConcatEmbeddings needs tensors of two dimensions");
    }
    const part = objectOf(any);
    const first = objectOf(args);
    if (
      tensorDimension(part, 1) != tensorDimension(first, 1) ||
      tensorDtype(part) != tensorDtype(first) ||
      tensorDeviceType(part) != tensorDeviceType(first)
    ) {
      return fail("ConcatEmbeddings needs tensors of one width, data type and device");
    }
    for (let j = 0; j < i; j++) {
      const other = objectOf(argumentAt(args, j));
      if (tensorGpuId(other) == tensorGpuId(part) && tensorByteOffset(other) == tensorByteOffset(part)) {
        return fail("ConcatEmbeddings got one buffer twice: a call of embed overwrites the one before");
      }
    }
    rows += tensorDimension(part, 0);
  }
  const first = objectOf(args);
  const shape = createShape(2);
  store<i64>(shapeDimensions(shape), rows);
  store<i64>(shapeDimensions(shape), tensorDimension(first, 1), 8);
  const joined = createTensor(shapeDimensions(shape), 2, tensorDtype(first), tensorDeviceType(first));
  release(shape);
  if (joined == 0) return -1;
  let offset: i64 = 0;
  for (let i = 0; i < count; i++) {
    const part = objectOf(argumentAt(args, i));
    if (tensorElements(part) != 0 && copyTensor(part, joined, offset) != OK) {
      release(joined);
      return -1;
    }
    offset += tensorByteLength(part);
  }
  setObject(result, joined);
  return OK;
}

/** tvmjs looks these up, and nothing that this library serves calls them. */
function unsupported(_self: ObjectAddress, _args: Address, _count: i32, _result: Address): i32 {
  return fail("this function is not supported by this library");
}

export function registerBuiltins(): void {
  defineGlobal("ffi.Shape", 0, makeShape);
  defineGlobal("ffi.Array", 0, makeArray);
  defineGlobal("ffi.ArrayGetItem", 2, getArrayItem);
  defineGlobal("ffi.ArraySize", 1, getArrayLength);
  defineGlobal("tvmjs.runtime.ArrayConcat", 0, concatenateArrays);
  defineGlobal("runtime.TVMTensorAllocWithScope", 3, allocateTensor);
  defineGlobal("runtime.TVMTensorCreateView", 4, createTensorView);
  defineGlobal("runtime.TVMTensorCopyFromTo", 2, copyTensorFromTo);
  defineGlobal("tvmjs.runtime.TensorCopyFromBytes", 2, copyTensorFromBytes);
  defineGlobal("tvmjs.runtime.TensorCopyToBytes", 1, copyTensorToBytes);
  defineGlobal("tvmjs.array.decode_storage", 4, decodeStorage);
  defineGlobal("tvmjs.runtime.ConcatEmbeddings", 1, concatenateEmbeddings);
  defineGlobal("ffi.FunctionListGlobalNamesFunctor", 0, unsupported);
  defineGlobal("ffi.ModuleImportModule", 0, unsupported);
  defineGlobal("vm.builtin.param_module_from_cache", 0, unsupported);
  defineGlobal("vm.builtin.sample_top_p_from_logits", 0, unsupported);
  defineGlobal("vm.builtin.sample_top_p_from_prob", 0, unsupported);
  defineGlobal("vm.builtin.apply_repetition_penalty", 0, unsupported);
  defineGlobal("vm.builtin.apply_presence_and_frequency_penalty", 0, unsupported);
  defineGlobal("vm.builtin.apply_softmax_with_temperature", 0, unsupported);
}
