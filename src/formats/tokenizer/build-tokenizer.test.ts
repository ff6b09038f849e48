import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { openSmolLm2 } from '../../../tests/tools/smollm2.ts';
import {
  floats,
  hasFullFixture,
  integer,
  integers,
  readFixture,
  readFullFixture,
  type SentencePieceFixture,
  sentencePieceMetadata,
  string,
  strings,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer } from '../../../tests/tools/webllm-tokenizer.ts';
import { isTramontaneError } from '../../base/errors.ts';
import type { GgufMetadata, GgufValue } from '../gguf/gguf.ts';
import { parseGguf } from '../gguf/parse-gguf.ts';
import { buildTokenizerJson } from './build-tokenizer.ts';

test('SmolLM2’s GGUF gives its facts', async () => {
  const source = await openSmolLm2();
  const built = buildTokenizerJson((await parseGguf(source)).metadata);
  await source.close();
  expect(built).toMatchObject({
    family: 'byte-level',
    addsSpacePrefix: false,
    bosId: 1,
    eosId: 2,
    stopTokenIds: [2, 0],
    vocabularySize: 49152,
  });
  expect(built.controlTokens).toHaveLength(17);
});

test('control tokens are known by id, surface and private form', () => {
  const fixture = readFixture<VocabularyFixture>('tekken-small.json');
  const built = buildTokenizerJson(vocabularyMetadata(fixture));
  expect(built.controlTokens).toHaveLength(fixture.controls.length);
  expect(built.controlTokens[3]).toEqual({ id: 3, surface: '[INST]', privateForm: '\u00013\u0002' });
  expect(built).toMatchObject({ bosId: 1, eosId: 2, stopTokenIds: [2] });
});

/** Each case is metadata with one field changed, or removed where the value is null. */
function expectRefused(base: GgufMetadata, field: string, value: GgufValue | null, code: string): void {
  const metadata = new Map(base);
  if (value === null) metadata.delete(field);
  else metadata.set(field, value);
  try {
    buildTokenizerJson(metadata);
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    expect(error.code).toBe(code);
    expect(error.data.field).toBe(field);
    expect(error.message).toContain(field);
    return;
  }
  expect.unreachable('nothing was thrown');
}

describe('byte-level', () => {
  const base = {
    pre: 'tekken',
    controls: ['<s>', '</s>'],
    tokens: ['a', 'b', 'ab', '<', '>', 'x', '<x', '<x>', '__proto__', '7'],
    merges: ['a b', '< x', '<x >'],
    bos: 0,
    eos: 1,
  };

  test('user-defined tokens are matched in text; unused and unknown ones are not', async () => {
    const metadata = new Map(vocabularyMetadata(base));
    //                                            <s> </s> a  b  ab <  >  x  <x <x> __proto__ 7
    metadata.set('tokenizer.ggml.token_type', integers([3, 3, 1, 1, 5, 1, 1, 1, 1, 4, 1, 1]));
    const built = buildTokenizerJson(metadata);
    expect(built.controlTokens.map((token) => token.surface)).toEqual(['<s>', '</s>', 'ab']);
    const tokenizer = await loadWebLlmTokenizer(built.tokenizerJson);
    expect([...tokenizer.encode('ab<x>b7')]).toEqual([2, 3, 9, 3, 11]);
    expect(tokenizer.idToToken(10)).toBe('__proto__');
    tokenizer.dispose();
  });

  test('merges cannot put a control token together', async () => {
    const metadata = new Map(vocabularyMetadata(base));
    metadata.set('tokenizer.ggml.token_type', integers([3, 3, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1]));
    const tokenizer = await loadWebLlmTokenizer(buildTokenizerJson(metadata).tokenizerJson);
    expect([...tokenizer.encode('<x>ab')]).toEqual([8, 6, 4]);
    tokenizer.dispose();
  });

  test('every id that ends an answer is named', () => {
    const metadata = new Map(vocabularyMetadata({ ...base, controls: ['<s>', '</s>', '<|eot_id|>', '<e>'] }));
    metadata.set('tokenizer.ggml.eom_token_id', integer(3));
    expect(buildTokenizerJson(metadata).stopTokenIds).toEqual([1, 3, 2]);
  });

  test.each<[string, string, GgufValue | null, string]>([
    ['another model', 'tokenizer.ggml.model', string('bert'), 'tokenizer-unsupported'],
    ['a property of Map', 'tokenizer.ggml.model', string('size'), 'tokenizer-unsupported'],
    ['another pre-tokenizer', 'tokenizer.ggml.pre', string('qwen2'), 'tokenizer-unsupported'],
    ['a property of Object', 'tokenizer.ggml.pre', string('constructor'), 'tokenizer-unsupported'],
    ['no pre-tokenizer', 'tokenizer.ggml.pre', null, 'tokenizer-unsupported'],
    ['no model', 'tokenizer.ggml.model', null, 'tokenizer-invalid'],
    ['a model of another type', 'tokenizer.ggml.model', integer(1), 'tokenizer-invalid'],
    ['no tokens', 'tokenizer.ggml.tokens', null, 'tokenizer-invalid'],
    [
      'an empty token',
      'tokenizer.ggml.tokens',
      strings(['<s>', '</s>', '', 'b', 'ab', '<', '>', 'x', '<x', '<x>', '_', '7']),
      'tokenizer-invalid',
    ],
    ['tokens of another type', 'tokenizer.ggml.tokens', integers([1]), 'tokenizer-invalid'],
    [
      'a token twice',
      'tokenizer.ggml.tokens',
      strings(['<s>', '</s>', 'a', 'a', 'ab', '<', '>', 'x', '<x', '<x>', '_', '7']),
      'tokenizer-invalid',
    ],
    [
      'a forged private form',
      'tokenizer.ggml.tokens',
      strings(['<s>', '</s>', 'a', 'b', 'ab', '<', '>', 'x', '<x', '<x>', '\u00010\u0002', '7']),
      'tokenizer-invalid',
    ],
    ['no token types', 'tokenizer.ggml.token_type', null, 'tokenizer-invalid'],
    ['too few token types', 'tokenizer.ggml.token_type', integers([1, 1]), 'tokenizer-invalid'],
    ['a strange token type', 'tokenizer.ggml.token_type', integers(Array(12).fill(9)), 'tokenizer-invalid'],
    ['no merges', 'tokenizer.ggml.merges', null, 'tokenizer-invalid'],
    ['a merge of one token', 'tokenizer.ggml.merges', strings(['ab']), 'tokenizer-invalid'],
    ['a merge of three tokens', 'tokenizer.ggml.merges', strings(['a b x']), 'tokenizer-invalid'],
    ['a merge of strangers', 'tokenizer.ggml.merges', strings(['a x']), 'tokenizer-invalid'],
    ['no end token', 'tokenizer.ggml.eos_token_id', null, 'tokenizer-invalid'],
    ['an end token that is not there', 'tokenizer.ggml.eos_token_id', integer(12), 'tokenizer-invalid'],
    ['a start token that is not there', 'tokenizer.ggml.bos_token_id', integer(-1), 'tokenizer-invalid'],
    ['a start token in words', 'tokenizer.ggml.bos_token_id', string('1'), 'tokenizer-invalid'],
  ])('%s is refused, naming the field', (_, field, value, code) => {
    expectRefused(vocabularyMetadata(base), field, value, code);
  });

  test('an empty vocabulary is refused', () => {
    const metadata = new Map(vocabularyMetadata(base));
    metadata.set('tokenizer.ggml.token_type', integers([]));
    expectRefused(metadata, 'tokenizer.ggml.tokens', strings([]), 'tokenizer-invalid');
  });
});

describe('merges of SentencePiece vocabularies are those of the reference conversion', () => {
  const expectMerges = (fixture: SentencePieceFixture) => {
    const { tokenizerJson } = buildTokenizerJson(sentencePieceMetadata(fixture));
    const { merges } = (JSON.parse(tokenizerJson) as { model: { merges: string[] } }).model;
    expect(createHash('sha256').update(merges.join('\n')).digest('hex')).toBe(fixture.mergesSha256);
  };
  test('spm-small.json', () => expectMerges(readFixture('spm-small.json')));
  for (const name of ['spm-v1.json', 'spm-v3.json']) {
    test.skipIf(!hasFullFixture(name))(name, () => expectMerges(readFullFixture(name)));
  }
});

describe('SentencePiece', () => {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const pieces: [piece: string, score: number, type: number][] = [
    ['<unk>', 0, 2],
    ['<s>', 0, 3],
    ['</s>', 0, 3],
    ...bytes.map((piece): [string, number, number] => [piece, 0, 6]),
    ['▁', -10, 1],
    ['a', -11, 1],
    ['b', -12, 1],
    ['c', -13, 1],
    ['ab', -2, 1],
    ['bc', -1, 1],
    ['▁a', -3, 1],
    ['[R]', 0, 4],
    ['bb', -20, 5],
  ];
  const base = sentencePieceMetadata({
    tokens: pieces.map(([piece]) => piece),
    scores: pieces.map(([, score]) => score),
    types: pieces.map(([, , type]) => type),
    bos: 1,
    eos: 2,
  });
  const id = (piece: string) => pieces.findIndex(([found]) => found === piece);
  const idsOf = (...names: string[]) => names.map(id);
  const encoder = async (change: [string, GgufValue][] = []) => {
    const built = buildTokenizerJson(new Map([...base, ...change]));
    const tokenizer = await loadWebLlmTokenizer(built.tokenizerJson);
    return { built, tokenizer, encode: (text: string) => [...tokenizer.encode(text)] };
  };

  test('joins the best pieces first, and spells in bytes what has none', async () => {
    const { built, tokenizer, encode } = await encoder();
    expect(built).toMatchObject({ family: 'sentencepiece', addsSpacePrefix: true, bosId: 1, eosId: 2 });
    expect(built.controlTokens.map(({ surface }) => surface)).toEqual(['<unk>', '<s>', '</s>', 'bb']);
    expect(encode('abc')).toEqual(idsOf('▁a', 'bc'));
    expect(encode('ab a')).toEqual(idsOf('▁', 'ab', '▁a'));
    expect(encode('é')).toEqual(idsOf('▁', '<0xC3>', '<0xA9>'));
    expect(encode('<0xC3>')).not.toContain(id('<0xC3>'));
    expect(encode('bb')).toEqual(idsOf('▁', 'b', 'b'));
    tokenizer.dispose();
  });

  test('a space is put before text, not before user-defined tokens within it', async () => {
    const { tokenizer, encode } = await encoder();
    expect(encode('[R]')).toEqual(idsOf('▁', '[R]'));
    expect(encode('a[R]a')).toEqual(idsOf('▁a', '[R]', 'a'));
    expect(encode('a\na')).toEqual(idsOf('▁a', '<0x0A>', 'a'));
    expect(encode('\u00011\u0002[R]a\u00012\u0002a')).toEqual(idsOf('<s>', '▁', '[R]', 'a', '</s>', '▁a'));
    expect(tokenizer.decode(Int32Array.from(idsOf('▁a', '[R]', '▁a')))).toBe('a[R] a');
    tokenizer.dispose();
  });

  test('without a prefix, text is encoded as what follows a space is with one', async () => {
    const withPrefix = await encoder();
    const { built, tokenizer, encode } = await encoder([
      ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: false }],
    ]);
    expect(built.addsSpacePrefix).toBe(false);
    for (const text of ['abc', 'a[R]a', ' a', 'é']) {
      expect(encode(` ${text}`)).toEqual(withPrefix.encode(text));
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
    expect(encode('a')).toEqual(idsOf('a'));
    tokenizer.dispose();
    withPrefix.tokenizer.dispose();
  });

  const replaced = (at: string, piece: string) =>
    strings(pieces.map(([found]) => (found === at ? piece : found)));
  test.each<[string, string, GgufValue | null, string]>([
    ['no scores', 'tokenizer.ggml.scores', null, 'tokenizer-invalid'],
    ['too few scores', 'tokenizer.ggml.scores', floats([1]), 'tokenizer-invalid'],
    [
      'scores that are no numbers',
      'tokenizer.ggml.scores',
      floats(pieces.map(() => Number.NaN)),
      'tokenizer-invalid',
    ],
    ['scores in words', 'tokenizer.ggml.scores', strings(pieces.map(() => '1')), 'tokenizer-invalid'],
    ['a byte that is none', 'tokenizer.ggml.tokens', replaced('<0x41>', '<0x4>'), 'tokenizer-invalid'],
    ['a piece of unknown characters', 'tokenizer.ggml.tokens', replaced('ab', 'az'), 'tokenizer-invalid'],
    ['no pieces', 'tokenizer.ggml.tokens', null, 'tokenizer-invalid'],
    [
      'merged spaces',
      'tokenizer.ggml.remove_extra_whitespaces',
      { type: 'bool', value: true },
      'tokenizer-unsupported',
    ],
    ['a prefix in words', 'tokenizer.ggml.add_space_prefix', string('yes'), 'tokenizer-invalid'],
    ['no end token', 'tokenizer.ggml.eos_token_id', null, 'tokenizer-invalid'],
  ])('%s is refused, naming the field', (_, field, value, code) => {
    expectRefused(base, field, value, code);
  });

  test('more user-defined tokens than a tokenizer could load are refused', () => {
    const more = Array.from({ length: 1024 }, (_, index) => `[X${index}]`);
    const withMore = (count: number) =>
      sentencePieceMetadata({
        tokens: [...pieces.map(([piece]) => piece), ...more.slice(0, count)],
        scores: [...pieces.map(([, score]) => score), ...more.slice(0, count).map(() => 0)],
        types: [...pieces.map(([, , type]) => type), ...more.slice(0, count).map(() => 4)],
        bos: 1,
        eos: 2,
      });
    expect(() => buildTokenizerJson(withMore(1023))).not.toThrow();
    expect(() => buildTokenizerJson(withMore(1024))).toThrow(
      expect.objectContaining({
        code: 'tokenizer-unsupported',
        message: expect.stringContaining('1025 user-defined tokens'),
        data: expect.objectContaining({ field: 'tokenizer.ggml.token_type' }),
      }),
    );
  });

  test('a vocabulary without byte pieces is refused', () => {
    const types = integers(pieces.map(([, , type]) => (type === 6 ? 1 : type)));
    const metadata = new Map(base).set('tokenizer.ggml.token_type', types);
    expect(() => buildTokenizerJson(metadata)).toThrow(/0 of 256 byte pieces/);
  });
});
