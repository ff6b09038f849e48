// A hash table from names to objects: open addressing with linear probing, at most half full, names copied.
//
//   table, 12 bytes                       slot, 16 bytes
//   +0  u32  slots                        +0   u32  hash
//   +4  u32  slot count, power of two     +4   u32  name, 0 where the slot is empty
//   +8  u32  used slots                   +8   u32  name length in bytes
//                                         +12  u32  value, never 0
//
// The table does not own its values: what `put` and `remove` return is the caller's again.

import { Address } from "./abi";

const SLOTS: usize = 0;
const SLOT_COUNT: usize = 4;
const USED: usize = 8;

const SLOT_HASH: usize = 0;
const SLOT_NAME: usize = 4;
const SLOT_NAME_LENGTH: usize = 8;
const SLOT_VALUE: usize = 12;
const SLOT_SHIFT: usize = 4;

export function createNameTable(slotCount: u32): Address {
  const table = heap.alloc(12);
  store<u32>(table, 0, USED);
  allocateSlots(table, slotCount);
  return table;
}

function allocateSlots(table: Address, slotCount: u32): void {
  const slots = heap.alloc((<usize>slotCount) << SLOT_SHIFT);
  memory.fill(slots, 0, (<usize>slotCount) << SLOT_SHIFT);
  store<u32>(table, <u32>slots, SLOTS);
  store<u32>(table, slotCount, SLOT_COUNT);
}

/** FNV-1a, 32 bits. */
function hashOf(name: Address, length: usize): u32 {
  let hash: u32 = 0x811c9dc5;
  for (let i: usize = 0; i < length; i++) hash = (hash ^ <u32>load<u8>(name + i)) * 0x01000193;
  return hash;
}

// @inline keeps the probing loops free of calls.
@inline
function slotAt(table: Address, index: u32): Address {
  return <usize>load<u32>(table, SLOTS) + ((<usize>index) << SLOT_SHIFT);
}

/** The slot that holds the name, or the empty one where it belongs. */
function probe(table: Address, hash: u32, name: Address, length: usize): Address {
  const mask = load<u32>(table, SLOT_COUNT) - 1;
  let index = hash & mask;
  while (true) {
    const slot = slotAt(table, index);
    const slotName = <usize>load<u32>(slot, SLOT_NAME);
    if (slotName == 0) return slot;
    if (
      load<u32>(slot, SLOT_HASH) == hash &&
      <usize>load<u32>(slot, SLOT_NAME_LENGTH) == length &&
      memory.compare(slotName, name, length) == 0
    ) {
      return slot;
    }
    index = (index + 1) & mask;
  }
}

/** The value under a name, or 0. */
export function findName(table: Address, name: Address, length: usize): usize {
  const slot = probe(table, hashOf(name, length), name, length);
  return load<u32>(slot, SLOT_NAME) == 0 ? 0 : <usize>load<u32>(slot, SLOT_VALUE);
}

/** Sets the value under a name. @returns the value that was there, or 0. */
export function putName(table: Address, name: Address, length: usize, value: usize): usize {
  const hash = hashOf(name, length);
  let slot = probe(table, hash, name, length);
  if (load<u32>(slot, SLOT_NAME) != 0) {
    const previous = <usize>load<u32>(slot, SLOT_VALUE);
    store<u32>(slot, <u32>value, SLOT_VALUE);
    return previous;
  }
  const used = load<u32>(table, USED) + 1;
  if (used * 2 > load<u32>(table, SLOT_COUNT)) {
    grow(table);
    slot = probe(table, hash, name, length);
  }
  const copy = heap.alloc(max(length, 1));
  memory.copy(copy, name, length);
  store<u32>(slot, hash, SLOT_HASH);
  store<u32>(slot, <u32>copy, SLOT_NAME);
  store<u32>(slot, <u32>length, SLOT_NAME_LENGTH);
  store<u32>(slot, <u32>value, SLOT_VALUE);
  store<u32>(table, used, USED);
  return 0;
}

function grow(table: Address): void {
  const slots = <usize>load<u32>(table, SLOTS);
  const slotCount = load<u32>(table, SLOT_COUNT);
  allocateSlots(table, slotCount * 2);
  for (let i: u32 = 0; i < slotCount; i++) {
    const slot = slots + ((<usize>i) << SLOT_SHIFT);
    const name = <usize>load<u32>(slot, SLOT_NAME);
    if (name == 0) continue;
    const target = probe(table, load<u32>(slot, SLOT_HASH), name, <usize>load<u32>(slot, SLOT_NAME_LENGTH));
    memory.copy(target, slot, 1 << SLOT_SHIFT);
  }
  heap.free(slots);
}

/** Removes a name. @returns its value, or 0. */
export function removeName(table: Address, name: Address, length: usize): usize {
  const found = probe(table, hashOf(name, length), name, length);
  if (load<u32>(found, SLOT_NAME) == 0) return 0;
  const value = <usize>load<u32>(found, SLOT_VALUE);
  heap.free(<usize>load<u32>(found, SLOT_NAME));
  store<u32>(table, load<u32>(table, USED) - 1, USED);
  // Close the gap: a later slot of the run moves into it unless that would put it before its home.
  const mask = load<u32>(table, SLOT_COUNT) - 1;
  let gap = <u32>((found - <usize>load<u32>(table, SLOTS)) >> SLOT_SHIFT);
  for (let index = (gap + 1) & mask; ; index = (index + 1) & mask) {
    const slot = slotAt(table, index);
    if (load<u32>(slot, SLOT_NAME) == 0) break;
    const home = load<u32>(slot, SLOT_HASH) & mask;
    if (((index - home) & mask) < ((index - gap) & mask)) continue;
    memory.copy(slotAt(table, gap), slot, 1 << SLOT_SHIFT);
    gap = index;
  }
  memory.fill(slotAt(table, gap), 0, 1 << SLOT_SHIFT);
  return value;
}

/** Removes some name. @returns its value, or 0 where the table is empty. */
export function removeAnyName(table: Address): usize {
  const slotCount = load<u32>(table, SLOT_COUNT);
  for (let i: u32 = 0; i < slotCount; i++) {
    const slot = slotAt(table, i);
    const name = <usize>load<u32>(slot, SLOT_NAME);
    if (name != 0) return removeName(table, name, <usize>load<u32>(slot, SLOT_NAME_LENGTH));
  }
  return 0;
}
