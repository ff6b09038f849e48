/**
 * How many bytes may really be stored, found by asking for them. Chrome does not tell (see quota.ts), but it checks: a
 * file of the origin's private file system that is made as long as what is to be stored is refused where there is no
 * room. Nothing is written, and the file is given up at once: it takes a few milliseconds.
 */
import { abortable } from '../base/abort.ts';
import { countModelWriters } from './model-lock.ts';

const PROBE = 'tramontane-room';
/** For another tab's probe to end; a file system that hangs must not hold up those who only ask. */
const PATIENCE_MS = 3000;

/** A private window holds files in memory, so that asking would take it; Chrome refuses this much there at once. */
const LEAST_BYTES = 2 ** 31;
/** More than any model that runs in a page. */
export const MOST_ROOM_BYTES = 2 ** 36;
/** Of what was found, how far it may be off. */
const PRECISION = 1 / 256;

type CanHold = (byteLength: number) => Promise<boolean>;

/**
 * @returns whether the only writer may store so many bytes now; null where nobody can tell, and where there are others,
 *   which could lack the room for a moment
 * @throws `signal.reason` when aborted
 */
export async function hasRoom(byteLength: number, signal?: AbortSignal): Promise<boolean | null> {
  return withProbe(1, (canHold) => canHold(byteLength), signal);
}

/**
 * @returns bytes that may be stored now, rounded down a little, 64 GiB at most; null where nobody can tell, where it is
 *   below 2 GiB, and while a model is being stored
 */
export async function measureRoom(): Promise<number | null> {
  return withProbe(0, async (canHold) => {
    if (!(await canHold(LEAST_BYTES))) return null;
    let held = LEAST_BYTES;
    while (held < MOST_ROOM_BYTES && (await canHold(held * 2))) held *= 2;
    if (held === MOST_ROOM_BYTES) return held;
    for (let step = held / 2; step >= held * PRECISION; step /= 2) {
      if (await canHold(held + step)) held += step;
    }
    return held;
  });
}

/**
 * One probe at a time, in all tabs: two would see each other's files. A writer probes before it writes, so one that comes
 * later waits here until this probe has ended.
 * @param writers how many models may be being written meanwhile
 */
async function withProbe<T>(
  writers: number,
  probe: (canHold: CanHold) => Promise<T>,
  signal?: AbortSignal,
): Promise<T | null> {
  const { storage, locks } = globalThis.navigator ?? {};
  if (typeof storage?.getDirectory !== 'function' || locks === undefined) return null;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const waiting = signal === undefined ? patience : AbortSignal.any([signal, patience]);
  try {
    const probing = locks.request(PROBE, { signal: waiting }, async () => {
      if ((await countModelWriters()) > writers) return null;
      const directory = await storage.getDirectory();
      await removeProbes(directory);
      const file = await directory.getFileHandle(PROBE, { create: true });
      try {
        // Safari before version 26.
        if (typeof file.createWritable !== 'function') return null;
        return await probe((byteLength) => canHold(file, byteLength));
      } finally {
        await removeProbes(directory);
      }
    });
    return await abortable(probing, waiting);
  } catch (error) {
    signal?.throwIfAborted();
    // No such file system here, or one that fails or hangs: then what is stored will tell.
    if (error instanceof DOMException) return null;
    throw error;
  }
}

/** With what a browser that was killed in the middle has left: its swap files count as stored. */
async function removeProbes(directory: FileSystemDirectoryHandle): Promise<void> {
  const names: string[] = [];
  for await (const name of directory.keys()) names.push(name);
  for (const name of names) if (name.startsWith(PROBE)) await directory.removeEntry(name);
}

/** @throws whatever else than lack of room ends it */
async function canHold(file: FileSystemFileHandle, byteLength: number): Promise<boolean> {
  const writable = await file.createWritable();
  try {
    await writable.truncate(byteLength);
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'QuotaExceededError') return false;
    throw error;
  } finally {
    // A stream that has failed is closed already.
    await writable.abort().catch(() => undefined);
  }
}
