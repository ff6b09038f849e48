/** Parts of files to and from a journal. */
import { isTramontaneError } from '../../base/errors.ts';
import type { Journal, JournalPiece } from '../../storage/journal.ts';
import type { PartialBytes } from './remote-file.ts';

/** Bytes that are written to a journal at once: on each connection as many may be lost when a tab is killed. */
export const JOURNAL_BYTES = 2 << 20;

/**
 * Fills what is missing in a part as far as the journal reaches without a gap.
 * @param entries what the journal lists
 */
export async function fillFromJournal(
  journal: Journal,
  entries: readonly JournalPiece[],
  part: PartialBytes,
): Promise<void> {
  while (part.received < part.bytes.byteLength) {
    const at = part.offset + part.received;
    const entry = entries.find(({ offset, byteLength }) => offset <= at && at < offset + byteLength);
    const bytes = entry === undefined ? null : await journal.read(entry);
    if (entry === undefined || bytes === null) return;
    const from = at - entry.offset;
    const taken = bytes.subarray(from, from + part.bytes.byteLength - part.received);
    part.bytes.set(taken, part.received);
    part.received += taken.byteLength;
  }
}

/**
 * Where room is scarce it is for the model: the journal then is deleted, and the price is to fetch again after an
 * interruption.
 * @returns false where there is no room
 */
export async function writeToJournal(
  journal: Journal,
  offset: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    await journal.write(offset, bytes);
    return true;
  } catch (error) {
    if (!isTramontaneError(error) || error.code !== 'storage-quota') throw error;
    await journal.clear();
    return false;
  }
}
