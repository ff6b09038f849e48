// Arrays and shapes.
//
//   array object, 32 + 16 n bytes          shape object, 32 + 8 n bytes
//   +28  i32  length                       +24  u32  address of the dimensions
//   +32  Any[length], owned                +28  i32  length
//                                          +32  i64[length] dimensions

import { Address, ObjectAddress, TYPE_ARRAY, TYPE_SHAPE } from "./abi";
import { ANY_BYTES, createObject, isObject, objectOf, releaseAny } from "./objects";

const SHAPE_ADDRESS: usize = 24;
const LENGTH: usize = 28;
const ITEMS: usize = 32;

/** An array of None. */
export function createArray(length: i32): ObjectAddress {
  const array = createObject(TYPE_ARRAY, ITEMS + (<usize>length) * ANY_BYTES, finalizeArray.index);
  store<i32>(array, length, LENGTH);
  return array;
}

function finalizeArray(array: ObjectAddress): void {
  const length = arrayLength(array);
  for (let i = 0; i < length; i++) releaseAny(arrayItem(array, i));
}

export function arrayLength(array: ObjectAddress): i32 {
  return load<i32>(array, LENGTH);
}

/** The address of item `index`, an Any that the array owns. */
export function arrayItem(array: ObjectAddress, index: i32): Address {
  return array + ITEMS + (<usize>index) * ANY_BYTES;
}

/** A shape of zeros. */
export function createShape(length: i32): ObjectAddress {
  const shape = createObject(TYPE_SHAPE, ITEMS + ((<usize>length) << 3), 0);
  store<u32>(shape, <u32>(shape + ITEMS), SHAPE_ADDRESS);
  store<i32>(shape, length, LENGTH);
  return shape;
}

export function shapeLength(shape: ObjectAddress): i32 {
  return load<i32>(shape, LENGTH);
}

/** The address of the shape's dimensions. */
export function shapeDimensions(shape: ObjectAddress): Address {
  return shape + ITEMS;
}

/** The only dimension of a shape argument, or -1 where it is something else. */
export function readSingleDimension(any: Address): i64 {
  if (!isObject(any, TYPE_SHAPE) || shapeLength(objectOf(any)) != 1) return -1;
  return load<i64>(shapeDimensions(objectOf(any)));
}
