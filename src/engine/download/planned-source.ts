/**
 * A remote file whose reader says in advance what it will read: that is fetched ahead, over a few connections, within a
 * bounded window of memory, and journalled, so that what was fetched once is not fetched again after an interruption.
 */
import { abortable } from '../../base/abort.ts';
import { type ByteSource, checkRange } from '../../formats/byte-source.ts';
import type { Journal, JournalPiece } from '../../storage/journal.ts';
import { fillFromJournal, JOURNAL_BYTES, writeToJournal } from './journalling.ts';
import { type PartialBytes, partAt, type ReceivingSource } from './remote-file.ts';

export interface ByteRange {
  offset: number;
  byteLength: number;
}

export interface PlannedSource extends ByteSource {
  /**
   * Ranges that will be read next, in this order, after those that were named before. A range is given up from memory
   * when it has been read once, and comes from the journal when it is expected and read again; what is read besides is
   * fetched at once and not journalled.
   */
  expect(ranges: readonly ByteRange[]): void;
  /** What these ranges are needed for is stored: their part of the journal is deleted. */
  forgetJournal(ranges: readonly ByteRange[]): Promise<void>;
  /** These ranges are not what they should be: whatever the journal has of them is deleted, and they are still needed. */
  distrustJournal(ranges: readonly ByteRange[]): Promise<void>;
  /** Bytes of expected ranges so far: fetched over the network, and taken from the journal. */
  readonly counts: { readonly fetched: number; readonly fromJournal: number };
  /**
   * Ends what is under way and keeps what it has received in the journal, as far as the journal can be written. Reads
   * that wait are rejected.
   */
  close(): Promise<void>;
}

export interface PlannedSourceOptions {
  signal?: AbortSignal | undefined;
  /** Where bytes are kept. Its name tells the state of the file, so that it holds those of no other. */
  journal?: Journal | undefined;
  /** Most memory for bytes that have been asked for or received, and not been read. Default 40 MiB. */
  windowBytes?: number | undefined;
  /** Default 4. */
  connections?: number | undefined;
  /** Bytes of one request. Default 8 MiB. */
  pieceBytes?: number | undefined;
  /** Bytes that are journalled at once. Default 2 MiB. */
  journalBytes?: number | undefined;
  /** Told how many bytes have come, from the network or from the journal. */
  onBytes?: ((byteLength: number) => void) | undefined;
}

const WINDOW_BYTES = 40 << 20;
const CONNECTIONS = 4;
const PIECE_BYTES = 8 << 20;
/** Pieces are short below this part of the longest. */
const SHORT_PIECES = 4;

export function createPlannedSource(
  file: ReceivingSource,
  options: PlannedSourceOptions = {},
): PlannedSource {
  return new RemoteSource(file, options);
}

/** Expected bytes that lie together: one request. */
interface Piece extends ByteRange {
  /** Bytes that have not been read; at 0 the piece is given up. */
  unread: number;
  /** Null until it is asked for. */
  part: PartialBytes | null;
  /** Resolves when all bytes are there. */
  ready: Promise<void> | null;
  /** How many from its beginning are in the journal. */
  journalled: number;
}

class RemoteSource implements PlannedSource {
  readonly counts = { fetched: 0, fromJournal: 0 };
  readonly #file: ReceivingSource;
  readonly #windowBytes: number;
  readonly #connections: number;
  readonly #pieceBytes: number;
  readonly #journalBytes: number;
  readonly #onBytes: (byteLength: number) => void;
  readonly #signal: AbortSignal;
  readonly #closing = new AbortController();
  /** Null where there is none, or no room for one. */
  #journal: Journal | null;
  #entries: Promise<JournalPiece[]> | null = null;
  /** Expected and not given up, in the order of the plan. */
  #pieces: Piece[] = [];
  /** Expected and not stored. */
  #wanted: readonly ByteRange[] = [];
  /** One a connection. */
  readonly #tasks = new Set<Promise<void>>();
  readonly #saves = new Set<Promise<void>>();
  /** Buffers of `#pieceBytes` that were used before: left to the garbage collector they would pile up. */
  readonly #buffers: Uint8Array<ArrayBuffer>[] = [];
  /** Of memory, whatever of it is used. */
  #heldBytes = 0;
  /** The first failure: nothing more is fetched ahead. */
  #failure: { error: unknown } | null = null;

  constructor(file: ReceivingSource, options: PlannedSourceOptions) {
    this.#file = file;
    this.#journal = options.journal ?? null;
    this.#windowBytes = options.windowBytes ?? WINDOW_BYTES;
    this.#connections = options.connections ?? CONNECTIONS;
    this.#pieceBytes = options.pieceBytes ?? PIECE_BYTES;
    this.#journalBytes = options.journalBytes ?? JOURNAL_BYTES;
    this.#onBytes = options.onBytes ?? (() => {});
    const signals = [this.#closing.signal, options.signal].filter((signal) => signal !== undefined);
    this.#signal = AbortSignal.any(signals);
  }

  get byteLength(): number {
    return this.#file.byteLength;
  }

  expect(ranges: readonly ByteRange[]): void {
    for (const { offset, byteLength } of ranges) checkRange(this.byteLength, offset, byteLength);
    this.#wanted = [...this.#wanted, ...ranges];
    for (const run of joinNeighbours(ranges)) {
      for (const piece of cutAtMultiples(run, this.#pieceBytes)) {
        this.#pieces.push({ ...piece, unread: piece.byteLength, part: null, ready: null, journalled: 0 });
      }
    }
    this.#fetchAhead();
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.byteLength, offset, length);
    const bytes = new Uint8Array(length);
    await this.readInto(offset, bytes, signal);
    return bytes;
  }

  async readInto(offset: number, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#signal.throwIfAborted();
    const end = offset + target.byteLength;
    checkRange(this.byteLength, offset, target.byteLength);
    for (let at = offset; at < end; ) {
      const piece = this.#pieces.find((each) => each.offset <= at && at < endOf(each));
      const next = this.#pieces.filter((each) => each.offset > at).map((each) => each.offset);
      const stop = Math.min(end, piece === undefined ? Math.min(...next) : endOf(piece));
      if (piece === undefined) {
        target.set(await this.#readUnplanned(at, stop - at, signal), at - offset);
      } else {
        await abortable(this.#start(piece), signal);
        const from = at - piece.offset;
        target.set(piece.part!.bytes.subarray(from, from + stop - at), at - offset);
        piece.unread -= stop - at;
        if (piece.unread <= 0) this.#giveUp(piece);
      }
      at = stop;
    }
  }

  async forgetJournal(ranges: readonly ByteRange[]): Promise<void> {
    this.#wanted = subtract(this.#wanted, ranges);
    await this.#deleteEntries((entry) => !this.#isWanted(entry));
  }

  async distrustJournal(ranges: readonly ByteRange[]): Promise<void> {
    await this.#deleteEntries((entry) => ranges.some((range) => overlaps(range, entry)));
  }

  async close(): Promise<void> {
    this.#closing.abort(new DOMException('The source was closed.', 'AbortError'));
    await Promise.all([...this.#tasks, ...this.#saves]);
    // Whoever closes has a failure of their own to tell; what is not journalled is fetched again.
    for (const piece of this.#pieces) await this.#save(piece).catch(() => undefined);
    this.#pieces = [];
  }

  async #readUnplanned(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const part = partAt(offset, length);
    await this.#file.receive(
      part,
      signal === undefined ? this.#signal : AbortSignal.any([signal, this.#signal]),
    );
    return part.bytes;
  }

  #fetchAhead(): void {
    for (const piece of this.#pieces) {
      if (this.#failure !== null || this.#signal.aborted || this.#tasks.size >= this.#connections) return;
      if (piece.ready !== null) continue;
      if (this.#heldBytes > 0 && this.#heldBytes + this.#memoryOf(piece) > this.#windowBytes) return;
      this.#start(piece);
    }
  }

  /** A short piece, such as a norm, has memory of its own length: whole buffers would soon be many. */
  #memoryOf({ byteLength }: Piece): number {
    return byteLength < this.#pieceBytes / SHORT_PIECES ? byteLength : this.#pieceBytes;
  }

  /** @returns when the bytes of a piece are there, asking for them where nobody has. */
  #start(piece: Piece): Promise<void> {
    if (piece.ready !== null) return piece.ready;
    if (this.#failure !== null) return Promise.reject(this.#failure.error);
    const memoryBytes = this.#memoryOf(piece);
    this.#heldBytes += memoryBytes;
    const isPooled = memoryBytes === this.#pieceBytes;
    const buffer = (isPooled ? this.#buffers.pop() : undefined) ?? new Uint8Array(memoryBytes);
    piece.part = { offset: piece.offset, bytes: buffer.subarray(0, piece.byteLength), received: 0 };
    piece.ready = this.#fetch(piece, piece.part);
    // A connection is free when its piece is in the journal, too: the disk sets the pace where it is slower.
    const task = this.#watch(
      this.#tasks,
      piece.ready.then(() => this.#save(piece)),
    );
    void task.then(() => this.#fetchAhead());
    return piece.ready;
  }

  /** Remembers what goes on, as long as it does, and its failure. */
  #watch(ongoing: Set<Promise<void>>, action: Promise<void>): Promise<void> {
    const watched = action
      .catch((error) => {
        this.#failure ??= { error };
      })
      .finally(() => ongoing.delete(watched));
    ongoing.add(watched);
    return watched;
  }

  async #fetch(piece: Piece, part: PartialBytes): Promise<void> {
    if (this.#journal !== null) {
      await fillFromJournal(this.#journal, await this.#listEntries(this.#journal), part);
      piece.journalled = part.received;
      this.counts.fromJournal += part.received;
      this.#onBytes(part.received);
    }
    this.#signal.throwIfAborted();
    if (part.received === part.bytes.byteLength) return;
    await this.#file.receive(part, this.#signal, (byteLength) => {
      this.counts.fetched += byteLength;
      this.#onBytes(byteLength);
      const isDue = part.received - piece.journalled >= this.#journalBytes;
      if (isDue && part.received < part.bytes.byteLength) void this.#watch(this.#saves, this.#save(piece));
    });
  }

  #giveUp(piece: Piece): void {
    this.#pieces.splice(this.#pieces.indexOf(piece), 1);
    const memoryBytes = this.#memoryOf(piece);
    this.#heldBytes -= memoryBytes;
    // Bytes that are still being journalled were copied when that began.
    if (memoryBytes === this.#pieceBytes) this.#buffers.push(new Uint8Array(piece.part!.bytes.buffer));
    this.#fetchAhead();
  }

  #listEntries(journal: Journal): Promise<JournalPiece[]> {
    this.#entries ??= journal.list();
    return this.#entries;
  }

  async #deleteEntries(isDone: (entry: JournalPiece) => boolean): Promise<void> {
    const journal = this.#journal;
    if (journal === null) return;
    const entries = await this.#listEntries(journal);
    const done = entries.filter(isDone);
    for (const entry of done) entries.splice(entries.indexOf(entry), 1);
    await journal.delete(done);
  }

  #isWanted(range: ByteRange): boolean {
    return this.#wanted.some((wanted) => overlaps(wanted, range));
  }

  /** Writes to the journal what a piece has received and the journal does not have. */
  async #save(piece: Piece): Promise<void> {
    const journal = this.#journal;
    const { part, journalled } = piece;
    if (journal === null || part === null || part.received <= journalled) return;
    const entry = { offset: piece.offset + journalled, byteLength: part.received - journalled };
    if (!this.#isWanted(entry)) return;
    piece.journalled = part.received;
    // Begins at once: the bytes are copied before anybody uses their memory again.
    const writing = writeToJournal(journal, entry.offset, part.bytes.subarray(journalled, part.received));
    // Awaited below; until then a failure must not count as unhandled.
    writing.catch(() => undefined);
    // Listed before it is written, for whoever reads it again: the store reads after it has written.
    (await this.#listEntries(journal)).push(entry);
    if (!(await writing)) this.#journal = null;
    else if (!this.#isWanted(entry)) await journal.delete([entry]);
  }
}

function endOf({ offset, byteLength }: ByteRange): number {
  return offset + byteLength;
}

function overlaps(a: ByteRange, b: ByteRange): boolean {
  return a.offset < endOf(b) && b.offset < endOf(a);
}

/** Joins ranges that follow each other in the list and in the file. */
function joinNeighbours(ranges: readonly ByteRange[]): ByteRange[] {
  const runs: ByteRange[] = [];
  for (const range of ranges) {
    const last = runs.at(-1);
    if (last !== undefined && endOf(last) === range.offset) last.byteLength += range.byteLength;
    else if (range.byteLength > 0) runs.push({ ...range });
  }
  return runs;
}

/** At the same places whatever the plan: pieces of one run of a program fit those of another. */
export function cutAtMultiples(range: ByteRange, multiple: number): ByteRange[] {
  const pieces: ByteRange[] = [];
  for (let offset = range.offset; offset < endOf(range); ) {
    const end = Math.min(endOf(range), (Math.floor(offset / multiple) + 1) * multiple);
    pieces.push({ offset, byteLength: end - offset });
    offset = end;
  }
  return pieces;
}

function subtract(ranges: readonly ByteRange[], removed: readonly ByteRange[]): ByteRange[] {
  let rest: ByteRange[] = [...ranges];
  for (const hole of removed) {
    rest = rest.flatMap((range) => {
      if (!overlaps(range, hole)) return [range];
      return [
        { offset: range.offset, byteLength: hole.offset - range.offset },
        { offset: endOf(hole), byteLength: endOf(range) - endOf(hole) },
      ].filter(({ byteLength }) => byteLength > 0);
    });
  }
  return rest;
}
