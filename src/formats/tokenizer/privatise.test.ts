import { describe, expect, test } from 'vitest';
import {
  byteLevelFile,
  type HuggingFaceFile,
  sentencePieceFile,
} from '../../../tests/tools/hugging-face-files.ts';
import {
  readFixture,
  type SentencePieceFixture,
  sentencePieceMetadata,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer } from '../../../tests/tools/webllm-tokenizer.ts';
import { isTramontaneError } from '../../base/errors.ts';
import { buildTokenizerJson } from './build-tokenizer.ts';
import { privatiseTokenizerJson } from './privatise.ts';

const ends = { bosId: 1, eosId: 2 };
const spm = readFixture<SentencePieceFixture>('spm-small.json');
const tekken = readFixture<VocabularyFixture>('tekken-small.json');

test.each(['normalizer', 'metaspace'] as const)('SentencePiece, written as %s: as from GGUF', (style) => {
  const built = privatiseTokenizerJson(JSON.stringify(sentencePieceFile(spm, style)), ends);
  expect(built).toEqual(buildTokenizerJson(sentencePieceMetadata(spm)));
});

test('byte-level: as from GGUF', () => {
  const built = privatiseTokenizerJson(JSON.stringify(byteLevelFile(tekken)), ends);
  expect(built).toEqual(buildTokenizerJson(vocabularyMetadata(tekken)));
});

/** A small file: `<s>`, `</s>`, the bytes, and some merges. */
function smallFile(): HuggingFaceFile {
  const file = byteLevelFile({
    ...tekken,
    tokens: [...tekken.tokens.slice(0, 256), 'ab', '<x', '<x>'],
    merges: [],
  });
  file.model.merges = ['a b', ['<', 'x'], '<x >'];
  return file;
}
const idOf = (file: HuggingFaceFile, token: string) => file.model.vocab[token]!;

test('merges cannot put a control token together', async () => {
  const file = smallFile();
  file.added_tokens.push({ id: idOf(file, '<x>'), content: '<x>', special: true });
  const tokenizer = await loadWebLlmTokenizer(
    privatiseTokenizerJson(JSON.stringify(file), ends).tokenizerJson,
  );
  expect([...tokenizer.encode('<x>ab')]).toEqual(['<x', '>', 'ab'].map((token) => idOf(file, token)));
  tokenizer.dispose();
});

test('user-defined tokens are matched; ends are control tokens even where the file does not say so', async () => {
  const file = smallFile();
  file.added_tokens = [{ id: idOf(file, '<x>'), content: '<x>', special: false }];
  const built = privatiseTokenizerJson(JSON.stringify(file), { bosId: null, eosId: 2, stopTokenIds: [5, 2] });
  expect(built.controlTokens).toEqual([{ id: 2, surface: '</s>', privateForm: '\u00012\u0002' }]);
  expect(built).toMatchObject({ bosId: null, eosId: 2, stopTokenIds: [2, 5] });
  const tokenizer = await loadWebLlmTokenizer(built.tokenizerJson);
  expect([...tokenizer.encode('a<x>b</s>')].slice(0, 3)).toEqual(['a', '<x>', 'b'].map((t) => idOf(file, t)));
  expect([...tokenizer.encode('</s>')]).not.toContain(2);
  tokenizer.dispose();
});

test('tokens that only added_tokens have are part of the vocabulary', () => {
  const file = smallFile();
  const size = Object.keys(file.model.vocab).length;
  file.added_tokens.push({ id: size, content: '<|extra|>', special: true });
  const built = privatiseTokenizerJson(JSON.stringify(file), ends);
  expect(built.vocabularySize).toBe(size + 1);
  expect(built.controlTokens.at(-1)).toEqual({
    id: size,
    surface: '<|extra|>',
    privateForm: `\u0001${size}\u0002`,
  });
});

describe('refused, naming the field', () => {
  type Case = [title: string, change: (file: HuggingFaceFile) => unknown, field: string, code?: string];
  const unsupported = 'tokenizer-unsupported';
  const byteLevel: Case[] = [
    ['no model', (file) => Object.assign(file, { model: null }), 'model'],
    ['another model', (file) => Object.assign(file.model, { type: 'Unigram' }), 'model.type', unsupported],
    ['dropout', (file) => Object.assign(file.model, { dropout: 0.1 }), 'model.dropout', unsupported],
    [
      'prefixes of words',
      (file) => Object.assign(file.model, { continuing_subword_prefix: '##' }),
      'model.continuing_subword_prefix',
      unsupported,
    ],
    [
      'byte fallback in words',
      (file) => Object.assign(file.model, { byte_fallback: 'no' }),
      'model.byte_fallback',
    ],
    ['a vocabulary that is a list', (file) => Object.assign(file.model, { vocab: [] }), 'model.vocab'],
    ['half an id', (file) => Object.assign(file.model.vocab, { q: 1.5 }), 'model.vocab["q"]'],
    ['a gap', (file) => Object.assign(file.model.vocab, { gap: 999_999_999 }), 'model.vocab'],
    ['two tokens of one id', (file) => Object.assign(file.model.vocab, { double: 50 }), 'model.vocab'],
    ['a private form', (file) => Object.assign(file.model.vocab, { '\u00017\u0002': 299 }), 'model.vocab'],
    [
      'an added token of another id',
      (file) => file.added_tokens.push({ id: 300, content: 'ab', special: true }),
      'added_tokens[40]',
    ],
    [
      'an added token with the id of another',
      (file) => file.added_tokens.push({ id: 50, content: 'other', special: true }),
      'added_tokens[40]',
    ],
    [
      'an added token without text',
      (file) => file.added_tokens.push({ id: 299, content: '', special: true }),
      'added_tokens[40].content',
    ],
    [
      'an added token that may or may not be special',
      (file) => file.added_tokens.push({ id: 299, content: 'x', special: null }),
      'added_tokens[40].special',
    ],
    [
      'an added token that takes spaces away',
      (file) => Object.assign(file.added_tokens[3]!, { rstrip: true }),
      'added_tokens[3].rstrip',
      unsupported,
    ],
    ['added tokens in an object', (file) => Object.assign(file, { added_tokens: {} }), 'added_tokens'],
    ['no merges', (file) => Object.assign(file.model, { merges: undefined }), 'model.merges'],
    ['a merge of three', (file) => file.model.merges.push('a b c'), 'model.merges[3]'],
    ['a merge of one', (file) => file.model.merges.push(['a']), 'model.merges[3]'],
    ['a merge of strangers', (file) => file.model.merges.push('a c'), 'model.merges[3]'],
    [
      'an unknown normaliser',
      (file) => Object.assign(file, { normalizer: { type: 'NFKC' } }),
      'normalizer',
      unsupported,
    ],
    [
      'no pre-tokenizer',
      (file) => Object.assign(file, { pre_tokenizer: null }),
      'pre_tokenizer',
      unsupported,
    ],
    [
      'a pre-tokenizer by Unicode scripts',
      (file) => {
        file.pre_tokenizer = {
          type: 'Sequence',
          pretokenizers: [
            { type: 'UnicodeScripts' },
            { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
          ],
        };
      },
      'pre_tokenizer.type',
      unsupported,
    ],
    [
      'a space before every text',
      (file) => Object.assign(file, { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }),
      'pre_tokenizer.add_prefix_space',
      unsupported,
    ],
    [
      'a split without a pattern',
      (file) => {
        file.pre_tokenizer = {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern: {} },
            { type: 'ByteLevel', add_prefix_space: false },
          ],
        };
      },
      'pre_tokenizer.pattern',
    ],
    [
      'a split that behaves oddly',
      (file) => {
        file.pre_tokenizer = {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern: { Regex: 'a' }, behavior: 'Kept' },
            { type: 'ByteLevel', add_prefix_space: false },
          ],
        };
      },
      'pre_tokenizer.behavior',
    ],
    [
      'more splits than any model has',
      (file) => {
        const split = { type: 'Split', pattern: { Regex: 'a' }, behavior: 'Isolated' };
        file.pre_tokenizer = {
          type: 'Sequence',
          pretokenizers: [...Array(32).fill(split), { type: 'ByteLevel', add_prefix_space: false }],
        };
      },
      'pre_tokenizer',
      unsupported,
    ],
    [
      'an endless pattern',
      (file) => {
        const pattern = { Regex: 'a'.repeat(10_001) };
        file.pre_tokenizer = {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern, behavior: 'Isolated' },
            { type: 'ByteLevel', add_prefix_space: false },
          ],
        };
      },
      'pre_tokenizer.pattern',
      unsupported,
    ],
    [
      'an unknown token where a byte has none',
      (file) => {
        // U+0120 stands for the space.
        file.model.vocab = Object.fromEntries(
          Object.entries(file.model.vocab).map(([token, id]) => [token === 'Ġ' ? 'zz' : token, id]),
        );
        file.model.unk_token = '<unk>';
      },
      'model.unk_token',
      unsupported,
    ],
  ];
  const sentencePiece: Case[] = [
    [
      'no treatment of spaces',
      (file) => Object.assign(file, { pre_tokenizer: null }),
      'normalizer',
      unsupported,
    ],
    [
      'words cut at spaces',
      (file) => Object.assign(file.pre_tokenizer as object, { split: true }),
      'pre_tokenizer.split',
      unsupported,
    ],
    [
      'another mark for spaces',
      (file) => Object.assign(file.pre_tokenizer as object, { replacement: '_' }),
      'pre_tokenizer',
      unsupported,
    ],
    [
      'a normaliser that does more',
      (file) => Object.assign(file, { normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKC' }] } }),
      'normalizer',
      unsupported,
    ],
    [
      'normalisers that are no list',
      (file) => Object.assign(file, { normalizer: { type: 'Sequence' } }),
      'normalizer.normalizers',
    ],
    [
      'ignored merges',
      (file) => Object.assign(file.model, { ignore_merges: true }),
      'model.ignore_merges',
      unsupported,
    ],
    [
      'a missing byte',
      (file) => {
        file.model.vocab = Object.fromEntries(
          Object.entries(file.model.vocab).map(([token, id]) => [token === '<0x41>' ? '<0x4_>' : token, id]),
        );
      },
      'model.vocab',
      unsupported,
    ],
  ];
  const check =
    (open: () => HuggingFaceFile) =>
    (_: string, change: Case[1], field: string, code = 'tokenizer-invalid') => {
      const file = open();
      change(file);
      expectRefused(JSON.stringify(file), field, code);
    };
  test.each(byteLevel)('byte-level: %s', check(smallFile));
  test.each(sentencePiece)(
    'SentencePiece: %s',
    check(() => sentencePieceFile(spm, 'metaspace')),
  );

  test.each([
    ['an end beyond the vocabulary', { bosId: 1, eosId: 299 }],
    ['half a start', { bosId: 0.5, eosId: 2 }],
    ['a stop before all', { bosId: 1, eosId: 2, stopTokenIds: [-1] }],
  ])('%s', (_, wrong) => {
    expectRefused(JSON.stringify(smallFile()), 'tokenizer.json', 'tokenizer-invalid', wrong);
  });

  test.each(['', '{', 'null', '[]', '"x"'])('%j in place of a file', (text) => {
    expectRefused(text, 'tokenizer.json', 'tokenizer-invalid');
  });
});

function expectRefused(
  text: string,
  field: string,
  code: string,
  given = ends as Parameters<typeof privatiseTokenizerJson>[1],
): void {
  try {
    privatiseTokenizerJson(text, given);
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    expect([error.code, error.data.field]).toEqual([code, field]);
    expect(error.message).toContain(field);
    return;
  }
  expect.unreachable('nothing was thrown');
}
