/** Fixtures of the tokenizer tests, in the form in which the code under test gets them. */
import { readFileSync } from 'node:fs';
import type { GgufMetadata, GgufValue } from '../../src/formats/gguf/gguf.ts';

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

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')) as T;
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
