/**
 * Vocabularies of every source in one form. Control tokens get private forms (base/control-text.ts), so that text
 * never encodes to them.
 */

import { hasPrivateForm, privateForm } from '../../base/control-text.ts';
import { shown } from '../../base/shown.ts';
import { invalidTokenizer } from './tokenizer-errors.ts';

/**
 * - `text`: made from text by merges.
 * - `byte`: one byte of a character that has no token (`<0x0A>`), SentencePiece only.
 * - `user-defined`: matched in text as it stands, before any merge.
 * - `control`: never made from text.
 */
export type TokenKind = 'text' | 'byte' | 'user-defined' | 'control';

/** A token that only templates may write. */
export interface ControlToken {
  id: number;
  /** As the model's makers write it: `[INST]`. */
  surface: string;
  /** As it stands in tokenizer.json and in rendered prompts. */
  privateForm: string;
}

export interface Vocabulary {
  /** What stands in tokenizer.json, by id: private forms of control tokens, surfaces of all others. */
  readonly entries: readonly string[];
  /** By entry. */
  readonly ids: ReadonlyMap<string, number>;
  readonly kinds: readonly TokenKind[];
  /** In the order of their ids. */
  readonly controlTokens: readonly ControlToken[];
}

/**
 * @param surfaces by id, without gaps
 * @param field names the source in errors
 * @throws FormatError `tokenizer-invalid` for a vocabulary that is empty, or of which an entry is empty, stands twice
 * or contains a private form
 */
export function createVocabulary(
  surfaces: readonly string[],
  kindOf: (id: number) => TokenKind,
  field: string,
): Vocabulary {
  if (surfaces.length === 0) throw invalidTokenizer(field, 'empty');
  const entries: string[] = [];
  const ids = new Map<string, number>();
  const kinds: TokenKind[] = [];
  const controlTokens: ControlToken[] = [];
  for (const [id, surface] of surfaces.entries()) {
    const kind = kindOf(id);
    if (kind !== 'control' && (surface === '' || hasPrivateForm(surface))) {
      throw invalidTokenizer(field, `entry ${id} is empty or contains a private form (U+0001 id U+0002)`);
    }
    const entry = kind === 'control' ? privateForm(id) : surface;
    const first = ids.get(entry);
    if (first !== undefined) {
      throw invalidTokenizer(field, `entries ${first} and ${id} are both ${shown(entry)}`);
    }
    ids.set(entry, id);
    entries.push(entry);
    kinds.push(kind);
    if (kind === 'control') controlTokens.push({ id, surface, privateForm: entry });
  }
  return { entries, ids, kinds, controlTokens };
}

/** Control tokens that end an answer in the models of this family, whether or not their files say so. */
const END_SURFACES: ReadonlySet<string> = new Set([
  '</s>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
]);

/** Ids that end an answer: `eosId`, then those that the file names, then those known by their surface. */
export function listStopTokens(
  eosId: number,
  named: readonly number[],
  controlTokens: readonly ControlToken[],
): number[] {
  const known = controlTokens.filter(({ surface }) => END_SURFACES.has(surface)).map(({ id }) => id);
  return [...new Set([eosId, ...named, ...known])];
}
