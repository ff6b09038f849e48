/**
 * How many bytes may really be stored, found by asking for them. Chrome does not tell (see quota.ts), but it checks: a
 * file of the origin's private file system that is made as long as what is to be stored is refused where there is no
 * room. Nothing is written: the file is a hole, and given up at once. It takes a few milliseconds.
 */
import { countModelWriters } from './model-lock.ts';

const PROBE_FILE = 'tramontane-room';
const PROBE_LOCK = 'tramontane-room';

/** A private window holds files in memory, so that asking would take it; Chrome refuses this much there at once. */
const LEAST_BYTES = 2 ** 31;
/** More than any model that runs in a page. */
export const MOST_ROOM_BYTES = 2 ** 36;
/** Of what was found, how far it may be off. */
const PRECISION = 1 / 256;

/**
 * @returns whether the only writer may store so many bytes now; null where nobody can tell, and where there are others,
 *   which could lack the room for a moment
 */
export async function hasRoom(byteLength: number): Promise<boolean | null> {
  if ((await countModelWriters()) > 1) return null;
  return withProbe((canHold) => canHold(byteLength));
}

/**
 * @returns bytes that may be stored now, rounded down a little, 64 GiB at most; null where nobody can tell, where it is
 *   below 2 GiB, and while a model is being stored
 */
export async function measureRoom(): Promise<number | null> {
  if ((await countModelWriters()) > 0) return null;
  return withProbe(async (canHold) => {
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

/** One probe at a time: two would see each other's files. */
async function withProbe<T>(probe: (canHold: (byteLength: number) => Promise<boolean>) => Promise<T>) {
  const { storage, locks } = globalThis.navigator ?? {};
  if (typeof storage?.getDirectory !== 'function' || locks === undefined) return null;
  return await locks.request(PROBE_LOCK, async () => {
    try {
      const directory = await storage.getDirectory();
      const file = await directory.getFileHandle(PROBE_FILE, { create: true });
      try {
        return await probe((byteLength) => canHold(file, byteLength));
      } finally {
        await directory.removeEntry(PROBE_FILE);
      }
    } catch {
      // No such file system here, or none that can be written: then what is stored will tell.
      return null;
    }
  });
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
