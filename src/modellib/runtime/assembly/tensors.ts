// Tensors and views of them.
//
//   tensor object, 72 + 8 n bytes; +24 .. +64 is DLPack's DLTensor, read by tvmjs
//   +24  u32  CPU address or GPU buffer id
//   +28  i32  device type
//   +32  i32  device id, 0
//   +36  i32  dimension count n
//   +40  u32  data type: u8 code, u8 bits, u16 lanes
//   +44  u32  address of the shape
//   +48  u32  strides, 0: contiguous
//   +56  u64  byte offset into the data
//   +64  u32  storage (device.ts), 0 where the data is a planned buffer
//   +72  i64[n] shape

import { Address, DEVICE_CPU, DEVICE_WEBGPU, ObjectAddress, OK, TYPE_DTYPE, TYPE_TENSOR } from "./abi";
import {
  copyFromGpu,
  copyToGpu,
  copyWithinGpu,
  createCpuStorage,
  createGpuStorage,
  releaseStorage,
  retainStorage,
  storageData,
} from "./device";
import { addBytes, addNumber, addText, endError, fail, failWithLimit, startError } from "./errors";
import { ANY_VALUE, anyType, createObject, isObject } from "./objects";
import { equalsLiteral, readAddress, readLength, readText } from "./strings";

const TENSOR_DATA: usize = 24;
const TENSOR_DEVICE_TYPE: usize = 28;
const TENSOR_DIMENSION_COUNT: usize = 36;
const TENSOR_DTYPE: usize = 40;
const TENSOR_BITS: usize = 41;
const TENSOR_LANES: usize = 42;
const TENSOR_SHAPE_ADDRESS: usize = 44;
const TENSOR_BYTE_OFFSET: usize = 56;
const TENSOR_STORAGE: usize = 64;
const TENSOR_SHAPE: usize = 72;

/** Far above any tensor and far below where the product could overflow. */
const MOST_ELEMENTS: i64 = 1 << 40;

/** Elements of a shape, or -1 for a negative dimension or an absurd size. */
export function countElements(shape: Address, dimensionCount: i32): i64 {
  let count: i64 = 1;
  for (let i = 0; i < dimensionCount; i++) {
    const dimension = load<i64>(shape + ((<usize>i) << 3));
    if (dimension < 0 || dimension > MOST_ELEMENTS) return -1;
    count *= dimension;
    if (count > MOST_ELEMENTS) return -1;
  }
  return count;
}

/** Bytes of that many elements of a packed data type. */
function byteLengthOf(elements: i64, dtype: u32): i64 {
  return (elements * <i64>((dtype >> 8) & 255) * <i64>(dtype >> 16) + 7) >> 3;
}

/** A tensor with memory of its own. @returns 0 with the error set. */
export function createTensor(shape: Address, dimensionCount: i32, dtype: u32, deviceType: i32): ObjectAddress {
  const elements = countElements(shape, dimensionCount);
  if (elements < 0) {
    fail("a tensor's shape is negative or too large");
    return 0;
  }
  const byteLength = byteLengthOf(elements, dtype);
  let storage: Address = 0;
  if (deviceType == DEVICE_CPU) storage = createCpuStorage(byteLength);
  else if (deviceType == DEVICE_WEBGPU) storage = createGpuStorage(byteLength);
  else failWithLimit("device type ", deviceType, " is neither the CPU nor WebGPU, ", DEVICE_WEBGPU);
  if (storage == 0) return 0;
  return assemble(shape, dimensionCount, dtype, deviceType, storageData(storage), 0, storage);
}

/** A tensor over a planned buffer, which it does not own. */
export function createPlannedView(shape: Address, dimensionCount: i32, dtype: u32, gpuId: u32): ObjectAddress {
  return assemble(shape, dimensionCount, dtype, DEVICE_WEBGPU, gpuId, 0, 0);
}

/** Another shape on a part of a tensor's memory. @returns 0 with the error set. */
export function createView(
  source: ObjectAddress,
  shape: Address,
  dimensionCount: i32,
  dtype: u32,
  relativeOffset: i64,
): ObjectAddress {
  const elements = countElements(shape, dimensionCount);
  const byteLength = byteLengthOf(elements, dtype);
  const available = tensorByteLength(source);
  if (elements < 0 || relativeOffset < 0 || relativeOffset > available || byteLength > available - relativeOffset) {
    startError("a view of ");
    addNumber(byteLength);
    addText(" bytes at offset ");
    addNumber(relativeOffset);
    addText(" does not fit a tensor of ");
    addNumber(available);
    addText(" bytes");
    endError();
    return 0;
  }
  const storage = <usize>load<u32>(source, TENSOR_STORAGE);
  if (storage != 0) retainStorage(storage);
  const byteOffset = tensorByteOffset(source) + relativeOffset;
  const data = load<u32>(source, TENSOR_DATA);
  return assemble(shape, dimensionCount, dtype, tensorDeviceType(source), data, byteOffset, storage);
}

function assemble(
  shape: Address,
  dimensionCount: i32,
  dtype: u32,
  deviceType: i32,
  data: u32,
  byteOffset: i64,
  storage: Address,
): ObjectAddress {
  const shapeBytes = (<usize>dimensionCount) << 3;
  const tensor = createObject(TYPE_TENSOR, TENSOR_SHAPE + shapeBytes, finalizeTensor.index);
  store<u32>(tensor, data, TENSOR_DATA);
  store<i32>(tensor, deviceType, TENSOR_DEVICE_TYPE);
  store<i32>(tensor, dimensionCount, TENSOR_DIMENSION_COUNT);
  store<u32>(tensor, dtype, TENSOR_DTYPE);
  store<u32>(tensor, <u32>(tensor + TENSOR_SHAPE), TENSOR_SHAPE_ADDRESS);
  store<i64>(tensor, byteOffset, TENSOR_BYTE_OFFSET);
  store<u32>(tensor, <u32>storage, TENSOR_STORAGE);
  memory.copy(tensor + TENSOR_SHAPE, shape, shapeBytes);
  return tensor;
}

function finalizeTensor(tensor: ObjectAddress): void {
  const storage = <usize>load<u32>(tensor, TENSOR_STORAGE);
  if (storage != 0) releaseStorage(storage);
}

export function tensorDeviceType(tensor: ObjectAddress): i32 {
  return load<i32>(tensor, TENSOR_DEVICE_TYPE);
}

/** Buffer id of a GPU tensor. */
export function tensorGpuId(tensor: ObjectAddress): u32 {
  return load<u32>(tensor, TENSOR_DATA);
}

export function tensorByteOffset(tensor: ObjectAddress): i64 {
  return load<i64>(tensor, TENSOR_BYTE_OFFSET);
}

/** Where the elements of a CPU tensor begin. */
export function tensorCpuAddress(tensor: ObjectAddress): Address {
  return <usize>load<u32>(tensor, TENSOR_DATA) + <usize>tensorByteOffset(tensor);
}

export function tensorDtype(tensor: ObjectAddress): u32 {
  return load<u32>(tensor, TENSOR_DTYPE);
}

export function tensorDimensionCount(tensor: ObjectAddress): i32 {
  return load<i32>(tensor, TENSOR_DIMENSION_COUNT);
}

/** Dimension `index`; negative indices count from the last. */
export function tensorDimension(tensor: ObjectAddress, index: i32): i64 {
  const at = index < 0 ? tensorDimensionCount(tensor) + index : index;
  return load<i64>(tensor + ((<usize>at) << 3), TENSOR_SHAPE);
}

export function tensorElements(tensor: ObjectAddress): i64 {
  return countElements(tensor + TENSOR_SHAPE, tensorDimensionCount(tensor));
}

export function tensorByteLength(tensor: ObjectAddress): i64 {
  return byteLengthOf(tensorElements(tensor), tensorDtype(tensor));
}

/** True for an argument that is a tensor on that device. */
export function isTensorOn(any: Address, deviceType: i32): bool {
  return isObject(any, TYPE_TENSOR) && tensorDeviceType(<usize>load<u32>(any, ANY_VALUE)) == deviceType;
}

/** Copies the contents of `source` to the bytes of `target` from `targetOffset` on. */
export function copyTensor(source: ObjectAddress, target: ObjectAddress, targetOffset: i64): i32 {
  const byteLength = tensorByteLength(source);
  const room = tensorByteLength(target) - targetOffset;
  if (byteLength > room) {
    return failWithLimit("a tensor of ", byteLength, " bytes does not fit one of ", room);
  }
  const fromGpu = tensorDeviceType(source) == DEVICE_WEBGPU;
  const toGpu = tensorDeviceType(target) == DEVICE_WEBGPU;
  const offset = tensorByteOffset(target) + targetOffset;
  if (fromGpu && toGpu) {
    return copyWithinGpu(tensorGpuId(source), tensorByteOffset(source), tensorGpuId(target), offset, byteLength);
  }
  const cpuTarget = tensorCpuAddress(target) + <usize>targetOffset;
  if (fromGpu) return copyFromGpu(tensorGpuId(source), tensorByteOffset(source), cpuTarget, byteLength);
  if (toGpu) return copyToGpu(tensorCpuAddress(source), tensorGpuId(target), offset, byteLength);
  memory.copy(cpuTarget, tensorCpuAddress(source), <usize>byteLength);
  return OK;
}

/** The packed data type that an argument names ("float32", "uint8", …), or 0 with the error set. */
export function readDtype(any: Address): u32 {
  if (anyType(any) == TYPE_DTYPE) return load<u32>(any, ANY_VALUE);
  if (readText(any)) {
    let prefix: usize = 0;
    let code: u32 = 0;
    if (startsWith("int")) prefix = 3;
    else if (startsWith("uint")) {
      prefix = 4;
      code = 1;
    } else if (startsWith("float")) {
      prefix = 5;
      code = 2;
    }
    const digits = readAddress + prefix;
    const digitCount = readLength - prefix;
    let bits: u32 = 0;
    if (prefix == 0) bits = 0;
    else if (equalsLiteral(digits, digitCount, "8")) bits = 8;
    else if (equalsLiteral(digits, digitCount, "16")) bits = 16;
    else if (equalsLiteral(digits, digitCount, "32")) bits = 32;
    else if (equalsLiteral(digits, digitCount, "64")) bits = 64;
    if (bits != 0 && !(code == 2 && bits == 8)) return code | (bits << 8) | (1 << 16);
    startError("the data type \"");
    addBytes(readAddress, readLength);
    addText("\" is not one of int, uint and float of 8, 16, 32 or 64 bits");
    endError();
    return 0;
  }
  fail("a data type must be a text");
  return 0;
}

function startsWith(prefix: string): bool {
  return readLength >= <usize>prefix.length && equalsLiteral(readAddress, <usize>prefix.length, prefix);
}
