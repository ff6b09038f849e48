/**
 * A shard of a model's folder, whose length and checksum the model lists. It goes on at the byte where its server
 * answers ranges, also in a later session; where it does not, it begins again.
 */
import { isTramontaneError, TramontaneError } from '../../base/errors.ts';
import type { Journal } from '../../storage/journal.ts';
import type { StoredFile, WeightStore } from '../../storage/weight-store.ts';
import { type Checksums, checksumError, hasChecksum, matchChecksum } from './checksums.ts';
import { fillFromJournal, JOURNAL_BYTES, writeToJournal } from './journalling.ts';
import { type PartialBytes, partAt } from './remote-file.ts';
import { TransientFailure, withRetries } from './retry.ts';
import {
  ATTEMPTS,
  type Chunks,
  type DownloadOptions,
  type FileState,
  hasSameValidator,
  isSameState,
  PROGRESS_BYTES,
  readContentRange,
  readRefusedTotal,
  readState,
  transfer,
  validatorOf,
} from './transfer.ts';

/** A shard with the checksums that its model lists. */
export type ListedShard = StoredFile & Checksums;

export interface ShardDownloadOptions extends DownloadOptions {
  store: WeightStore;
  modelId: string;
  /** Told how many bytes have come, from the network or from the journal; negative where they were of no use. */
  onBytes: (byteLength: number) => void;
  /** Bytes that are journalled at once. Default 2 MiB. */
  journalBytes?: number | undefined;
}

/** Times that a shard is begun from its first byte. */
const BEGINNINGS = 4;
const ALTERED_NEXT_STEP =
  'Load the model again. If it happens again, the files on the server do not belong together.';
const PARTIAL_CONTENT = 206;
const RANGE_NOT_SATISFIABLE = 416;

/**
 * Downloads a shard and checks its length and, where the model lists one, its checksum. What was received of it when
 * this fails or is aborted is in the journal.
 * @throws TramontaneError `download-failed`, `shard-missing`, `shard-truncated`, `shard-altered`, `storage-failed`;
 *   `signal.reason`
 */
export async function downloadShard(
  url: string,
  shard: ListedShard,
  options: ShardDownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const download = new ShardDownload(url, shard, options);
  return await download.run();
}

class ShardDownload {
  readonly #url: string;
  readonly #shard: ListedShard;
  readonly #options: ShardDownloadOptions;
  readonly #journalBytes: number;
  readonly #part: PartialBytes;
  /** Of the file that the received bytes are of; null before there are any. */
  #state: FileState | null = null;
  #journal: Journal | null = null;
  #journalled = 0;
  /** Most bytes that were ever there: only more is progress. */
  #most = 0;
  #beginnings = 0;
  #lastFailure: TramontaneError | null = null;

  constructor(url: string, shard: ListedShard, options: ShardDownloadOptions) {
    this.#url = url;
    this.#shard = shard;
    this.#options = options;
    this.#journalBytes = options.journalBytes ?? JOURNAL_BYTES;
    this.#part = partAt(0, shard.byteLength);
  }

  async run(): Promise<Uint8Array<ArrayBuffer>> {
    await this.#resume();
    try {
      await withRetries({ ...this.#options, attempts: ATTEMPTS }, (progressed) => this.#attempt(progressed));
    } catch (error) {
      await this.#save();
      throw error;
    }
    return this.#part.bytes;
  }

  async #attempt(progressed: () => void): Promise<void> {
    try {
      await this.#receive(progressed);
      await this.#verify();
    } catch (error) {
      if (error instanceof TransientFailure) {
        this.#lastFailure = error.error;
        throw error;
      }
      const status = isTramontaneError(error) ? error.data.status : undefined;
      throw status === 404 || status === 410 ? missingError(this.#url, this.#shard, error) : error;
    }
  }

  async #receive(progressed: () => void): Promise<void> {
    const part = this.#part;
    if (part.received === part.bytes.byteLength) return;
    if (part.received === 0 && this.#beginnings === BEGINNINGS && this.#lastFailure !== null) {
      throw this.#lastFailure;
    }
    const range = part.received === 0 ? undefined : { offset: part.received, end: null };
    const request = {
      url: this.#url,
      range,
      state: this.#state ?? undefined,
      acceptStatus: RANGE_NOT_SATISFIABLE,
    };
    await transfer(request, this.#options, async (response, chunks) => {
      // Two answers that agree on where the file ends: it is no accident.
      if (response.status === RANGE_NOT_SATISFIABLE && readRefusedTotal(response) === part.received) {
        throw this.#truncatedError();
      }
      if (range !== undefined && !this.#continues(response, range.offset)) {
        await this.#startOver();
        // The whole file is as good a beginning as any.
        if (response.status === PARTIAL_CONTENT || response.status === RANGE_NOT_SATISFIABLE) {
          throw new TransientFailure(alteredError(this.#shard, 'changed while it was being downloaded'));
        }
      }
      if (part.received === 0) this.#beginnings++;
      this.#state = readState(response);
      await this.#fill(chunks, progressed);
    });
  }

  /** True if the answer goes on where the received bytes end, in the same file. */
  #continues(response: Response, offset: number): boolean {
    const found = readContentRange(response);
    return (
      response.status === PARTIAL_CONTENT &&
      (found?.offset ?? offset) === offset &&
      (found?.totalBytes ?? this.#shard.byteLength) === this.#shard.byteLength &&
      (this.#state === null || this.#isSameFile(this.#state, readState(response)))
    );
  }

  /** Bytes of who knows what state are of use only where a checksum will judge them. */
  #isSameFile(before: FileState, now: FileState): boolean {
    if (hasChecksum(this.#shard)) return isSameState(before, now);
    return validatorOf(before) !== null && hasSameValidator(before, now);
  }

  async #fill(chunks: Chunks, progressed: () => void): Promise<void> {
    const part = this.#part;
    const { byteLength } = part.bytes;
    for await (const chunk of chunks) {
      if (part.received + chunk.byteLength > byteLength) {
        await this.#startOver();
        const what = `is longer than the ${byteLength} bytes it should have`;
        throw new TransientFailure(alteredError(this.#shard, what));
      }
      part.bytes.set(chunk, part.received);
      part.received += chunk.byteLength;
      this.#options.onBytes(chunk.byteLength);
      if (part.received >= this.#most + PROGRESS_BYTES) {
        this.#most = part.received;
        progressed();
      }
      if (part.received - this.#journalled >= this.#journalBytes && part.received < byteLength)
        await this.#save();
    }
    if (part.received === byteLength) return;
    throw new TransientFailure(this.#truncatedError());
  }

  #truncatedError(): TramontaneError {
    const { name, byteLength } = this.#shard;
    const { received } = this.#part;
    return new TramontaneError('shard-truncated', `${name} ended after ${received} of ${byteLength} bytes.`, {
      nextStep: 'Load the model again; what is stored is kept.',
      data: { file: name, received },
    });
  }

  async #verify(): Promise<void> {
    if (await matchChecksum(this.#part.bytes, this.#shard)) return;
    await this.#startOver();
    throw new TransientFailure(checksumError(this.#shard.name, this.#shard, ALTERED_NEXT_STEP));
  }

  /** Takes from the journal what an earlier download received. */
  async #resume(): Promise<void> {
    const { store, modelId, onBytes } = this.#options;
    const { storedName } = this.#shard;
    const [text] = await store.listJournals(modelId, storedName);
    if (text === undefined) return;
    const journal = store.openJournal(modelId, storedName, text);
    const state = parseState(text);
    if (!hasChecksum(this.#shard) && validatorOf(state) === null) {
      await journal.clear();
      return;
    }
    await fillFromJournal(journal, await journal.list(), this.#part);
    this.#journal = journal;
    this.#state = state;
    this.#journalled = this.#part.received;
    this.#most = this.#part.received;
    onBytes(this.#part.received);
  }

  async #startOver(): Promise<void> {
    this.#options.onBytes(-this.#part.received);
    this.#part.received = 0;
    this.#journalled = 0;
    this.#state = null;
    await this.#journal?.clear();
    this.#journal = null;
  }

  /** Writes to the journal what has been received and is not there. */
  async #save(): Promise<void> {
    const { store, modelId } = this.#options;
    const { bytes, received } = this.#part;
    if (this.#state === null || received <= this.#journalled) return;
    this.#journal ??= store.openJournal(modelId, this.#shard.storedName, formatState(this.#state));
    const isWritten = await writeToJournal(
      this.#journal,
      this.#journalled,
      bytes.subarray(this.#journalled, received),
    );
    // Without room the journal is no more; from here on it would have a gap.
    this.#journalled = isWritten ? received : bytes.byteLength;
  }
}

function formatState({ etag, lastModified }: FileState): string {
  return JSON.stringify([etag, lastModified]);
}

function parseState(text: string): FileState {
  const [etag, lastModified] = JSON.parse(text) as [string | null, string | null];
  return { etag, lastModified };
}

function alteredError({ name }: StoredFile, what: string): TramontaneError {
  return new TramontaneError('shard-altered', `${name} ${what}.`, {
    nextStep: ALTERED_NEXT_STEP,
    data: { file: name },
  });
}

function missingError(url: string, { name }: StoredFile, cause: unknown): TramontaneError {
  return new TramontaneError('shard-missing', `${name} is not on the server (${url}).`, {
    nextStep: 'The model on the server is incomplete: tell whoever offers it, or use another address.',
    data: { file: name, url },
    cause,
  });
}
