/**
 * What is common to SentencePiece vocabularies, wherever they come from: a piece for each byte (byte fallback), so that
 * no text is lost, and U+2581 for spaces. Encoding: https://github.com/google/sentencepiece (bpe_model.cc, normalizer.cc)
 */

import { unsupportedTokenizer } from './tokenizer-errors.ts';
import type { TokenKind } from './vocabulary.ts';

/**
 * Each is a step of normalising and of decoding (tokenizer-json.ts), and a regular expression: a thousand take half a
 * second to load, many thousands minutes. Models have a few hundred at most.
 */
const MAX_USER_DEFINED = 1024;

/** @returns null for a piece that is none of `<0x00>` to `<0xFF>`, written as SentencePiece writes them */
export function byteOfPiece(piece: string): number | null {
  const hex = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
  return hex === undefined ? null : Number.parseInt(hex, 16);
}

/**
 * @param pieces of kind `byte`
 * @throws TramontaneError `tokenizer-unsupported` for a vocabulary that has not one for each byte: what it cannot spell
 * would vanish from the prompt
 */
export function requireBytePieces(pieces: Iterable<string>, field: string): void {
  const found = new Set<number>();
  for (const piece of pieces) {
    const byte = byteOfPiece(piece);
    if (byte !== null) found.add(byte);
  }
  if (found.size < 256) {
    throw unsupportedTokenizer(field, `a vocabulary with ${found.size} of 256 byte pieces`, [
      'byte fallback (a piece for each byte)',
    ]);
  }
}

/** @throws TramontaneError `tokenizer-unsupported` for more user-defined tokens than a tokenizer.json can hold in use */
export function requireFewUserDefined(kinds: readonly TokenKind[], field: string): void {
  const count = kinds.filter((kind) => kind === 'user-defined').length;
  if (count <= MAX_USER_DEFINED) return;
  throw unsupportedTokenizer(field, `a vocabulary with ${count} user-defined tokens`, [
    `up to ${MAX_USER_DEFINED}`,
  ]);
}
