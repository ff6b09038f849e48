/** How much the browser lets this origin store. */
import { abortable, delay } from '../base/abort.ts';
import { TramontaneError } from '../base/errors.ts';
import { hasRoom, MOST_ROOM_BYTES, measureRoom } from './room.ts';

export interface StorageEstimate {
  usedBytes: number;
  quotaBytes: number;
  /** There may be more than the quota. */
  isLeast?: true;
}

/**
 * What Chrome tells since version 138, whatever the disk has: usage + 10 GiB, or + the disk's size where that is less, so
 * that private windows do not show. What it grants is as large as ever, and found by asking for it (room.ts).
 * https://chromestatus.com/feature/4977371751645184
 */
const UNTOLD_FREE_BYTES = 10 * 2 ** 30;

/** What the browser tells, and means: quota less usage; null where it does not tell. */
async function readTold(): Promise<{ usedBytes: number; freeBytes: number | null } | null> {
  const manager = globalThis.navigator?.storage;
  if (typeof manager?.estimate !== 'function') return null;
  const { usage, quota } = await manager.estimate();
  if (usage === undefined || quota === undefined) return null;
  const freeBytes = Math.max(0, quota - usage);
  return { usedBytes: usage, freeBytes: freeBytes === UNTOLD_FREE_BYTES ? null : freeBytes };
}

/** @returns null where the browser neither tells how much there is to have nor lets it be found (and in Node). */
export async function estimateStorage(): Promise<StorageEstimate | null> {
  const told = await readTold();
  if (told === null) return null;
  const { usedBytes } = told;
  const room = await measureRoom();
  const isLeast = room === MOST_ROOM_BYTES;
  if (told.freeBytes !== null) {
    const found = room === null || isLeast ? told.freeBytes : Math.min(room, told.freeBytes);
    return { usedBytes, quotaBytes: usedBytes + found };
  }
  return room === null ? null : { usedBytes, quotaBytes: usedBytes + room, ...(isLeast && { isLeast }) };
}

/**
 * Asks the browser not to evict what is stored. Only pages can; in a worker nothing happens.
 * @returns whether it agreed
 */
export async function requestPersistence(): Promise<boolean> {
  const manager = globalThis.navigator?.storage;
  if (typeof manager?.persist !== 'function') return false;
  // Asking again may show a prompt.
  return (await manager.persisted()) || (await manager.persist());
}

/** A browser may leave the answer to a person, who need not give one. */
const PATIENCE_MS = 10_000;

/**
 * Asks the browser to keep what is about to be stored, and waits a while for the answer: with it, there may be more
 * room. Whatever it is, the model can be stored.
 * @throws `signal.reason` when aborted
 */
export async function askToPersist(
  storage: Pick<OriginStorage, 'requestPersistence'>,
  signal?: AbortSignal,
): Promise<void> {
  const waiting = new AbortController();
  const answer = storage.requestPersistence().catch(() => false);
  try {
    await abortable(Promise.race([answer, delay(PATIENCE_MS, waiting.signal)]), signal);
  } finally {
    waiting.abort();
  }
}

/** Chrome deletes what Blobs held some seconds after their records, and counts it until then. */
const DELETION_MS = 6000;
const DELETION_STEP_MS = 1000;

/**
 * Refuses what will not fit, before the first byte of it is fetched; asked by the model's writer. Where nobody can
 * tell, nothing is refused; what was deleted just now is waited for.
 * @throws TramontaneError `storage-quota`; `signal.reason` when aborted
 */
export async function requireRoom(neededBytes: number, signal?: AbortSignal): Promise<void> {
  if (neededBytes <= 0) return;
  const freeBytes = (await readTold())?.freeBytes ?? null;
  if (freeBytes !== null && neededBytes > freeBytes) throw noRoom(neededBytes, freeBytes);
  for (let waitedMs = 0; (await hasRoom(neededBytes, signal)) === false; waitedMs += DELETION_STEP_MS) {
    if (waitedMs >= DELETION_MS) throw noRoom(neededBytes, null);
    await delay(DELETION_STEP_MS, signal);
  }
}

function noRoom(neededBytes: number, freeBytes: number | null): TramontaneError {
  const room = freeBytes === null ? 'no room for them' : `room for ${freeBytes}`;
  return new TramontaneError(
    'storage-quota',
    `The model needs ${neededBytes} more bytes; the browser has ${room}.`,
    {
      nextStep: 'Free disk space, or delete a stored model, and load again: what is stored already is kept.',
      data: { needed: neededBytes, ...(freeBytes !== null && { free: freeBytes }) },
    },
  );
}

/** @returns whether the browser has agreed not to evict what is stored; null where it does not tell. */
export async function isPersisted(): Promise<boolean | null> {
  const manager = globalThis.navigator?.storage;
  return typeof manager?.persisted === 'function' ? manager.persisted() : null;
}

/** What this origin may store, as pages ask for it. */
export interface OriginStorage {
  estimate(): Promise<StorageEstimate | null>;
  isPersisted(): Promise<boolean | null>;
  requestPersistence(): Promise<boolean>;
}

export const originStorage: OriginStorage = {
  estimate: estimateStorage,
  isPersisted,
  requestPersistence,
};
