// The model's functions, as WebLLM calls them on the virtual machine.

import { Address, DEVICE_WEBGPU, DTYPE_F32, DTYPE_I32, ObjectAddress, OK, TYPE_FUNCTION, TYPE_KV_STATE } from "./abi";
import { arrayItem, createArray, readSingleDimension } from "./containers";
import { copyWithinGpu } from "./device";
import { fail, failWithLimit } from "./errors";
import { createKvState, hasLiveKvState, kvPendingTokens, kvPosition } from "./kv-state";
import { kernelSource, readKernel, setKernelFunction } from "./kernels";
import { machineFunctions } from "./modules";
import { defineIn } from "./functions";
import { argumentAt, isObject, objectOf, release, retain, setObject } from "./objects";
import { headerField } from "./payload";
import {
  HEADER_CONTEXT_LENGTH,
  HEADER_FMAP,
  HEADER_HIDDEN_SIZE,
  HEADER_LOGITS,
  HEADER_METADATA,
  HEADER_PREFILL_CHUNK_LENGTH,
  HEADER_PROBS,
  HEADER_SAMPLED,
  HEADER_SCORE_LOGITS,
  HEADER_VOCABULARY_SIZE,
  HEADER_X,
  PROGRAM_APPLY_BITMASK,
  PROGRAM_APPLY_LOGIT_BIAS,
  PROGRAM_APPLY_PENALTY,
  PROGRAM_DECODE,
  PROGRAM_EMBED,
  PROGRAM_PREFILL,
  PROGRAM_SAMPLE,
  PROGRAM_SCORE,
  PROGRAM_SOFTMAX,
  VARIABLE_BIASED,
  VARIABLE_COUNT,
  VARIABLE_LENGTH,
  VARIABLE_POSITION,
  VARIABLE_TOKENS,
} from "../payload-layout";
import { createPlannedBuffers, plannedBufferId, plannedByteLength } from "./planned-buffers";
import { clearArguments, mostTokens, runProgram, setArgument, setTensorArgument, setVariable } from "./programs";
import { createConstantText } from "./strings";
import {
  createPlannedView,
  isTensorOn,
  tensorByteOffset,
  tensorDimension,
  tensorDimensionCount,
  tensorDtype,
  tensorElements,
  tensorGpuId,
} from "./tensors";

/** i64[3], for building shapes. */
const shape = memory.data(24, 8);

/** The logits and the temperature of the softmax call that the next sampling belongs to, or 0. */
let keptLogits: ObjectAddress = 0;
let keptTemperature: ObjectAddress = 0;

function initialize(_self: ObjectAddress, _args: Address, _count: i32, _result: Address): i32 {
  return OK;
}

function metadata(_self: ObjectAddress, _args: Address, _count: i32, result: Address): i32 {
  setObject(result, createConstantText(headerField(HEADER_METADATA), headerField(HEADER_METADATA + 4)));
  return OK;
}

/** (Shape sequences, Shape context length, Shape prefill chunk, Shape page size, Shape sliding window) → KV state */
function createKvCache(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  const contextLength = readSingleDimension(argumentAt(args, 1));
  const longestContext = <i64>headerField(HEADER_CONTEXT_LENGTH);
  if (readSingleDimension(args) != 1) return fail("the KV cache has one sequence");
  if (contextLength < 1 || contextLength > longestContext) {
    return failWithLimit("a context of ", contextLength, " tokens; this library is linked for ", longestContext);
  }
  const chunkLength = readSingleDimension(argumentAt(args, 2));
  const longestChunk = <i64>headerField(HEADER_PREFILL_CHUNK_LENGTH);
  if (chunkLength < 1 || chunkLength > longestChunk) {
    return failWithLimit("prefill chunks of ", chunkLength, " tokens; this library is linked for ", longestChunk);
  }
  if (readSingleDimension(argumentAt(args, 4)) != 0) return fail("sliding windows are not supported");
  if (hasLiveKvState()) return fail("this library has one KV cache, and it is in use");
  if (createPlannedBuffers() != OK) return -1;
  setObject(result, createKvState(contextLength));
  return OK;
}

/** A view of a planned buffer of shape [1, rows, columns], or [rows, columns] where `outer` is false. */
function viewPlanned(field: usize, outer: bool, rows: i64, columns: i64): ObjectAddress {
  const id = plannedBufferId(field);
  if (id == 0) return 0;
  store<i64>(shape, 1);
  store<i64>(shape, rows, 8);
  store<i64>(shape, columns, 16);
  return createPlannedView(outer ? shape : shape + 8, outer ? 3 : 2, DTYPE_F32, id);
}

/** (ids i32 [n], parameters) → x f32 [n, hidden] */
function embed(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!isTensorOn(args, DEVICE_WEBGPU) || tensorDtype(objectOf(args)) != DTYPE_I32) {
    return fail("embed needs token ids, i32 on the GPU");
  }
  const tokens = tensorElements(objectOf(args));
  const hiddenSize = <i64>headerField(HEADER_HIDDEN_SIZE);
  const capacity = plannedByteLength(HEADER_X) / (hiddenSize * 4);
  if (tokens < 1 || tokens > capacity) return failWithLimit("embed of ", tokens, " tokens; the most is ", capacity);
  clearArguments();
  if (setArgument(0, args) != OK) return -1;
  setVariable(VARIABLE_TOKENS, tokens);
  setVariable(VARIABLE_POSITION, 0);
  setVariable(VARIABLE_LENGTH, tokens);
  setVariable(VARIABLE_COUNT, 0);
  const view = viewPlanned(HEADER_X, false, tokens, hiddenSize);
  if (view == 0) return -1;
  if (runProgram(PROGRAM_EMBED, tokens) != OK) {
    release(view);
    return -1;
  }
  setObject(result, view);
  return OK;
}

/** (x f32 [1, n, hidden], KV state, parameters) → Array[logits f32 [1, rows, vocabulary], KV state] */
function forward(program: u32, args: Address, result: Address, logitsField: usize, everyRow: bool): i32 {
  const kvArgument = argumentAt(args, 1);
  if (!isTensorOn(args, DEVICE_WEBGPU) || tensorDtype(objectOf(args)) != DTYPE_F32) {
    return fail("a forward needs embeddings, f32 on the GPU");
  }
  if (!isObject(kvArgument, TYPE_KV_STATE)) return fail("a forward needs a KV state");
  const x = objectOf(args);
  const kv = objectOf(kvArgument);
  const hiddenSize = <i64>headerField(HEADER_HIDDEN_SIZE);
  if (tensorDimensionCount(x) < 2 || tensorDimension(x, -1) != hiddenSize) {
    return failWithLimit("embeddings of ", tensorDimensionCount(x) < 1 ? 0 : tensorDimension(x, -1), " columns; the model has ", hiddenSize);
  }
  const tokens = tensorElements(x) / hiddenSize;
  if (tokens != kvPendingTokens(kv)) {
    return failWithLimit("a forward of ", tokens, " tokens, but begin_forward announced ", kvPendingTokens(kv));
  }
  const longest = mostTokens(program);
  if (tokens > longest) return failWithLimit("a call of ", tokens, " tokens; the most is ", longest);
  const id = plannedBufferId(HEADER_X);
  if (id == 0) return -1;
  if (tensorGpuId(x) != id) {
    const byteLength = tokens * hiddenSize * 4;
    if (copyWithinGpu(tensorGpuId(x), tensorByteOffset(x), id, 0, byteLength) != OK) return -1;
  } else if (tensorByteOffset(x) != 0) {
    return failWithLimit("embeddings begin at byte ", tensorByteOffset(x), " of x; they must begin at ", 0);
  }
  setVariable(VARIABLE_TOKENS, tokens);
  setVariable(VARIABLE_POSITION, kvPosition(kv));
  setVariable(VARIABLE_LENGTH, kvPosition(kv) + tokens);
  setVariable(VARIABLE_COUNT, 0);
  // These will be new logits, whatever happened to the last ones.
  setVariable(VARIABLE_BIASED, 0);
  clearArguments();
  if (runProgram(program, tokens) != OK) return -1;
  const logits = viewPlanned(logitsField, true, everyRow ? tokens : 1, <i64>headerField(HEADER_VOCABULARY_SIZE));
  if (logits == 0) return -1;
  const results = createArray(2);
  setObject(arrayItem(results, 0), logits);
  setObject(arrayItem(results, 1), retain(kv));
  setObject(result, results);
  return OK;
}

function prefill(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  return forward(PROGRAM_PREFILL, args, result, HEADER_LOGITS, false);
}

function decode(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  return forward(PROGRAM_DECODE, args, result, HEADER_LOGITS, false);
}

function score(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (headerField(HEADER_SCORE_LOGITS) == 0) return fail("this library is linked without score");
  return forward(PROGRAM_SCORE, args, result, HEADER_SCORE_LOGITS, true);
}

/** Checks that an argument is a whole row of logits. */
function checkLogits(any: Address): i32 {
  if (!isTensorOn(any, DEVICE_WEBGPU) || tensorDtype(objectOf(any)) != DTYPE_F32) {
    return fail("logits must be f32 on the GPU");
  }
  const elements = tensorElements(objectOf(any));
  const vocabularySize = <i64>headerField(HEADER_VOCABULARY_SIZE);
  return elements == vocabularySize ? OK : failWithLimit("logits of ", elements, " tokens; the model has ", vocabularySize);
}

/** Runs a program that changes logits in place; `count` is taken from argument `countArgument`. */
function changeLogits(program: u32, args: Address, argumentCount: i32, countArgument: i32): i32 {
  if (checkLogits(args) != OK) return -1;
  clearArguments();
  for (let i = 0; i < argumentCount; i++) {
    if (setArgument(i, argumentAt(args, i)) != OK) return -1;
  }
  const count = tensorElements(objectOf(argumentAt(args, countArgument)));
  setVariable(VARIABLE_TOKENS, 1);
  setVariable(VARIABLE_COUNT, count);
  // Before the run: its steps may use it. Without entries nothing is written that sampling could read.
  if (program == PROGRAM_APPLY_LOGIT_BIAS) setVariable(VARIABLE_BIASED, count > 0 ? 1 : 0);
  return runProgram(program, 1);
}

/** (logits [1, V], sequence ids i32 [1], mask i32 [1, ceil(V/32)]) */
function applyBitmask(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  return changeLogits(PROGRAM_APPLY_BITMASK, args, 3, 1);
}

/** (logits [1, V], positions i32 [n], token ids i32 [n], bias f32 [n]) */
function applyLogitBias(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  return changeLogits(PROGRAM_APPLY_LOGIT_BIAS, args, 4, 1);
}

/** (logits [1, V], sequence ids i32 [1], positions i32 [n], token ids i32 [n], counts i32 [n], penalties f32 [1, 3]) */
function applyPenalty(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  return changeLogits(PROGRAM_APPLY_PENALTY, args, 6, 3);
}

function forgetKept(): void {
  if (keptLogits != 0) release(keptLogits);
  if (keptTemperature != 0) release(keptTemperature);
  keptLogits = 0;
  keptTemperature = 0;
}

/** (logits [1, 1, V], temperature f32 [1]) → probs f32 [1, 1, V] */
function softmax(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (checkLogits(args) != OK) return -1;
  clearArguments();
  if (setArgument(0, args) != OK || setArgument(1, argumentAt(args, 1)) != OK) return -1;
  setVariable(VARIABLE_TOKENS, 1);
  setVariable(VARIABLE_COUNT, tensorElements(objectOf(argumentAt(args, 1))));
  if (runProgram(PROGRAM_SOFTMAX, 1) != OK) return -1;
  const probs = viewPlanned(HEADER_PROBS, true, 1, <i64>headerField(HEADER_VOCABULARY_SIZE));
  if (probs == 0) return -1;
  const logits = retain(objectOf(args));
  const temperature = retain(objectOf(argumentAt(args, 1)));
  forgetKept();
  keptLogits = logits;
  keptTemperature = temperature;
  setObject(result, probs);
  return OK;
}

/** (probs) → Array[probs, probs]: sampling sorts for itself, and WebLLM only passes both on to it. */
function argsort(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (!isTensorOn(args, DEVICE_WEBGPU)) return fail("argsort_probs needs probabilities on the GPU");
  const results = createArray(2);
  setObject(arrayItem(results, 0), retain(objectOf(args)));
  setObject(arrayItem(results, 1), retain(objectOf(args)));
  setObject(result, results);
  return OK;
}

/** (sorted probs, sorted ids, uniform f32 [1], sample indices i32 [1], top_p f32 [1]) → id i32 [1] */
function sample(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (keptLogits == 0) return fail("sample_with_top_p without softmax_with_temperature before it");
  const status = sampleKept(args, result);
  forgetKept();
  setVariable(VARIABLE_BIASED, 0);
  return status;
}

function sampleKept(args: Address, result: Address): i32 {
  clearArguments();
  if (setTensorArgument(0, keptLogits) != OK || setTensorArgument(1, keptTemperature) != OK) return -1;
  if (setArgument(2, argumentAt(args, 2)) != OK || setArgument(3, argumentAt(args, 4)) != OK) return -1;
  setVariable(VARIABLE_TOKENS, 1);
  setVariable(VARIABLE_COUNT, tensorElements(keptTemperature));
  const id = plannedBufferId(HEADER_SAMPLED);
  if (id == 0 || runProgram(PROGRAM_SAMPLE, 1) != OK) return -1;
  store<i64>(shape, 1);
  setObject(result, createPlannedView(shape, 1, DTYPE_I32, id));
  return OK;
}

function getFunctionMap(_self: ObjectAddress, _args: Address, _count: i32, result: Address): i32 {
  setObject(result, createConstantText(headerField(HEADER_FMAP), headerField(HEADER_FMAP + 4)));
  return OK;
}

function getShader(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  const kernel = readKernel(args);
  if (kernel == 0) return -1;
  setObject(result, kernelSource(kernel));
  return OK;
}

function updatePrebuild(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  const kernel = readKernel(args);
  if (kernel == 0) return -1;
  if (!isObject(argumentAt(args, 1), TYPE_FUNCTION)) return fail("webgpu.update_prebuild needs a function");
  setKernelFunction(kernel, objectOf(argumentAt(args, 1)));
  return OK;
}

export function registerMachine(): void {
  defineIn(machineFunctions, "vm_initialization", 0, initialize);
  defineIn(machineFunctions, "_metadata", 0, metadata);
  defineIn(machineFunctions, "create_tir_paged_kv_cache", 5, createKvCache);
  defineIn(machineFunctions, "embed", 1, embed);
  defineIn(machineFunctions, "prefill", 2, prefill);
  defineIn(machineFunctions, "decode", 2, decode);
  defineIn(machineFunctions, "score", 2, score);
  defineIn(machineFunctions, "apply_bitmask_inplace", 3, applyBitmask);
  defineIn(machineFunctions, "apply_logit_bias_inplace", 4, applyLogitBias);
  defineIn(machineFunctions, "apply_penalty_inplace", 6, applyPenalty);
  defineIn(machineFunctions, "softmax_with_temperature", 2, softmax);
  defineIn(machineFunctions, "argsort_probs", 1, argsort);
  defineIn(machineFunctions, "sample_with_top_p", 5, sample);
  defineIn(machineFunctions, "webgpu.get_fmap", 0, getFunctionMap);
  defineIn(machineFunctions, "webgpu.get_shader", 1, getShader);
  defineIn(machineFunctions, "webgpu.update_prebuild", 2, updatePrebuild);
}
