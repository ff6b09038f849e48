/**
 * Writes a Hugging Face tokenizer.json, which is what WebLLM reads. Two families: byte-level BPE (GPT-2 and everything
 * after it) and BPE as SentencePiece does it. Format: https://huggingface.co/docs/tokenizers (components by `type`).
 */

import { privateForm } from '../../base/control-text.ts';
import type { ControlToken, Vocabulary } from './vocabulary.ts';

export type TokenizerFamily = 'byte-level' | 'sentencepiece';

export interface BuiltTokenizer {
  /** Content of tokenizer.json. */
  tokenizerJson: string;
  family: TokenizerFamily;
  /**
   * True where every run of text, at the start or after a control token, is encoded as if a space stood before it,
   * and decoding drops one space at the start.
   */
  addsSpacePrefix: boolean;
  /** In the order of their ids. */
  controlTokens: readonly ControlToken[];
  /** Null where the source names none. */
  bosId: number | null;
  eosId: number;
  /** Ids that end an answer, `eosId` first. */
  stopTokenIds: readonly number[];
  /** Ids are 0 to `vocabularySize` - 1, without gaps. */
  vocabularySize: number;
}

/** How text becomes the symbols that merges work on. */
export type Pipeline =
  | {
      family: 'byte-level';
      /** The `normalizer` object of tokenizer.json. */
      normalizer: object | null;
      /** The `pre_tokenizer` object of tokenizer.json. */
      preTokenizer: object;
      /** A word that is itself in the vocabulary becomes that token, even where the merges would not get there. */
      ignoreMerges: boolean;
    }
  | { family: 'sentencepiece'; addsSpacePrefix: boolean };

/** Stands for a space in SentencePiece's vocabularies: U+2581. */
export const SPACE_MARK = '▁';

/** As surfaces of user-defined tokens stand in the normalised text. */
const markSpaces = (text: string) => text.replaceAll(' ', SPACE_MARK);

interface Components {
  added: object[];
  normalizer: object | null;
  preTokenizer: object | null;
  decoder: object;
  model: { byte_fallback: boolean; ignore_merges: boolean };
  /** By id, in place of the vocabulary's own. */
  entries: readonly string[];
}

function addedToken(id: number, content: string, options: { special: boolean; normalized: boolean }) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, ...options };
}

const addedControls = ({ controlTokens }: Vocabulary) =>
  controlTokens.map((token) => addedToken(token.id, token.privateForm, { special: true, normalized: false }));

function listUserDefined({ entries, kinds }: Vocabulary): { id: number; surface: string }[] {
  return entries.map((surface, id) => ({ id, surface })).filter(({ id }) => kinds[id] === 'user-defined');
}

function byteLevel(vocabulary: Vocabulary, pipeline: Pipeline & { family: 'byte-level' }): Components {
  return {
    added: [
      ...addedControls(vocabulary),
      ...listUserDefined(vocabulary).map(({ id, surface }) =>
        addedToken(id, surface, { special: false, normalized: false }),
      ),
    ],
    normalizer: pipeline.normalizer,
    preTokenizer: pipeline.preTokenizer,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { byte_fallback: false, ignore_merges: pipeline.ignoreMerges },
    entries: vocabulary.entries,
  };
}

const replace = (pattern: { String: string } | { Regex: string }, content: string) => ({
  type: 'Replace',
  pattern,
  content,
});

/**
 * The normaliser runs on every part between control tokens. SentencePiece puts its space before user-defined tokens are
 * looked for and none after them, so they are found in the normalised text; and since the library normalises what it
 * looks for as well, they too have private forms, which no space is put before.
 */
function sentencePiece(vocabulary: Vocabulary, addsSpacePrefix: boolean): Components {
  // The longest first, as SentencePiece matches them.
  const userDefined = listUserDefined(vocabulary).sort((a, b) => b.surface.length - a.surface.length);
  const entries = [...vocabulary.entries];
  for (const { id } of userDefined) entries[id] = privateForm(id);
  return {
    added: [
      ...addedControls(vocabulary),
      ...userDefined.map(({ id }) => addedToken(id, privateForm(id), { special: false, normalized: true })),
    ],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(addsSpacePrefix ? [replace({ Regex: '\\A(?!\u0001)' }, SPACE_MARK)] : []),
        replace({ String: ' ' }, SPACE_MARK),
        ...userDefined.map(({ id, surface }) => replace({ String: markSpaces(surface) }, privateForm(id))),
      ],
    },
    preTokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        ...userDefined.map(({ id, surface }) => replace({ String: privateForm(id) }, surface)),
        replace({ String: SPACE_MARK }, ' '),
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(addsSpacePrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: { byte_fallback: true, ignore_merges: false },
    entries,
  };
}

/** Written by hand: as keys of an object, tokens such as `7` or `__proto__` would be reordered or lost. */
function vocabularyJson(entries: readonly string[]): string {
  return `{${entries.map((entry, id) => `${JSON.stringify(entry)}:${id}`).join(',')}}`;
}

/** @param merges by rank, each two tokens and one space */
function composeTokenizerJson(vocabulary: Vocabulary, merges: readonly string[], pipeline: Pipeline): string {
  const parts =
    pipeline.family === 'byte-level'
      ? byteLevel(vocabulary, pipeline)
      : sentencePiece(vocabulary, pipeline.addsSpacePrefix);
  const model = {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    ...parts.model,
  };
  const json = [
    '"version":"1.0","truncation":null,"padding":null',
    `"added_tokens":${JSON.stringify(parts.added)}`,
    `"normalizer":${JSON.stringify(parts.normalizer)}`,
    `"pre_tokenizer":${JSON.stringify(parts.preTokenizer)}`,
    '"post_processor":null',
    `"decoder":${JSON.stringify(parts.decoder)}`,
    `"model":{${JSON.stringify(model).slice(1, -1)},"vocab":${vocabularyJson(parts.entries)},"merges":${JSON.stringify(merges)}}`,
  ];
  return `{${json.join(',')}}`;
}

/** The tokenizer of a vocabulary whose parts have been checked. */
export function createTokenizer(
  vocabulary: Vocabulary,
  merges: readonly string[],
  pipeline: Pipeline,
  ends: { bosId: number | null; eosId: number; stopTokenIds: readonly number[] },
): BuiltTokenizer {
  return {
    tokenizerJson: composeTokenizerJson(vocabulary, merges, pipeline),
    family: pipeline.family,
    addsSpacePrefix: pipeline.family === 'sentencepiece' && pipeline.addsSpacePrefix,
    controlTokens: vocabulary.controlTokens,
    ...ends,
    vocabularySize: vocabulary.entries.length,
  };
}
