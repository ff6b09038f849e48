import { describe, expect, test } from 'vitest';
import {
  hasFullFixture,
  readFixture,
  readFullFixture,
  tekkenFile,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../../tests/tools/tokenizer-fixtures.ts';
import { isTramontaneError } from '../../base/errors.ts';
import { buildTokenizerJson } from './build-tokenizer.ts';
import { buildTokenizerFromTekken } from './tekken.ts';

const fixture = readFixture<VocabularyFixture>('tekken-small.json');

test.each(['v11', 'v13'])('%s: the same tokenizer as from a GGUF file of the model', (version) => {
  const built = buildTokenizerFromTekken(JSON.stringify(tekkenFile(fixture, version)));
  expect(built).toEqual(buildTokenizerJson(vocabularyMetadata(fixture)));
});

test.each(['v3', 'v7'])('%s: special tokens need no list', (version) => {
  const built = buildTokenizerFromTekken(JSON.stringify(tekkenFile(fixture, version)));
  expect(built).toMatchObject({ bosId: 1, eosId: 2, stopTokenIds: [2], vocabularySize: 5040 });
  const surfaces = built.controlTokens.map((token) => token.surface);
  expect(surfaces).toHaveLength(40);
  // Those that the list of mistral-common has; v11 added [ARGS] and [CALL_ID].
  expect(surfaces.slice(0, 20)).toEqual(fixture.controls.slice(0, 20));
  expect(surfaces.slice(20)).toEqual(Array.from({ length: 20 }, (_, i) => `<SPECIAL_${i + 20}>`));
});

test('ranks beyond the size of the vocabulary are left out', () => {
  const file = tekkenFile(fixture, 'v7');
  file.config.default_vocab_size = 40 + 300;
  const built = buildTokenizerFromTekken(JSON.stringify(file));
  expect(built.vocabularySize).toBe(340);
  const { model } = JSON.parse(built.tokenizerJson) as { model: { vocab: object; merges: string[] } };
  expect(Object.keys(model.vocab)).toHaveLength(340);
  const kept = new Set(fixture.tokens.slice(0, 300));
  const fits = (merge: string) =>
    [...merge.split(' '), merge.replace(' ', '')].every((token) => kept.has(token));
  expect(model.merges).toEqual(fixture.merges.filter(fits));
});

describe.skipIf(!hasFullFixture('tekken-full.json'))('the whole of Tekken', () => {
  test('131,072 tokens in seconds, and the merges of the reference conversion', () => {
    const whole = readFullFixture<VocabularyFixture>('tekken-full.json');
    const text = JSON.stringify(tekkenFile(whole, 'v11'));
    const start = performance.now();
    const { tokenizerJson } = buildTokenizerFromTekken(text);
    expect(performance.now() - start).toBeLessThan(20_000);
    const { model } = JSON.parse(tokenizerJson) as { model: { merges: string[] } };
    expect(model.merges).toEqual(whole.merges);
  });
});

type File = ReturnType<typeof tekkenFile> & Record<string, unknown>;

describe('refused, naming the field', () => {
  const special = fixture.controls.map((token_str, rank) => ({ rank, token_str, is_control: true }));
  const cases: [title: string, change: (file: File) => unknown, field: string, code?: string][] = [
    ['no config', (file) => Object.assign(file, { config: undefined }), 'config'],
    ['no version', (file) => Object.assign(file.config, { version: undefined }), 'config.version'],
    [
      'another version',
      (file) => Object.assign(file.config, { version: 'v15' }),
      'config.version',
      'tokenizer-unsupported',
    ],
    [
      'a property of Object',
      (file) => Object.assign(file.config, { version: 'constructor' }),
      'config.version',
      'tokenizer-unsupported',
    ],
    [
      'another pattern',
      (file) => Object.assign(file.config, { pattern: '.' }),
      'config.pattern',
      'tokenizer-unsupported',
    ],
    ['no pattern', (file) => Object.assign(file.config, { pattern: 1 }), 'config.pattern'],
    [
      'a size beyond the vocabulary',
      (file) => Object.assign(file.config, { default_vocab_size: 5041 }),
      'config.default_vocab_size',
    ],
    [
      'a size without the bytes',
      (file) => Object.assign(file.config, { default_vocab_size: 200 }),
      'config.default_vocab_size',
    ],
    [
      'absurdly many special tokens',
      (file) => Object.assign(file.config, { default_num_special_tokens: 1e9 }),
      'config.default_num_special_tokens',
    ],
    [
      'half a special token',
      (file) => Object.assign(file.config, { default_num_special_tokens: 2.5 }),
      'config.default_num_special_tokens',
    ],
    ['no vocabulary', (file) => Object.assign(file, { vocab: null }), 'vocab'],
    ['a vocabulary that is no list', (file) => Object.assign(file, { vocab: {} }), 'vocab'],
    ['an entry that is none', (file) => Object.assign(file.vocab, { 300: null }), 'vocab[300]'],
    ['ranks out of order', (file) => Object.assign(file.vocab[300]!, { rank: 301 }), 'vocab[300].rank'],
    [
      'bytes that are no base64',
      (file) => Object.assign(file.vocab[300]!, { token_bytes: '*' }),
      'vocab[300].token_bytes',
    ],
    [
      'bytes that are no text',
      (file) => Object.assign(file.vocab[300]!, { token_bytes: 5 }),
      'vocab[300].token_bytes',
    ],
    [
      'bytes out of order',
      (file) => Object.assign(file.vocab[65]!, { token_bytes: 'QQE=' }),
      'vocab[65].token_bytes',
    ],
    ['an empty token', (file) => Object.assign(file.vocab[300]!, { token_bytes: '' }), 'vocab'],
    ['a token twice', (file) => Object.assign(file.vocab[301]!, file.vocab[300], { rank: 301 }), 'vocab'],
    [
      'no list of special tokens',
      (file) => Object.assign(file, { special_tokens: undefined }),
      'special_tokens',
    ],
    ['special tokens in an object', (file) => Object.assign(file, { special_tokens: {} }), 'special_tokens'],
    [
      'too many special tokens',
      (file) => Object.assign(file, { special_tokens: [...special, { rank: 40, token_str: 'x' }] }),
      'special_tokens',
    ],
    [
      'special tokens out of order',
      (file) => Object.assign(file, { special_tokens: [special[1], special[0]] }),
      'special_tokens[0].rank',
    ],
    [
      'a special token without a name',
      (file) => Object.assign(file, { special_tokens: [{ rank: 0 }] }),
      'special_tokens[0].token_str',
    ],
    [
      'a special token twice',
      (file) => Object.assign(file, { special_tokens: [special[0], { ...special[0], rank: 1 }] }),
      'special_tokens',
    ],
    ['no </s>', (file) => Object.assign(file, { special_tokens: special.slice(0, 2) }), 'special_tokens'],
  ];

  test.each(cases)('%s', (_, change, field, code = 'tokenizer-invalid') => {
    const file = tekkenFile(fixture, 'v11') as File;
    change(file);
    expectRefused(JSON.stringify(file), field, code);
  });

  test('text that is no JSON, or no object', () => {
    expectRefused('{"config":', 'tekken.json', 'tokenizer-invalid');
    expectRefused('', 'tekken.json', 'tokenizer-invalid');
    expectRefused('[]', 'tekken.json', 'tokenizer-invalid');
    expectRefused('null', 'tekken.json', 'tokenizer-invalid');
  });
});

function expectRefused(text: string, field: string, code: string): void {
  try {
    buildTokenizerFromTekken(text);
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    expect(error.code).toBe(code);
    expect(error.data.field).toBe(field);
    expect(error.message).toContain(field);
    return;
  }
  expect.unreachable('nothing was thrown');
}
