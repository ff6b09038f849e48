// Facts of WebLLM's FFI (tvm-ffi as embedded in tvmjs 0.28): type indices, device types and the imports it provides.
// Everything else about the ABI lies with the struct it concerns.

/** Calls the JS function of that index in tvmjs's table. 0: done; otherwise the error text has been set. */
@external("env", "TVMFFIWasmSafeCall")
export declare function callJsFunction(index: usize, args: usize, count: i32, result: usize): i32;

@external("env", "TVMFFIWasmFunctionDeleter")
export declare function deleteJsFunction(index: usize): void;

/** The address of a struct in linear memory. */
export type Address = usize;
/** The address of an object: see objects.ts. */
export type ObjectAddress = usize;

/** What 0 and -1 mean to a caller on the JS side. */
export const OK: i32 = 0;
export const FAILED: i32 = -1;

// Type indices of Any values. From FIRST_OBJECT_TYPE on the value is an object's address.
export const TYPE_NONE: i32 = 0;
export const TYPE_INT: i32 = 1;
export const TYPE_BOOL: i32 = 2;
export const TYPE_FLOAT: i32 = 3;
export const TYPE_OPAQUE: i32 = 4;
export const TYPE_DTYPE: i32 = 5;
export const TYPE_DEVICE: i32 = 6;
export const TYPE_RAW_TEXT: i32 = 8;
export const TYPE_RAW_BYTES: i32 = 9;
export const TYPE_SMALL_TEXT: i32 = 11;
export const TYPE_SMALL_BYTES: i32 = 12;
export const FIRST_OBJECT_TYPE: i32 = 64;
export const TYPE_TEXT: i32 = 65;
export const TYPE_BYTES: i32 = 66;
export const TYPE_FUNCTION: i32 = 68;
export const TYPE_SHAPE: i32 = 69;
export const TYPE_TENSOR: i32 = 70;
export const TYPE_ARRAY: i32 = 71;
export const TYPE_MODULE: i32 = 73;
/** The first index that is free for a library's own types. */
export const TYPE_KV_STATE: i32 = 128;

export const DEVICE_CPU: i32 = 1;
export const DEVICE_WEBGPU: i32 = 15;

// Data types as tvm-ffi packs them: code (0 int, 1 uint, 2 float), bits, u16 lanes.
export const DTYPE_I32: u32 = 0 | (32 << 8) | (1 << 16);
export const DTYPE_F32: u32 = 2 | (32 << 8) | (1 << 16);
