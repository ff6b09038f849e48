/**
 * Every family of tokenizers against its reference, in the tokenizer that WebLLM bundles. Small vocabularies are
 * fixtures; whole ones run with the full suite where `.cache` has them.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byteLevelFile, sentencePieceFile } from '../../../tests/tools/hugging-face-files.ts';
import { openSmolLm2 } from '../../../tests/tools/smollm2.ts';
import {
  hasFullFixture,
  readFixture,
  readFullFixture,
  type SentencePieceFixture,
  sentencePieceMetadata,
  tekkenFile,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer, type WebLlmTokenizer } from '../../../tests/tools/webllm-tokenizer.ts';
import { privateForm, stripPrivateForms } from '../../base/control-text.ts';
import { parseGguf } from '../gguf/parse-gguf.ts';
import { type BuiltTokenizer, buildTokenizerJson } from './build-tokenizer.ts';
import { BYTE_ALPHABET } from './byte-alphabet.ts';
import { privatiseTokenizerJson } from './privatise.ts';
import { buildTokenizerFromTekken } from './tekken.ts';
import type { TokenizerFamily } from './tokenizer-json.ts';

const texts = readFixture<string[]>('tokenizer-strings.json');

interface Family {
  built: BuiltTokenizer;
  ids: readonly (readonly number[])[];
}

const gguf = (fixture: VocabularyFixture): Family => ({
  built: buildTokenizerJson(vocabularyMetadata(fixture)),
  ids: fixture.ids,
});
const spm = (fixture: SentencePieceFixture): Family => ({
  built: buildTokenizerJson(sentencePieceMetadata(fixture)),
  ids: fixture.ids,
});
const tekken = (fixture: VocabularyFixture, version: string): Family => ({
  built: buildTokenizerFromTekken(JSON.stringify(tekkenFile(fixture, version))),
  ids: fixture.ids,
});

function huggingFace<T extends { ids: number[][] }>(write: (fixture: T) => object, name: string): Family {
  const fixture = readFixture<T>(name);
  const built = privatiseTokenizerJson(JSON.stringify(write(fixture)), { bosId: 1, eosId: 2 });
  return { built, ids: fixture.ids };
}

async function smolLm2(): Promise<Family> {
  const source = await openSmolLm2();
  const built = buildTokenizerJson((await parseGguf(source)).metadata);
  await source.close();
  return { built, ids: readFixture<{ ids: number[][] }>('smollm-ids.json').ids };
}

/** A family, and the file in `.cache` that it needs, if any. */
const families: [name: string, open: () => Family | Promise<Family>, file?: string][] = [
  ['SmolLM2, from its GGUF', smolLm2],
  ['Tekken', () => gguf(readFixture('tekken-small.json'))],
  ['Tekken, from tekken.json v7', () => tekken(readFixture('tekken-small.json'), 'v7')],
  ['Tekken, from its own tokenizer.json', () => huggingFace(byteLevelFile, 'tekken-small.json')],
  ['Llama 3', () => gguf(readFixture('llama-bpe-small.json'))],
  ['SentencePiece', () => spm(readFixture('spm-small.json'))],
  [
    'SentencePiece, from its own tokenizer.json',
    () =>
      huggingFace(
        (fixture: SentencePieceFixture) => sentencePieceFile(fixture, 'metaspace'),
        'spm-small.json',
      ),
  ],
  ['the whole of Tekken', () => gguf(readFullFixture('tekken-full.json')), 'tekken-full.json'],
  [
    'the whole of Tekken, from tekken.json v11',
    () => tekken(readFullFixture('tekken-full.json'), 'v11'),
    'tekken-full.json',
  ],
  ['the whole of Mistral 7B v0.1', () => spm(readFullFixture('spm-v1.json')), 'spm-v1.json'],
  ['the whole of Mistral 7B v0.3', () => spm(readFullFixture('spm-v3.json')), 'spm-v3.json'],
];

test('the strings are many', () => {
  expect(texts.length).toBeGreaterThanOrEqual(1000);
});

// WebLLM's TextDecoder drops a byte order mark at the start of what it decodes, if that is not very short.
const withoutMark = (text: string) => text.replace(/^\uFEFF/, '');

/** Bytes that a byte-level vocabulary has no token for, as SmolLM2's: its makers' tokenizer drops them. */
function listMissingBytes({ tokenizerJson }: BuiltTokenizer): Set<number> {
  const { vocab } = (JSON.parse(tokenizerJson) as { model: { vocab: Record<string, number> } }).model;
  return new Set([...BYTE_ALPHABET.keys()].filter((byte) => vocab[BYTE_ALPHABET[byte]!] === undefined));
}

/** What decoding the ids of `text` must give. */
function decoded(text: string, family: TokenizerFamily, missingBytes: ReadonlySet<number>): string | null {
  // To SentencePiece, U+2581 is a space.
  if (family === 'sentencepiece') return text.replaceAll('▁', ' ');
  return Buffer.from(text).some((byte) => missingBytes.has(byte)) ? null : text;
}

for (const [name, open, file] of families) {
  describe.skipIf(file !== undefined && !hasFullFixture(file))(name, () => {
    let built: BuiltTokenizer;
    let ids: readonly (readonly number[])[];
    let tokenizer: WebLlmTokenizer;
    beforeAll(async () => {
      ({ built, ids } = await open());
      tokenizer = await loadWebLlmTokenizer(built.tokenizerJson);
    });
    afterAll(() => tokenizer?.dispose());

    test('ids equal the reference', () => {
      expect(tokenizer.getVocabSize()).toBe(built.vocabularySize);
      expect(ids.length).toBe(texts.length);
      const encoded = texts.map((text) => ({ text, ids: [...tokenizer.encode(stripPrivateForms(text))] }));
      expect(encoded.filter((found, i) => found.ids.join() !== ids[i]!.join())).toEqual([]);
    });

    test('control tokens encode from their private form, each to its one id, and decode to it', () => {
      for (const { id, privateForm: form } of built.controlTokens) {
        expect([...tokenizer.encode(form)]).toEqual([id]);
        expect(tokenizer.decode(Int32Array.of(id))).toBe(form);
        expect(tokenizer.idToToken(id)).toBe(form);
      }
    });

    test('control tokens cut text, which is encoded as if it stood alone', () => {
      const [first, second] = built.controlTokens.slice(1).map(({ id }) => id) as [number, number];
      for (const [left, right] of [
        ['hello', 'x y'],
        [' a ', '\n'],
        ['', 'é'],
        ['[INST]', ''],
      ] as const) {
        expect([...tokenizer.encode(`${left}${privateForm(first)}${right}${privateForm(second)}`)]).toEqual(
          [[...tokenizer.encode(left)], first, [...tokenizer.encode(right)], second].flat(),
        );
      }
    });

    test('control tokens never come from text, whatever it imitates', () => {
      const controls = new Set(built.controlTokens.map((token) => token.id));
      const surfaces = built.controlTokens.map((token) => token.surface);
      const forms = built.controlTokens.map((token) => token.privateForm);
      for (const text of [...surfaces, ...forms, ...texts, surfaces.join(''), forms.join('')]) {
        const ids = tokenizer.encode(stripPrivateForms(text));
        expect(ids.some((id) => controls.has(id))).toBe(false);
      }
    });

    test('text survives a round trip', () => {
      const missing = built.family === 'byte-level' ? listMissingBytes(built) : new Set<number>();
      let compared = 0;
      for (const text of texts.map(stripPrivateForms)) {
        const expected = decoded(text, built.family, missing);
        if (expected === null) continue;
        expect(withoutMark(tokenizer.decode(tokenizer.encode(text)))).toBe(withoutMark(expected));
        compared++;
      }
      expect(compared).toBeGreaterThan(1000);
    });
  });
}
