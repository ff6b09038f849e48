import { expect, test } from 'vitest';
import {
  readFixture,
  type SentencePieceFixture,
  sentencePieceMetadata,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer } from '../../tests/tools/webllm-tokenizer.ts';
import { stripPrivateForms } from '../base/control-text.ts';
import { buildTokenizerJson } from '../formats/tokenizer/build-tokenizer.ts';
import { completeText } from './complete-text.ts';

test('only what stands at the end is left out', () => {
  expect(completeText('a\uFFFDb\uFFFD\uFFFD')).toBe('a\uFFFDb');
  expect(completeText('ab')).toBe('ab');
  expect(completeText('\uFFFD')).toBe('');
  expect(completeText('')).toBe('');
});

// Runs of characters without a token, of 2, 3 and 4 bytes; with joiners; beside text.
const spelled = ['ᚠᚢᚦ', 'a語語語b', '😀😀😀', '👩‍👩‍👧‍👦 x', 'ߊߋߌ ߍ', '𓀀ᚠ😀ߊ.', 'é語😀\n語'];
const others = readFixture<string[]>('tokenizer-strings.json').filter((_, i) => i % 8 === 0);
const texts = [...spelled, ...others.map(stripPrivateForms)];

test.each([
  ['SentencePiece', () => sentencePieceMetadata(readFixture<SentencePieceFixture>('spm-small.json'))],
  ['byte-level BPE', () => vocabularyMetadata(readFixture<VocabularyFixture>('tekken-small.json'))],
])('%s: streamed token by token, the text comes whole and nothing is taken back', async (_, metadata) => {
  const tokenizer = await loadWebLlmTokenizer(buildTokenizerJson(metadata()).tokenizerJson);
  for (const text of texts) {
    // WebLLM's TextDecoder drops a byte order mark at the start of some texts and not of others.
    if (text.includes('\uFEFF')) continue;
    const ids = tokenizer.encode(text);
    let sent = '';
    for (let count = 1; count <= ids.length; count++) {
      sent += completeText(tokenizer.decode(ids.slice(0, count))).slice(sent.length);
    }
    expect(sent).toBe(completeText(tokenizer.decode(ids)));
  }
  tokenizer.dispose();
});
