/**
 * Shards of a folder, compared with the checksums that it lists before a byte of them is used, however their tensors are
 * spread. A shard is read whole, once, and held until all that was expected of it has been read. A large one is read
 * twice, and never held whole: the first time for its checksum, when each part of it gets one of its own; then the parts
 * that are needed, each compared with what it was the first time. A shard without a checksum is read by the ranges that
 * are asked for.
 */
import { abortable } from '../../base/abort.ts';
import { sha256Hex } from '../../base/sha256.ts';
import { checkRange, readWithin } from '../../formats/byte-source.ts';
import { startsOf } from '../../formats/joined-source.ts';
import { ChecksumMatch, checksumError, hasChecksum, matchChecksum } from '../download/checksums.ts';
import { type ByteRange, cutAtMultiples } from '../download/planned-source.ts';
import type { MlcShard } from './mlc-model.ts';
import type { JournalledSource, WeightSource } from './opened-source.ts';

/** What is over is read again when it is needed, from the journal where there is one. */
const HELD_BYTES = 96 << 20;
/** Of these, the longest shard that is held whole, so that there is room for another that has its scales. */
const WHOLE_PART = 2;
/** A usual shard at most: MLC's writer fills shards up to 32 MiB; a larger one has one tensor. */
const USUAL_PART = 3;
/** A part of a large shard: what a remote source fetches at once. */
const LARGE_PART = 12;

const NEXT_STEP =
  'The file is damaged, or of another build than the list: download it again, or choose another build.';

/** @param inner the shards as one, in their order */
export function checkShards(
  inner: JournalledSource,
  shards: readonly MlcShard[],
  heldBytes = HELD_BYTES,
): WeightSource {
  return new CheckedShards(inner, shards, heldBytes);
}

interface ShardState {
  shard: MlcShard;
  range: ByteRange;
  isChecked: boolean;
  /** One, unless it is large. */
  parts: readonly Part[];
  /** When a large one has been compared with its checksum; null while nobody has begun. */
  survey: Promise<void> | null;
  /** Bytes expected of it that have not been stored. */
  unstored: number;
}

/** What is held together. */
interface Part {
  range: ByteRange;
  /** Of the buffer that holds it. */
  memoryBytes: number;
  /** The source will give it without being told again. */
  isExpected: boolean;
  /** Bytes expected of it that have not been read. */
  unread: number;
  /** Of a large shard's part as it was when the shard was compared. */
  sha256: string | null;
  /** Null while it is not held. */
  bytes: Promise<Uint8Array<ArrayBuffer>> | null;
}

class CheckedShards implements WeightSource {
  readonly #inner: JournalledSource;
  readonly #states: readonly ShardState[];
  readonly #heldBytes: number;
  /** The one that was read last at the end. */
  readonly #held = new Set<Part>();
  /** Buffers that were used before: left to the garbage collector they would pile up. */
  #buffers: Uint8Array<ArrayBuffer>[] = [];
  readonly #closing = new AbortController();

  constructor(inner: JournalledSource, shards: readonly MlcShard[], heldBytes: number) {
    this.#inner = inner;
    this.#heldBytes = heldBytes;
    const starts = startsOf(shards);
    this.#states = shards.map((shard, i) => {
      const range = { offset: starts[i]!, byteLength: shard.byteLength };
      return {
        shard,
        range,
        isChecked: hasChecksum(shard),
        parts: cutIntoParts(range, heldBytes),
        survey: null,
        unstored: 0,
      };
    });
  }

  get byteLength(): number {
    return this.#inner.byteLength;
  }

  expect(ranges: readonly ByteRange[]): void {
    let unchecked: ByteRange[] = [];
    for (const { item: state, common } of cut(ranges, this.#states)) {
      state.unstored += common.byteLength;
      if (!state.isChecked) {
        unchecked.push(common);
        continue;
      }
      for (const { item: part, common: own } of cut([common], state.parts)) part.unread += own.byteLength;
      // What is read of it first is all of it; parts of a large one that are read again are expected then.
      const parts = state.survey === null ? state.parts.filter(({ isExpected }) => !isExpected) : [];
      if (parts.length === 0) continue;
      for (const part of parts) part.isExpected = true;
      this.#inner.expect(unchecked);
      unchecked = [];
      // By itself: were it fetched in one piece with its neighbour, its bytes would stay, and reading them again, where
      // they are not what is listed, would give the same.
      this.#inner.expect(parts.map(({ range }) => range));
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
    const targetOf = (range: ByteRange) =>
      target.subarray(range.offset - offset, range.offset - offset + range.byteLength);
    for (const { item: state, common } of cut([{ offset, byteLength: target.byteLength }], this.#states)) {
      if (!state.isChecked) {
        await this.#readInner(common, targetOf(common), signal);
        continue;
      }
      for (const { item: part, common: own } of cut([common], state.parts)) {
        const bytes = await abortable(this.#hold(state, part), signal);
        const from = own.offset - part.range.offset;
        targetOf(own).set(bytes.subarray(from, from + own.byteLength));
        part.unread -= own.byteLength;
        if (part.unread <= 0) this.#giveUp(part, bytes);
      }
    }
  }

  async forgetJournal(ranges: readonly ByteRange[]): Promise<void> {
    const done: ByteRange[] = [];
    for (const { item: state, common } of cut(ranges, this.#states)) {
      state.unstored -= common.byteLength;
      if (!state.isChecked) done.push(common);
      else if (state.unstored <= 0) done.push(state.range);
    }
    await this.#inner.forgetJournal(done);
  }

  async close(): Promise<void> {
    this.#closing.abort(new DOMException('The source was closed.', 'AbortError'));
    this.#held.clear();
    this.#buffers = [];
    await this.#inner.close();
  }

  #hold(state: ShardState, part: Part): Promise<Uint8Array<ArrayBuffer>> {
    if (part.bytes !== null) return part.bytes;
    const buffer = this.#takeBuffer(part);
    this.#held.add(part);
    part.bytes = this.#readChecked(state, part, buffer.subarray(0, part.range.byteLength));
    part.bytes.catch(() => {
      this.#held.delete(part);
      part.bytes = null;
    });
    return part.bytes;
  }

  async #readChecked(
    state: ShardState,
    part: Part,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    if (state.parts.length > 1) await this.#surveyOnce(state, bytes.buffer);
    const matches = async () => {
      await this.#readPart(part, bytes);
      if (part.sha256 === null) return matchChecksum(bytes, state.shard);
      return (await sha256Hex(bytes)) === part.sha256;
    };
    await this.#expectMatch(state.shard, part.range, matches);
    return bytes;
  }

  #surveyOnce(state: ShardState, buffer: ArrayBuffer): Promise<void> {
    if (state.survey !== null) return state.survey;
    state.survey = this.#survey(state, buffer);
    state.survey.catch(() => {
      state.survey = null;
    });
    return state.survey;
  }

  /** Reads a large shard for its checksum, and notes that of each part. */
  async #survey({ shard, range, parts }: ShardState, buffer: ArrayBuffer): Promise<void> {
    await this.#expectMatch(shard, range, async () => {
      const match = new ChecksumMatch(shard);
      for (const part of parts) {
        const bytes = new Uint8Array(buffer, 0, part.range.byteLength);
        await this.#readPart(part, bytes);
        // It takes a copy, and works on that meanwhile.
        const sha256 = sha256Hex(bytes);
        match.add(bytes);
        part.sha256 = await sha256;
      }
      return match.end();
    });
  }

  /** @param matches reads a range and tells whether it is as it should be */
  async #expectMatch(shard: MlcShard, range: ByteRange, matches: () => Promise<boolean>): Promise<void> {
    if (await matches()) return;
    // What is journalled of it may be of the file as it was before.
    await this.#inner.distrustJournal([range]);
    if (await matches()) return;
    throw checksumError(shard.name, shard, NEXT_STEP);
  }

  /** Room is made by giving up buffers that nobody uses, then what has been held longest. */
  #takeBuffer(part: Part): Uint8Array<ArrayBuffer> {
    const used = this.#buffers.find((buffer) => buffer.byteLength === part.memoryBytes);
    this.#buffers = this.#buffers.filter((buffer) => buffer !== used);
    let held = part.memoryBytes;
    for (const other of this.#held) held += other.memoryBytes;
    for (const buffer of this.#buffers) held += buffer.byteLength;
    while (held > this.#heldBytes && this.#buffers.length > 0) held -= this.#buffers.shift()!.byteLength;
    for (const other of this.#held) {
      if (held <= this.#heldBytes) break;
      this.#held.delete(other);
      other.bytes = null;
      held -= other.memoryBytes;
    }
    return used ?? new Uint8Array(part.memoryBytes);
  }

  #giveUp(part: Part, bytes: Uint8Array<ArrayBuffer>): void {
    // Another reader may have given it up.
    if (!this.#held.delete(part)) return;
    part.bytes = null;
    this.#buffers.push(new Uint8Array(bytes.buffer));
  }

  async #readPart(part: Part, target: Uint8Array<ArrayBuffer>): Promise<void> {
    if (!part.isExpected) this.#inner.expect([part.range]);
    part.isExpected = false;
    await this.#readInner(part.range, target, this.#closing.signal);
  }

  async #readInner(range: ByteRange, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void> {
    const bytes = await readWithin(this.#inner, range.offset, range.byteLength, target, signal);
    if (bytes.buffer !== target.buffer) target.set(bytes);
  }
}

function cutIntoParts(shard: ByteRange, heldBytes: number): Part[] {
  const isLarge = shard.byteLength > heldBytes / WHOLE_PART;
  const partBytes = Math.floor(heldBytes / LARGE_PART);
  const usualBytes = Math.floor(heldBytes / USUAL_PART);
  // A shard of about the usual length has a buffer that others may use after it.
  const isUsual = shard.byteLength > usualBytes / 2 && shard.byteLength <= usualBytes;
  const memoryBytes = isLarge ? partBytes : isUsual ? usualBytes : shard.byteLength;
  const ranges = isLarge ? cutAtMultiples(shard, partBytes) : [shard];
  return ranges.map((range) => ({
    range,
    memoryBytes,
    isExpected: false,
    unread: 0,
    sha256: null,
    bytes: null,
  }));
}

/** What ranges and items have in common, in the order of the ranges. */
function* cut<T extends { range: ByteRange }>(
  ranges: readonly ByteRange[],
  items: readonly T[],
): Generator<{ item: T; common: ByteRange }> {
  for (const { offset, byteLength } of ranges) {
    for (const item of items) {
      const from = Math.max(offset, item.range.offset);
      const to = Math.min(offset + byteLength, item.range.offset + item.range.byteLength);
      if (from < to) yield { item, common: { offset: from, byteLength: to - from } };
    }
  }
}
