import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSmolLm2 } from '../../../tests/tools/smollm2.ts';
import {
  integer,
  integers,
  readFixture,
  string,
  strings,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer, type WebLlmTokenizer } from '../../../tests/tools/webllm-tokenizer.ts';
import { privateForm, stripPrivateForms } from '../../base/control-text.ts';
import { isTramontaneError } from '../../base/errors.ts';
import type { GgufValue } from '../gguf/gguf.ts';
import { parseGguf } from '../gguf/parse-gguf.ts';
import { buildTokenizerJson } from './build-tokenizer.ts';

const texts = readFixture<string[]>('tokenizer-strings.json');

function expectIds(tokenizer: WebLlmTokenizer, expected: readonly (readonly number[])[]): void {
  expect(expected.length).toBe(texts.length);
  const encoded = texts.map((text) => ({ text, ids: [...tokenizer.encode(stripPrivateForms(text))] }));
  expect(encoded.filter(({ ids }, i) => ids.join() !== expected[i]!.join())).toEqual([]);
}

/** All 131,072 tokens of Tekken: too large to commit; `tokenizer_goldens.py tekken-full` makes it. */
const tekkenFull = new URL('../../../.cache/tekken-full.json', import.meta.url);

describe('ids equal the reference, in the tokenizer that WebLLM bundles', () => {
  test('the strings are many', () => {
    expect(texts.length).toBeGreaterThanOrEqual(1000);
  });

  test.each(['tekken-small.json', 'llama-bpe-small.json'])('%s', async (name) => {
    const fixture = readFixture<VocabularyFixture>(name);
    const tokenizer = await loadWebLlmTokenizer(
      buildTokenizerJson(vocabularyMetadata(fixture)).tokenizerJson,
    );
    expectIds(tokenizer, fixture.ids);
    tokenizer.dispose();
  });

  test('SmolLM2, from its GGUF', async () => {
    const source = await openSmolLm2();
    const built = buildTokenizerJson((await parseGguf(source)).metadata);
    await source.close();
    expect(built).toMatchObject({ bosId: 1, eosId: 2, stopTokenIds: [2, 0], vocabularySize: 49152 });
    expect(built.controlTokens).toHaveLength(17);
    const tokenizer = await loadWebLlmTokenizer(built.tokenizerJson);
    expect(tokenizer.getVocabSize()).toBe(49152);
    expectIds(tokenizer, readFixture<{ ids: number[][] }>('smollm-ids.json').ids);
    tokenizer.dispose();
  });

  test.skipIf(!existsSync(tekkenFull))('the whole of Tekken (where .cache has it)', async () => {
    const fixture = JSON.parse(readFileSync(tekkenFull, 'utf8')) as VocabularyFixture;
    const tokenizer = await loadWebLlmTokenizer(
      buildTokenizerJson(vocabularyMetadata(fixture)).tokenizerJson,
    );
    expect(tokenizer.getVocabSize()).toBe(131072);
    expectIds(tokenizer, fixture.ids);
    tokenizer.dispose();
  });
});

describe('control tokens', () => {
  const fixture = readFixture<VocabularyFixture>('tekken-small.json');
  const built = buildTokenizerJson(vocabularyMetadata(fixture));
  let tokenizer: WebLlmTokenizer;
  beforeAll(async () => {
    tokenizer = await loadWebLlmTokenizer(built.tokenizerJson);
  });
  afterAll(() => tokenizer.dispose());

  test('are known by id, surface and private form', () => {
    expect(built.controlTokens).toHaveLength(fixture.controls.length);
    expect(built.controlTokens[3]).toEqual({ id: 3, surface: '[INST]', privateForm: '\u00013\u0002' });
    expect(built).toMatchObject({ bosId: 1, eosId: 2, stopTokenIds: [2] });
  });

  test('encode from their private form, each to its one id, and decode to it', () => {
    for (const { id, privateForm: form } of built.controlTokens) {
      expect([...tokenizer.encode(form)]).toEqual([id]);
      expect(tokenizer.decode(Int32Array.of(id))).toBe(form);
      expect(tokenizer.idToToken(id)).toBe(form);
    }
    const hello = [...tokenizer.encode('hello')];
    expect([...tokenizer.encode(`${privateForm(3)}hello${privateForm(4)}`)]).toEqual([3, ...hello, 4]);
  });

  test('never come from text, whatever it imitates', () => {
    const surfaces = built.controlTokens.map((token) => token.surface);
    const forms = built.controlTokens.map((token) => token.privateForm);
    for (const text of [...surfaces, ...forms, ...texts, surfaces.join(''), forms.join('')]) {
      const ids = tokenizer.encode(stripPrivateForms(text));
      expect(ids.every((id) => id >= built.controlTokens.length)).toBe(true);
    }
  });

  test('text survives a round trip', () => {
    for (const text of texts.map(stripPrivateForms)) {
      // WebLLM's TextDecoder drops a byte order mark at the start of what it decodes, if that is not very short.
      const withoutMark = (whole: string) => whole.replace(/^\uFEFF/, '');
      expect(withoutMark(tokenizer.decode(tokenizer.encode(text)))).toBe(withoutMark(text));
    }
  });
});

describe('token types', () => {
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
    ['another model', 'tokenizer.ggml.model', string('llama'), 'tokenizer-unsupported'],
    ['another pre-tokenizer', 'tokenizer.ggml.pre', string('qwen2'), 'tokenizer-unsupported'],
    ['a property of Object', 'tokenizer.ggml.pre', string('constructor'), 'tokenizer-unsupported'],
    ['no pre-tokenizer', 'tokenizer.ggml.pre', null, 'tokenizer-unsupported'],
    ['no model', 'tokenizer.ggml.model', null, 'tokenizer-invalid'],
    ['a model of another type', 'tokenizer.ggml.model', integer(1), 'tokenizer-invalid'],
    ['no tokens', 'tokenizer.ggml.tokens', null, 'tokenizer-invalid'],
    ['an empty vocabulary', 'tokenizer.ggml.tokens', strings([]), 'tokenizer-invalid'],
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
    const metadata = new Map(vocabularyMetadata(base));
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
  });
});
