/** A model's own tokenizer.json, as the converters of `transformers` write it, from the vocabularies of our fixtures. */
import { buildTokenizerJson } from '../../src/formats/tokenizer/build-tokenizer.ts';
import { PRE_TOKENIZERS } from '../../src/formats/tokenizer/pre-tokenizers.ts';
import {
  type SentencePieceFixture,
  sentencePieceMetadata,
  type VocabularyFixture,
} from './tokenizer-fixtures.ts';

export interface HuggingFaceFile {
  added_tokens: Record<string, unknown>[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
  model: Record<string, unknown> & { vocab: Record<string, number>; merges: unknown[] };
}

const added = (id: number, content: string, special: boolean) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
});

const vocabOf = (tokens: readonly string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));

/** Puts BOS before every text, which ours must not. */
const postProcessor = {
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [],
  special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
};

/** @param style how spaces are treated: as old converters write it, or as new ones do, which also write merges as pairs */
export function sentencePieceFile(
  fixture: SentencePieceFixture,
  style: 'normalizer' | 'metaspace',
): HuggingFaceFile {
  const { tokenizerJson } = buildTokenizerJson(sentencePieceMetadata(fixture));
  const { merges } = (JSON.parse(tokenizerJson) as { model: { merges: string[] } }).model;
  const isOld = style === 'normalizer';
  return {
    added_tokens: fixture.tokens
      .map((token, id) => added(id, token, fixture.types[id] !== 4))
      .filter(({ id }) => [2, 3, 4].includes(fixture.types[id]!)),
    normalizer: isOld
      ? {
          type: 'Sequence',
          normalizers: [
            { type: 'Prepend', prepend: '▁' },
            { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
          ],
        }
      : null,
    pre_tokenizer: isOld
      ? null
      : { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
    post_processor: postProcessor,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: vocabOf(fixture.tokens),
      merges: isOld ? merges : merges.map((merge) => merge.split(' ')),
    },
  };
}

export function byteLevelFile(fixture: VocabularyFixture): HuggingFaceFile {
  return {
    added_tokens: fixture.controls.map((token, id) => added(id, token, true)),
    normalizer: null,
    pre_tokenizer: PRE_TOKENIZERS[fixture.pre as keyof typeof PRE_TOKENIZERS].json,
    post_processor: postProcessor,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: vocabOf([...fixture.controls, ...fixture.tokens]),
      merges: fixture.merges,
    },
  };
}
