// The KV cache's position. Its contents lie in planned buffers; tokens beyond the position are never read.
//
//   KV state object, 40 bytes
//   +24  u32  1 while sequence 0 exists
//   +28  i32  position: tokens in the cache
//   +32  i32  tokens of the forward that has begun and not ended, else 0
//   +36  i32  context length, in tokens

import { Address, ObjectAddress, OK, TYPE_KV_STATE } from "./abi";
import { readSingleDimension } from "./containers";
import { addNumber, addText, endError, fail, failWithLimit, startError } from "./errors";
import { defineGlobal } from "./functions";
import { argumentAt, createObject, integerOf, isInteger, isObject, objectOf, setInteger } from "./objects";

const KV_HAS_SEQUENCE: usize = 24;
const KV_POSITION: usize = 28;
const KV_PENDING: usize = 32;
const KV_CONTEXT_LENGTH: usize = 36;
const KV_BYTES: usize = 40;

let liveStates: i32 = 0;

/** Whether a KV state uses the planned buffers at present. */
export function hasLiveKvState(): bool {
  return liveStates != 0;
}

export function createKvState(contextLength: i64): ObjectAddress {
  const kv = createObject(TYPE_KV_STATE, KV_BYTES, finalizeKvState.index);
  store<i32>(kv, <i32>contextLength, KV_CONTEXT_LENGTH);
  liveStates++;
  return kv;
}

function finalizeKvState(_kv: ObjectAddress): void {
  liveStates--;
}

export function kvPosition(kv: ObjectAddress): i64 {
  return <i64>load<i32>(kv, KV_POSITION);
}

/** Tokens that begin_forward announced. */
export function kvPendingTokens(kv: ObjectAddress): i64 {
  return <i64>load<i32>(kv, KV_PENDING);
}

function needsKvState(): i32 {
  return fail("the first argument must be a KV state");
}

function reset(kv: ObjectAddress, hasSequence: u32): void {
  store<u32>(kv, hasSequence, KV_HAS_SEQUENCE);
  store<i32>(kv, 0, KV_POSITION);
  store<i32>(kv, 0, KV_PENDING);
}

/** Checks (kv, sequence id, …): there is one sequence, and it has id 0. */
function checkSequence(args: Address, mustExist: bool): i32 {
  if (!isObject(args, TYPE_KV_STATE)) return needsKvState();
  const sequence = argumentAt(args, 1);
  if (!isInteger(sequence) || integerOf(sequence) != 0) return fail("the KV cache has one sequence, and its id is 0");
  const exists = load<u32>(objectOf(args), KV_HAS_SEQUENCE) != 0;
  if (exists == mustExist) return OK;
  return exists ? fail("sequence 0 exists already") : fail("sequence 0 does not exist");
}

function clear(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!isObject(args, TYPE_KV_STATE)) return needsKvState();
  reset(objectOf(args), 0);
  return OK;
}

function addSequence(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (checkSequence(args, false) != OK) return -1;
  reset(objectOf(args), 1);
  return OK;
}

function removeSequence(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (checkSequence(args, true) != OK) return -1;
  reset(objectOf(args), 0);
  return OK;
}

/** (kv, Shape[0] sequence ids, Shape[n] lengths) */
function beginForward(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!isObject(args, TYPE_KV_STATE)) return needsKvState();
  const kv = objectOf(args);
  if (load<u32>(kv, KV_HAS_SEQUENCE) == 0) return fail("sequence 0 does not exist");
  if (readSingleDimension(argumentAt(args, 1)) != 0) return fail("the KV cache has one sequence, and its id is 0");
  const tokens = readSingleDimension(argumentAt(args, 2));
  const position = kvPosition(kv);
  const limit = <i64>load<i32>(kv, KV_CONTEXT_LENGTH);
  if (tokens < 1) return failWithLimit("a forward of ", tokens, " tokens; the least is ", 1);
  if (tokens > limit - position) {
    startError("context exceeded: ");
    addNumber(tokens);
    addText(" tokens after the ");
    addNumber(position);
    addText(" in the KV cache are over the limit of ");
    addNumber(limit);
    return endError();
  }
  // A forward that began and failed is forgotten here.
  store<i32>(kv, <i32>tokens, KV_PENDING);
  return OK;
}

function endForward(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (!isObject(args, TYPE_KV_STATE)) return needsKvState();
  const kv = objectOf(args);
  store<i32>(kv, load<i32>(kv, KV_POSITION) + load<i32>(kv, KV_PENDING), KV_POSITION);
  store<i32>(kv, 0, KV_PENDING);
  return OK;
}

function sequenceLength(_self: ObjectAddress, args: Address, _count: i32, result: Address): i32 {
  if (checkSequence(args, true) != OK) return -1;
  setInteger(result, kvPosition(objectOf(args)));
  return OK;
}

/** (kv, Int sequence id, Int n): forgets the last n tokens. */
function popTokens(_self: ObjectAddress, args: Address, _count: i32, _result: Address): i32 {
  if (checkSequence(args, true) != OK) return -1;
  const kv = objectOf(args);
  const count = argumentAt(args, 2);
  if (!isInteger(count)) return fail("kv_state_popn needs a number of tokens");
  const tokens = integerOf(count);
  if (tokens < 0 || tokens > kvPosition(kv)) {
    return failWithLimit("cannot take ", tokens, " tokens off the KV cache; it has ", kvPosition(kv));
  }
  store<i32>(kv, <i32>(kvPosition(kv) - tokens), KV_POSITION);
  store<i32>(kv, 0, KV_PENDING);
  return OK;
}

function enableSlidingWindow(_self: ObjectAddress, _args: Address, _count: i32, _result: Address): i32 {
  return fail("sliding windows are not supported: set sliding_window_size to -1");
}

export function registerKvState(): void {
  defineGlobal("vm.builtin.kv_state_clear", 1, clear);
  defineGlobal("vm.builtin.kv_state_add_sequence", 2, addSequence);
  defineGlobal("vm.builtin.kv_state_remove_sequence", 2, removeSequence);
  defineGlobal("vm.builtin.kv_state_popn", 3, popTokens);
  defineGlobal("vm.builtin.kv_state_begin_forward", 3, beginForward);
  defineGlobal("vm.builtin.kv_state_end_forward", 1, endForward);
  defineGlobal("vm.builtin.attention_kv_cache_enable_sliding_window_for_seq", 0, enableSlidingWindow);
  defineGlobal("vm.builtin.attention_kv_cache_get_sequence_length", 2, sequenceLength);
}
