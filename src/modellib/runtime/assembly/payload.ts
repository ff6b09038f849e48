// Reads the linked payload: see ../payload-layout.ts, where its layout is written down.

import { Address, OK } from "./abi";
import { addNumber, addText, endError, fail, startError } from "./errors";
import {
  HEADER_BUFFERS,
  HEADER_BYTE_LENGTH,
  HEADER_KERNELS,
  HEADER_MAGIC,
  HEADER_PROGRAMS,
  HEADER_RECORDS,
  HEADER_VERSION,
  PAYLOAD_ADDRESS,
  PAYLOAD_END,
  PAYLOAD_MAGIC,
  PAYLOAD_VERSION,
} from "../payload-layout";

/** A u32 field of the header. */
export function headerField(field: usize): u32 {
  return load<u32>(<usize>PAYLOAD_ADDRESS + field);
}

/** Checks that a payload of this runtime's version has been linked in. */
export function checkPayload(): i32 {
  if (headerField(HEADER_MAGIC) != PAYLOAD_MAGIC) return fail("no model is linked into this library");
  if (headerField(HEADER_VERSION) != PAYLOAD_VERSION) {
    startError("the linked payload has version ");
    addNumber(headerField(HEADER_VERSION));
    addText(", this runtime reads version ");
    addNumber(PAYLOAD_VERSION);
    return endError();
  }
  if (headerField(HEADER_BYTE_LENGTH) > <u32>(PAYLOAD_END - PAYLOAD_ADDRESS)) return fail("the linked payload is too long");
  return OK;
}

/** First entry of a table. */
export function tableStart(field: usize): Address {
  return <usize>headerField(field);
}

export function tableCount(field: usize): u32 {
  return headerField(field + 4);
}

export function kernelTable(): Address {
  return tableStart(HEADER_KERNELS);
}

export function bufferTable(): Address {
  return tableStart(HEADER_BUFFERS);
}

export function recordTable(): Address {
  return tableStart(HEADER_RECORDS);
}

/** The span {variants, count} of a program. */
export function programSpan(program: u32): Address {
  return <usize>PAYLOAD_ADDRESS + HEADER_PROGRAMS + ((<usize>program) << 3);
}
