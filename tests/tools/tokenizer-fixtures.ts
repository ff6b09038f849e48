/** Fixtures of the tokenizer tests, in the form in which the code under test gets them. */
import { existsSync, readFileSync } from 'node:fs';
import type { GgufMetadata, GgufValue } from '../../src/formats/gguf/gguf.ts';
import { BYTE_ALPHABET } from '../../src/formats/tokenizer/byte-alphabet.ts';
import { TEKKEN_PATTERN } from '../../src/formats/tokenizer/pre-tokenizers.ts';

/** What `scripts/oracle/tokenizer_goldens.py` writes for a vocabulary. */
export interface VocabularyFixture {
  pre: string;
  /** Surfaces of the control tokens: ids from 0. */
  controls: string[];
  /** The other tokens, in the byte alphabet. */
  tokens: string[];
  merges: string[];
  bos: number;
  eos: number;
  /** Reference ids of each string of `tokenizer-strings.json`. */
  ids: number[][];
}

/** What it writes for a SentencePiece vocabulary: everything by id. */
export interface SentencePieceFixture {
  tokens: string[];
  scores: number[];
  /** As in GGUF: 1 text, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  types: number[];
  bos: number;
  eos: number;
  /** Of the lines that transformers' merges make. */
  mergesSha256: string;
  ids: number[][];
}

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')) as T;
}

/**
 * Whole vocabularies are too large to commit: `tokenizer_goldens.py` makes them, and the full suite reads them where
 * `.cache` has them.
 */
const fullFixture = (name: string) => new URL(`../../.cache/${name}`, import.meta.url);

export const hasFullFixture = (name: string): boolean =>
  process.env.TRAMONTANE_FULL !== undefined && existsSync(fullFixture(name));

export function readFullFixture<T>(name: string): T {
  return JSON.parse(readFileSync(fullFixture(name), 'utf8')) as T;
}

export const string = (value: string): GgufValue => ({ type: 'string', value });
export const integer = (value: number): GgufValue => ({ type: 'uint32', value });
export const strings = (value: readonly string[]): GgufValue => ({
  type: 'array',
  elementType: 'string',
  value,
});
export const integers = (value: readonly number[]): GgufValue => ({
  type: 'array',
  elementType: 'int32',
  value,
});

export const floats = (value: readonly number[]): GgufValue => ({
  type: 'array',
  elementType: 'float32',
  value,
});

/** The metadata that a GGUF file with this vocabulary has. */
export function vocabularyMetadata(fixture: Omit<VocabularyFixture, 'ids'>): GgufMetadata {
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', string('gpt2')],
    ['tokenizer.ggml.pre', string(fixture.pre)],
    ['tokenizer.ggml.tokens', strings([...fixture.controls, ...fixture.tokens])],
    [
      'tokenizer.ggml.token_type',
      integers([...fixture.controls.map(() => 3), ...fixture.tokens.map(() => 1)]),
    ],
    ['tokenizer.ggml.merges', strings(fixture.merges)],
    ['tokenizer.ggml.bos_token_id', integer(fixture.bos)],
    ['tokenizer.ggml.eos_token_id', integer(fixture.eos)],
  ]);
}

/** The same for a SentencePiece vocabulary. */
export function sentencePieceMetadata(
  fixture: Omit<SentencePieceFixture, 'ids' | 'mergesSha256'>,
): GgufMetadata {
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', string('llama')],
    ['tokenizer.ggml.pre', string('default')],
    ['tokenizer.ggml.tokens', strings(fixture.tokens)],
    ['tokenizer.ggml.scores', floats(fixture.scores)],
    ['tokenizer.ggml.token_type', integers(fixture.types)],
    ['tokenizer.ggml.bos_token_id', integer(fixture.bos)],
    ['tokenizer.ggml.eos_token_id', integer(fixture.eos)],
    ['tokenizer.ggml.unknown_token_id', integer(0)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.ggml.add_eos_token', { type: 'bool', value: false }],
  ]);
}

/** The tekken.json of a vocabulary, as the object that it parses to. Versions before v11 list no special tokens. */
export function tekkenFile(fixture: Omit<VocabularyFixture, 'ids'>, version: string) {
  const bytes = new Map(BYTE_ALPHABET.map((character, byte) => [character, byte]));
  const specialCount = fixture.controls.length;
  return {
    config: {
      pattern: TEKKEN_PATTERN,
      num_vocab_tokens: fixture.tokens.length,
      default_vocab_size: specialCount + fixture.tokens.length,
      default_num_special_tokens: specialCount,
      version,
    },
    vocab: fixture.tokens.map((token, rank) => ({
      rank,
      token_bytes: Buffer.from([...token].map((character) => bytes.get(character)!)).toString('base64'),
      token_str: null as string | null,
    })),
    ...(version === 'v3' || version === 'v7'
      ? {}
      : {
          special_tokens: fixture.controls.map((token_str, rank) => ({ rank, token_str, is_control: true })),
        }),
  };
}
