/**
 * Merges for vocabularies that have none: SentencePiece and tiktoken join whatever gives a token, the best token first.
 * As a list of merges: for each token, from the best to the worst, its cuts into two tokens. This is how Hugging Face's
 * converters do it, too.
 */

import { shown } from '../../base/shown.ts';
import { invalidTokenizer, unsupportedTokenizer } from './tokenizer-errors.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Finding a token's cuts takes the square of its length; Tekken's longest has 78 bytes. */
const MAX_TOKEN_LENGTH = 256;
/** Mistral's vocabularies have up to 269,443. */
const MAX_MERGES = 1 << 20;

function requireShort(token: string, field: string): void {
  if (token.length <= MAX_TOKEN_LENGTH) return;
  throw unsupportedTokenizer(field, token, [`tokens of up to ${MAX_TOKEN_LENGTH} characters`]);
}

function requireFew(merges: readonly unknown[], field: string): void {
  if (merges.length <= MAX_MERGES) return;
  throw unsupportedTokenizer(field, `a vocabulary with more than ${MAX_MERGES} merges`, ['fewer']);
}

/**
 * Merges of a tiktoken vocabulary.
 * @param tokens by rank, one character for each byte
 * @throws TramontaneError `tokenizer-unsupported` for tokens of lengths that no model has, or absurdly many merges
 */
export function mergesFromRanks(tokens: readonly string[], field: string): string[] {
  const ranks = new Map(tokens.map((token, rank) => [token, rank]));
  const merges: string[] = [];
  for (const token of tokens) {
    requireShort(token, field);
    const cuts: { left: number; right: number; at: number }[] = [];
    for (let at = 1; at < token.length; at++) {
      const left = ranks.get(token.slice(0, at));
      if (left === undefined) continue;
      const right = ranks.get(token.slice(at));
      if (right !== undefined) cuts.push({ left, right, at });
    }
    cuts.sort((a, b) => a.left - b.left || a.right - b.right);
    for (const { at } of cuts) merges.push(`${token.slice(0, at)} ${token.slice(at)}`);
    requireFew(merges, field);
  }
  return merges;
}

/**
 * Merges of a SentencePiece BPE vocabulary. Only its text pieces merge: user-defined ones are whole from the start, and
 * text never becomes a byte piece by merging.
 * @param scores by id; the higher, the earlier
 * @throws FormatError `tokenizer-invalid` for a piece with a character that is no piece: SentencePiece would build it
 * from what tokenizer.json can only spell in bytes; `tokenizer-unsupported` as {@link mergesFromRanks}
 */
export function mergesFromScores(
  { entries, ids, kinds }: Vocabulary,
  scores: readonly number[],
  field: string,
): string[] {
  const pieceId = (piece: string) => {
    const id = ids.get(piece);
    return id !== undefined && kinds[id] === 'text' ? id : undefined;
  };
  const merges: { score: number; left: string; right: string; leftId: number; rightId: number }[] = [];
  for (const [id, piece] of entries.entries()) {
    if (kinds[id] !== 'text') continue;
    requireShort(piece, field);
    const characters = [...piece];
    if (characters.length === 1) continue;
    const unknown = characters.find((character) => pieceId(character) === undefined);
    // SentencePiece never sees a space: pieces with one are out of reach for it as well.
    if (piece.includes(' ')) continue;
    if (unknown !== undefined) {
      throw invalidTokenizer(
        field,
        `entry ${id}, ${shown(piece)}, has the character ${shown(unknown)}, which is no entry`,
      );
    }
    let left = '';
    for (const character of characters.slice(0, -1)) {
      left += character;
      const right = piece.slice(left.length);
      const leftId = pieceId(left);
      const rightId = pieceId(right);
      if (leftId === undefined || rightId === undefined) continue;
      merges.push({ score: scores[id]!, left, right, leftId, rightId });
    }
    requireFew(merges, field);
  }
  // Pieces of one score are joined from the left, and in runs of one character the longer ones stand there.
  merges.sort(
    (a, b) =>
      b.score - a.score ||
      b.left.length - a.left.length ||
      b.right.length - a.right.length ||
      a.leftId - b.leftId ||
      a.rightId - b.rightId,
  );
  return merges.map(({ left, right }) => `${left} ${right}`);
}
