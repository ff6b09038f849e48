/**
 * The layout of the payload that `link` places into the runtime's memory and that the runtime interprets. This file is
 * compiled twice, by TypeScript for the linker and by AssemblyScript for the runtime, so that both sides agree: plain
 * integer constants only.
 *
 * The region [PAYLOAD_ADDRESS, PAYLOAD_END) of the runtime's memory is empty in the compiled runtime; its own data and
 * heap begin at PAYLOAD_END (asc's --memoryBase). Everything is little-endian, every table and record is aligned to 4
 * bytes, "span" is {u32 address, u32 byteLength or count}, and addresses are absolute. Fields marked "slot" are zero
 * in the file and filled in at run time. Texts are ASCII without terminator.
 *
 * | record   | bytes | fields                                                                                    |
 * |----------|-------|-------------------------------------------------------------------------------------------|
 * | header   |   164 | see HEADER_*                                                                              |
 * | kernel   |    32 | span name, span fmap entry (JSON), span WGSL, slot function, u16 bindings, u16 uniforms   |
 * | buffer   |    24 | span name, u32 byteLength, span initial contents, slot GPU buffer id                      |
 * | record   |    12 | span name, slot GPU buffer id                                                             |
 * | variant  |    12 | u32 maxTokens, span steps (count)                                                         |
 * | step     |     * | u32 kernel, u32 grid x (dim), u32 grid y (dim), a u32 per binding, a u32 (dim) per uniform |
 * | dim      |    16 | u32 variable, i32 multiply, i32 add, i32 divide: ceil((variable * multiply + add)/divide) |
 *
 * A step's binding is the index of a call argument where it is less than MAX_ARGUMENTS, else the address of the slot
 * that holds the GPU buffer id. Equal dims are stored once; a kernel's fmap entry is a part of the whole fmap's text.
 */

/** "TRML" as little-endian bytes. */
export const PAYLOAD_MAGIC = 0x4c4d5254;
/** Changes with any change to this layout. */
export const PAYLOAD_VERSION = 1;

/** tvmjs writes to bytes 16..23; the rest of the first page is kept free for null-pointer mistakes to be seen. */
export const PAYLOAD_ADDRESS = 4096;
export const PAYLOAD_END = 4194304;

export const HEADER_MAGIC = 0;
export const HEADER_VERSION = 4;
/** Bytes of the whole payload, header included. */
export const HEADER_BYTE_LENGTH = 8;
export const HEADER_HIDDEN_SIZE = 12;
export const HEADER_VOCABULARY_SIZE = 16;
export const HEADER_CONTEXT_LENGTH = 20;
export const HEADER_PREFILL_CHUNK_LENGTH = 24;
/** 0 where the library has no `score`. */
export const HEADER_SCORE_CHUNK_LENGTH = 28;
export const HEADER_METADATA = 32;
export const HEADER_FMAP = 40;
export const HEADER_KERNELS = 48;
export const HEADER_BUFFERS = 56;
export const HEADER_RECORDS = 64;
/** Addresses of the planned buffers that calls return views of; score_logits may be 0. */
export const HEADER_X = 72;
export const HEADER_LOGITS = 76;
export const HEADER_SCORE_LOGITS = 80;
export const HEADER_PROBS = 84;
export const HEADER_SAMPLED = 88;
/** PROGRAM_COUNT spans of variants, by PROGRAM_*. */
export const HEADER_PROGRAMS = 92;
export const HEADER_BYTES = 164;

export const PROGRAM_EMBED = 0;
export const PROGRAM_DECODE = 1;
export const PROGRAM_PREFILL = 2;
export const PROGRAM_SCORE = 3;
export const PROGRAM_APPLY_BITMASK = 4;
export const PROGRAM_APPLY_LOGIT_BIAS = 5;
export const PROGRAM_APPLY_PENALTY = 6;
export const PROGRAM_SOFTMAX = 7;
export const PROGRAM_SAMPLE = 8;
export const PROGRAM_COUNT = 9;

export const KERNEL_NAME = 0;
export const KERNEL_FMAP_ENTRY = 8;
export const KERNEL_WGSL = 16;
export const KERNEL_FUNCTION = 24;
export const KERNEL_BINDING_COUNT = 28;
export const KERNEL_UNIFORM_COUNT = 30;
export const KERNEL_BYTES = 32;

export const BUFFER_NAME = 0;
export const BUFFER_BYTE_LENGTH = 8;
export const BUFFER_INITIAL = 12;
export const BUFFER_GPU_ID = 20;
export const BUFFER_BYTES = 24;

export const RECORD_NAME = 0;
export const RECORD_GPU_ID = 8;
export const RECORD_BYTES = 12;

export const VARIANT_MAX_TOKENS = 0;
export const VARIANT_STEPS = 4;
export const VARIANT_BYTES = 12;

export const STEP_KERNEL = 0;
export const STEP_GRID_X = 4;
export const STEP_GRID_Y = 8;
export const STEP_BINDINGS = 12;

export const DIM_VARIABLE = 0;
export const DIM_MULTIPLY = 4;
export const DIM_ADD = 8;
export const DIM_DIVIDE = 12;
export const DIM_BYTES = 16;

export const VARIABLE_ONE = 0;
export const VARIABLE_TOKENS = 1;
export const VARIABLE_POSITION = 2;
export const VARIABLE_LENGTH = 3;
export const VARIABLE_COUNT = 4;
export const VARIABLE_BIASED = 5;
/** How many variables there are. */
export const VARIABLES = 6;

/** Bindings below this are argument numbers; every address is above it. */
export const MAX_ARGUMENTS = 8;
/** WebLLM's devices allow this many storage buffers in a shader stage. */
export const MAX_BINDINGS = 10;
/** More than any kernel needs; bounds the runtime's argument area. */
export const MAX_UNIFORMS = 32;
