// The GPU buffers that the payload plans: created once, all at the same time, and kept as long as the library lives
// (WebLLM destroys every buffer with the device).

import { Address, OK } from "./abi";
import { copyToGpu, createGpuBuffer } from "./device";
import { addBytes, addText, endError, prefixError, startError } from "./errors";
import { bufferTable, headerField, tableCount } from "./payload";
import { BUFFER_BYTE_LENGTH, BUFFER_BYTES, BUFFER_GPU_ID, BUFFER_INITIAL, BUFFER_NAME, HEADER_BUFFERS } from "../payload-layout";

/** Creates what does not exist yet. WebGPU clears new buffers. */
export function createPlannedBuffers(): i32 {
  let buffer = bufferTable();
  for (let i = tableCount(HEADER_BUFFERS); i > 0; i--, buffer += BUFFER_BYTES) {
    if (load<u32>(buffer, BUFFER_GPU_ID) != 0) continue;
    const id = createGpuBuffer(<i64>load<u32>(buffer, BUFFER_BYTE_LENGTH));
    if (id == 0) return bufferFails(buffer);
    store<u32>(buffer, id, BUFFER_GPU_ID);
    const initial = <usize>load<u32>(buffer, BUFFER_INITIAL);
    const initialLength = <i64>load<u32>(buffer, BUFFER_INITIAL + 4);
    if (initialLength != 0 && copyToGpu(initial, id, 0, initialLength) != OK) return bufferFails(buffer);
  }
  return OK;
}

function bufferFails(buffer: Address): i32 {
  const name = <usize>load<u32>(buffer, BUFFER_NAME);
  return prefixError("cannot create the planned buffer ", name, <usize>load<u32>(buffer, BUFFER_NAME + 4));
}

/** GPU id of the planned buffer that a header field names, or 0 with the error set. */
export function plannedBufferId(field: usize): u32 {
  const buffer = <usize>headerField(field);
  const id = buffer == 0 ? 0 : load<u32>(buffer, BUFFER_GPU_ID);
  if (id == 0) {
    startError("the planned buffer ");
    if (buffer != 0) addBytes(<usize>load<u32>(buffer, BUFFER_NAME), <usize>load<u32>(buffer, BUFFER_NAME + 4));
    addText(" does not exist before create_tir_paged_kv_cache");
    endError();
  }
  return id;
}

export function plannedByteLength(field: usize): i64 {
  return <i64>load<u32>(<usize>headerField(field), BUFFER_BYTE_LENGTH);
}
