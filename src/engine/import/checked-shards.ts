/**
 * Shards of a folder, compared with the checksums that it lists before a byte of them is used: each is read whole, once,
 * however its tensors are spread, and held until all that was expected of it has been read. A shard without a checksum
 * is read by the ranges that are asked for.
 */
import { abortable } from '../../base/abort.ts';
import { checkRange, readWithin } from '../../formats/byte-source.ts';
import { startsOf } from '../../formats/joined-source.ts';
import { checksumError, hasChecksum, matchChecksum } from '../download/checksums.ts';
import type { ByteRange } from '../download/planned-source.ts';
import type { MlcShard } from './mlc-model.ts';
import type { WeightSource } from './opened-source.ts';

/** What is over is read again when it is needed. */
const HELD_BYTES = 192 << 20;
/** A shard with a single tensor, however large, is held until its scales have come, which take an eighth of it. */
const WITH_SCALES = 1.25;
/** Of these, a usual shard at most: MLC's writer fills shards up to 32 MiB; a larger one has one tensor. */
const USUAL_PART = 6;

const NEXT_STEP =
  'The file is damaged, or of another build than the list: download it again, or choose another build.';

/** @param inner the shards as one, in their order */
export function checkShards(
  inner: WeightSource,
  shards: readonly MlcShard[],
  heldBytes = HELD_BYTES,
): WeightSource {
  return new CheckedShards(inner, shards, heldBytes);
}

interface ShardState {
  shard: MlcShard;
  range: ByteRange;
  isChecked: boolean;
  /** Bytes expected of it that have not been read, and not been stored. */
  unread: number;
  unstored: number;
  /** Null while it is not held. */
  bytes: Promise<Uint8Array<ArrayBuffer>> | null;
}

class CheckedShards implements WeightSource {
  readonly #inner: WeightSource;
  readonly #states: readonly ShardState[];
  readonly #heldBytes: number;
  /** The one that was read last at the end. */
  readonly #held = new Set<ShardState>();
  readonly #usualBytes: number;
  /** Buffers of `#usualBytes` that were used before: left to the garbage collector they would pile up. */
  readonly #buffers: Uint8Array<ArrayBuffer>[] = [];

  constructor(inner: WeightSource, shards: readonly MlcShard[], heldBytes: number) {
    this.#inner = inner;
    const largest = Math.max(0, ...shards.map(({ byteLength }) => byteLength));
    this.#heldBytes = Math.max(heldBytes, WITH_SCALES * largest);
    this.#usualBytes = Math.floor(heldBytes / USUAL_PART);
    const starts = startsOf(shards);
    this.#states = shards.map((shard, i) => ({
      shard,
      range: { offset: starts[i]!, byteLength: shard.byteLength },
      isChecked: hasChecksum(shard),
      unread: 0,
      unstored: 0,
      bytes: null,
    }));
  }

  get byteLength(): number {
    return this.#inner.byteLength;
  }

  expect(ranges: readonly ByteRange[]): void {
    let unchecked: ByteRange[] = [];
    for (const { state, part } of this.#cut(ranges)) {
      if (!state.isChecked) unchecked.push(part);
      else if (state.unread === 0) {
        this.#inner.expect(unchecked);
        unchecked = [];
        // By itself: were it fetched in one piece with its neighbour, its bytes would stay, and reading them again, where
        // they are not what is listed, would give the same.
        this.#inner.expect([state.range]);
      }
      state.unread += part.byteLength;
      state.unstored += part.byteLength;
    }
    this.#inner.expect(unchecked);
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.byteLength, offset, length);
    const bytes = new Uint8Array(length);
    await this.readInto(offset, bytes, signal);
    return bytes;
  }

  async readInto(offset: number, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    checkRange(this.byteLength, offset, target.byteLength);
    for (const { state, part } of this.#cut([{ offset, byteLength: target.byteLength }])) {
      const own = target.subarray(part.offset - offset, part.offset - offset + part.byteLength);
      if (!state.isChecked) {
        await this.#readInner(part, own, signal);
        continue;
      }
      const bytes = await abortable(this.#hold(state), signal);
      const from = part.offset - state.range.offset;
      own.set(bytes.subarray(from, from + part.byteLength));
      state.unread -= part.byteLength;
      if (state.unread <= 0) this.#giveUp(state, bytes);
    }
  }

  async forgetJournal(ranges: readonly ByteRange[]): Promise<void> {
    const done: ByteRange[] = [];
    for (const { state, part } of this.#cut(ranges)) {
      state.unstored -= part.byteLength;
      if (!state.isChecked) done.push(part);
      else if (state.unstored <= 0) done.push(state.range);
    }
    await this.#inner.forgetJournal(done);
  }

  async close(): Promise<void> {
    this.#held.clear();
    await this.#inner.close();
  }

  *#cut(ranges: readonly ByteRange[]): Generator<{ state: ShardState; part: ByteRange }> {
    for (const { offset, byteLength } of ranges) {
      for (const state of this.#states) {
        const from = Math.max(offset, state.range.offset);
        const to = Math.min(offset + byteLength, state.range.offset + state.range.byteLength);
        if (from < to) yield { state, part: { offset: from, byteLength: to - from } };
      }
    }
  }

  #hold(state: ShardState): Promise<Uint8Array<ArrayBuffer>> {
    if (state.bytes !== null) return state.bytes;
    const buffer = this.#takeBuffer(state);
    this.#makeRoom(buffer.byteLength);
    this.#held.add(state);
    state.bytes = this.#readChecked(state, buffer.subarray(0, state.range.byteLength));
    state.bytes.catch(() => {
      this.#held.delete(state);
      state.bytes = null;
    });
    return state.bytes;
  }

  /** Gives up buffers that nobody uses, then those that have been held longest. */
  #makeRoom(byteLength: number): void {
    let held = byteLength;
    for (const state of this.#held) held += this.#memoryOf(state);
    const spare = Math.max(0, Math.floor((this.#heldBytes - held) / this.#usualBytes));
    this.#buffers.splice(spare);
    for (const state of this.#held) {
      if (held <= this.#heldBytes) return;
      this.#held.delete(state);
      state.bytes = null;
      held -= this.#memoryOf(state);
    }
  }

  #giveUp(state: ShardState, bytes: Uint8Array<ArrayBuffer>): void {
    this.#held.delete(state);
    state.bytes = null;
    if (bytes.buffer.byteLength === this.#usualBytes) this.#buffers.push(new Uint8Array(bytes.buffer));
  }

  async #readChecked(
    { shard, range }: ShardState,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    await this.#readInner(range, bytes);
    if (await matchChecksum(bytes, shard)) return bytes;
    // Parts of it may have been journalled when the file was another.
    await this.#inner.forgetJournal([range]);
    await this.#readInner(range, bytes);
    if (await matchChecksum(bytes, shard)) return bytes;
    throw checksumError(shard.name, shard, NEXT_STEP);
  }

  /** A shard of about the usual length has a buffer that others may use after it. */
  #memoryOf({ range }: ShardState): number {
    const isUsual = range.byteLength > this.#usualBytes / 2 && range.byteLength <= this.#usualBytes;
    return isUsual ? this.#usualBytes : range.byteLength;
  }

  #takeBuffer(state: ShardState): Uint8Array<ArrayBuffer> {
    const byteLength = this.#memoryOf(state);
    const used = byteLength === this.#usualBytes ? this.#buffers.pop() : undefined;
    return used ?? new Uint8Array(byteLength);
  }

  async #readInner(range: ByteRange, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void> {
    const bytes = await readWithin(this.#inner, range.offset, range.byteLength, target, signal);
    if (bytes.buffer !== target.buffer) target.set(bytes);
  }
}
