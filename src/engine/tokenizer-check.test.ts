import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { byteLevelFile, sentencePieceFile } from '../../tests/tools/hugging-face-files.ts';
import {
  readFixture,
  type SentencePieceFixture,
  sentencePieceMetadata,
  tekkenFile,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer } from '../../tests/tools/webllm-tokenizer.ts';
import { buildTokenizerJson } from '../formats/tokenizer/build-tokenizer.ts';
import { buildTokenizerFromTekken } from '../formats/tokenizer/tekken.ts';
import { checkTokenizer } from './tokenizer-check.ts';

const spm = readFixture<SentencePieceFixture>('spm-small.json');
const tekken = readFixture<VocabularyFixture>('tekken-small.json');
const built = buildTokenizerJson(sentencePieceMetadata(spm)).tokenizerJson;

// biome-ignore lint/suspicious/noExplicitAny: files are broken in every way here.
type File = any;

test.each<[string, () => string]>([
  ['SentencePiece from GGUF', () => built],
  ['byte-level BPE from GGUF', () => buildTokenizerJson(vocabularyMetadata(tekken)).tokenizerJson],
  ['tekken.json', () => buildTokenizerFromTekken(JSON.stringify(tekkenFile(tekken, 'v13'))).tokenizerJson],
  ['a byte-level file of a model', () => JSON.stringify(byteLevelFile(tekken))],
  ['a SentencePiece file of a model', () => JSON.stringify(sentencePieceFile(spm, 'metaspace'))],
  ['an old SentencePiece file of a model', () => JSON.stringify(sentencePieceFile(spm, 'normalizer'))],
])('%s passes', (_, write) => {
  expect(() => checkTokenizer(write())).not.toThrow();
});

test.each(['', '{', 'null', '[]', '"x"'])('%j is refused', (text) => {
  expectRefused(text, 'tokenizer.json');
});

describe('what makes WebLLM’s tokenizer trap is refused before, naming the field', () => {
  // The wasm takes the console when it is loaded, and writes of its traps there.
  beforeAll(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));
  afterAll(() => void vi.restoreAllMocks());

  const strange = { type: 'Strange' };
  const cases: [title: string, change: (file: File) => unknown, field: string][] = [
    ['no vocabulary', (file) => delete file.model.vocab, 'model.vocab'],
    ['no merges', (file) => delete file.model.merges, 'model.merges'],
    ['an option in words', (file) => (file.model.byte_fallback = 'yes'), 'model.byte_fallback'],
    ['an option in numbers', (file) => (file.model.ignore_merges = 1), 'model.ignore_merges'],
    ['an unknown token by id', (file) => (file.model.unk_token = 1), 'model.unk_token'],
    ['an id below 0', (file) => (file.model.vocab.a = -1), 'model.vocab["a"]'],
    ['an id beyond 32 bits', (file) => (file.model.vocab.a = 2 ** 33), 'model.vocab["a"]'],
    ['a merge of a stranger', (file) => file.model.merges.push('a qq'), 'model.merges[N]'],
    ['a merge that makes no token', (file) => file.model.merges.push('a [INST]'), 'model.merges[N]'],
    ['a merge of three', (file) => file.model.merges.push('a b c'), 'model.merges[N]'],
    ['a merge of one', (file) => file.model.merges.push('a'), 'model.merges[N]'],
    ['a merge in numbers', (file) => file.model.merges.push(3), 'model.merges[N]'],
    ['a pair among texts', (file) => file.model.merges.push(['a', 'b']), 'model.merges[N]'],
    ['an added token without id', (file) => delete file.added_tokens[0].id, 'added_tokens[0]'],
    ['an added token without a flag', (file) => delete file.added_tokens[0].lstrip, 'added_tokens[0].lstrip'],
    ['an unknown normaliser', (file) => (file.normalizer = strange), 'normalizer.type'],
    ['a normaliser in words', (file) => (file.normalizer = 'NFC'), 'normalizer'],
    ['a sequence of nothing', (file) => (file.normalizer = { type: 'Sequence' }), 'normalizer.normalizers'],
    [
      'a sequence of the unknown',
      (file) => (file.normalizer = { type: 'Sequence', normalizers: [strange] }),
      'normalizer.normalizers[0].type',
    ],
    ['nothing to prepend', (file) => (file.normalizer = { type: 'Prepend' }), 'normalizer.prepend'],
    [
      'nothing to replace',
      (file) => (file.normalizer = { type: 'Replace', pattern: {}, content: 'a' }),
      'normalizer.pattern',
    ],
    ['an unknown pre-tokenizer', (file) => (file.pre_tokenizer = strange), 'pre_tokenizer.type'],
    [
      'a byte-level one without options',
      (file) => (file.pre_tokenizer = { type: 'ByteLevel' }),
      'pre_tokenizer.add_prefix_space',
    ],
    [
      'a split that behaves oddly',
      (file) =>
        (file.pre_tokenizer = { type: 'Split', pattern: { String: 'a' }, behavior: 'Kept', invert: false }),
      'pre_tokenizer.behavior',
    ],
    [
      'digits without options',
      (file) => (file.pre_tokenizer = { type: 'Digits' }),
      'pre_tokenizer.individual_digits',
    ],
    ['an unknown decoder', (file) => (file.decoder = strange), 'decoder.type'],
    ['nothing to strip', (file) => (file.decoder = { type: 'Strip' }), 'decoder.content'],
  ];

  test.each(cases)('%s', async (_, change, field) => {
    const file = JSON.parse(built) as File;
    const count = file.model.merges.length as number;
    change(file);
    const text = JSON.stringify(file);
    expectRefused(text, field.replace('N', String(count)));
    await expect(loadWebLlmTokenizer(text)).rejects.toThrow();
  });

  test.each<[string, (file: File) => unknown, string]>([
    ['another model', (file) => (file.model.type = 'Unigram'), 'model.type'],
    ['no token of an id', (file) => (file.model.vocab.a = file.model.vocab.b), 'model.vocab'],
    ['an added token without content', (file) => (file.added_tokens[0].content = ''), 'added_tokens[0]'],
    ['a property of Object', (file) => (file.normalizer = { type: 'constructor' }), 'normalizer.type'],
    ['a merge with a property of Object', (file) => file.model.merges.push('to String'), 'model.merges[N]'],
  ])('%s is refused as well', (_, change, field) => {
    const file = JSON.parse(built) as File;
    const count = file.model.merges.length as number;
    change(file);
    expectRefused(JSON.stringify(file), field.replace('N', String(count)));
  });
});

function expectRefused(text: string, field: string): void {
  expect(() => checkTokenizer(text)).toThrow(
    expect.objectContaining({ code: 'tokenizer-invalid', data: { field } }),
  );
}
