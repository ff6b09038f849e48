/**
 * From a GGUF file's `tokenizer.ggml.*` metadata to a Hugging Face tokenizer.json, which is what WebLLM reads: byte-level
 * BPE (`gpt2`) and SentencePiece BPE (`llama`). Control tokens get private forms (base/control-text.ts), so that text
 * never encodes to them. Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer
 */

import { shown } from '../../base/shown.ts';
import type { GgufMetadata } from '../gguf/gguf.ts';
import { mergesFromScores } from './merges.ts';
import { isPreTokenizerName, PRE_TOKENIZERS, type PreTokenizer } from './pre-tokenizers.ts';
import { byteOfPiece, requireBytePieces, requireFewUserDefined } from './sentencepiece.ts';
import { invalidTokenizer as invalid, unsupportedTokenizer as unsupported } from './tokenizer-errors.ts';
import { type BuiltTokenizer, createTokenizer, type Pipeline } from './tokenizer-json.ts';
import { createVocabulary, listStopTokens, type TokenKind, type Vocabulary } from './vocabulary.ts';

export type { BuiltTokenizer } from './tokenizer-json.ts';
export type { ControlToken } from './vocabulary.ts';

/** Values of `tokenizer.ggml.token_type`. */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** GGUF keys that name a token at which generation ends. */
const END_KEYS = ['tokenizer.ggml.eot_token_id', 'tokenizer.ggml.eom_token_id'] as const;

const MODEL = 'tokenizer.ggml.model';
const TOKENS = 'tokenizer.ggml.tokens';
const TYPES = 'tokenizer.ggml.token_type';
const SCORES = 'tokenizer.ggml.scores';
const MERGES = 'tokenizer.ggml.merges';

function readString(metadata: GgufMetadata, field: string): string | null {
  const value = metadata.get(field);
  if (value === undefined) return null;
  if (value.type !== 'string') throw invalid(field, `expected a string, found ${value.type}`);
  return value.value;
}

function readBoolean(metadata: GgufMetadata, field: string, absent: boolean): boolean {
  const value = metadata.get(field);
  if (value === undefined) return absent;
  if (value.type !== 'bool') throw invalid(field, `expected true or false, found ${value.type}`);
  return value.value;
}

function readStrings(metadata: GgufMetadata, field: string): readonly string[] {
  const value = metadata.get(field);
  if (value === undefined) throw invalid(field, 'missing');
  if (value.type !== 'array' || value.elementType !== 'string') {
    throw invalid(field, `expected an array of strings, found ${value.type}`);
  }
  return value.value;
}

/** An array with one entry for each token. */
function readPerToken(
  metadata: GgufMetadata,
  field: string,
  tokenCount: number,
  elementTypes: readonly string[],
): readonly number[] {
  const value = metadata.get(field);
  if (value === undefined) throw invalid(field, 'missing');
  if (value.type !== 'array' || !elementTypes.includes(value.elementType)) {
    throw invalid(field, `expected an array of ${elementTypes.join(' or ')}`);
  }
  if (value.value.length !== tokenCount) {
    throw invalid(field, `expected ${tokenCount} entries as in ${TOKENS}, found ${value.value.length}`);
  }
  return value.value as readonly number[];
}

function readTokenTypes(metadata: GgufMetadata, tokenCount: number): readonly number[] {
  const types = readPerToken(metadata, TYPES, tokenCount, ['int32', 'uint32']);
  const wrong = types.findIndex((type) => type < TOKEN_TYPE.normal || type > TOKEN_TYPE.byte);
  if (wrong >= 0) throw invalid(TYPES, `entry ${wrong} is ${types[wrong]}, expected 1 to 6`);
  return types;
}

function readTokenId(metadata: GgufMetadata, field: string, tokenCount: number): number | null {
  const value = metadata.get(field);
  if (value === undefined) return null;
  const id = Number(value.value);
  if (!['uint8', 'uint16', 'uint32', 'int32', 'uint64', 'int64'].includes(value.type)) {
    throw invalid(field, `expected an integer, found ${value.type}`);
  }
  if (!Number.isInteger(id) || id < 0 || id >= tokenCount) {
    throw invalid(field, `${id} is no id of a vocabulary of ${tokenCount}`);
  }
  return id;
}

/** An unused or unknown token's surface, too, is not what a person means by typing it: it never comes from text. */
function tokenKind(type: number): TokenKind {
  switch (type) {
    case TOKEN_TYPE.normal:
      return 'text';
    case TOKEN_TYPE.byte:
      return 'byte';
    case TOKEN_TYPE.userDefined:
      return 'user-defined';
    default:
      return 'control';
  }
}

function readVocabulary(metadata: GgufMetadata): Vocabulary {
  const surfaces = readStrings(metadata, TOKENS);
  const types = readTokenTypes(metadata, surfaces.length);
  return createVocabulary(surfaces, (id) => tokenKind(types[id]!), TOKENS);
}

/** Merges by rank. Those that would put a control token together from text are left out. */
function readMerges(metadata: GgufMetadata, { ids, controlTokens }: Vocabulary): string[] {
  const controlSurfaces = new Set(controlTokens.map((token) => token.surface));
  const kept: string[] = [];
  for (const [rank, merge] of readStrings(metadata, MERGES).entries()) {
    const space = merge.indexOf(' ');
    if (space <= 0 || space === merge.length - 1 || merge.indexOf(' ', space + 1) >= 0) {
      throw invalid(MERGES, `entry ${rank} is ${shown(merge)}, expected two tokens and one space`);
    }
    const tokens = [merge.slice(0, space), merge.slice(space + 1), merge.replace(' ', '')];
    const strange = tokens.find((token) => !ids.has(token));
    if (strange === undefined) kept.push(merge);
    else if (!tokens.some((token) => controlSurfaces.has(token))) {
      throw invalid(MERGES, `entry ${rank} needs ${shown(strange)}, which is no token`);
    }
  }
  return kept;
}

type Parts = { vocabulary: Vocabulary; merges: string[]; pipeline: Pipeline };

function readByteLevel(metadata: GgufMetadata): Parts {
  const field = 'tokenizer.ggml.pre';
  const pre = readString(metadata, field) ?? '(none)';
  if (!isPreTokenizerName(pre)) throw unsupported(field, pre, Object.keys(PRE_TOKENIZERS));
  const { json, ignoreMerges }: PreTokenizer = PRE_TOKENIZERS[pre];
  const vocabulary = readVocabulary(metadata);
  return {
    vocabulary,
    merges: readMerges(metadata, vocabulary),
    pipeline: { family: 'byte-level', normalizer: null, preTokenizer: json, ignoreMerges },
  };
}

/** `tokenizer.ggml.pre` has no meaning here: SentencePiece does not cut text into words. */
function readSentencePiece(metadata: GgufMetadata): Parts {
  const extraSpaces = 'tokenizer.ggml.remove_extra_whitespaces';
  if (readBoolean(metadata, extraSpaces, false)) throw unsupported(extraSpaces, 'true', ['false']);
  const vocabulary = readVocabulary(metadata);
  const { entries, kinds } = vocabulary;
  const wrong = entries.findIndex((piece, id) => kinds[id] === 'byte' && byteOfPiece(piece) === null);
  if (wrong >= 0) throw invalid(TOKENS, `entry ${wrong}, ${shown(entries[wrong])}, is no byte`);
  requireBytePieces(
    entries.filter((_, id) => kinds[id] === 'byte'),
    TOKENS,
  );
  requireFewUserDefined(kinds, TYPES);
  const scores = readPerToken(metadata, SCORES, entries.length, ['float32', 'float64']);
  const unordered = scores.findIndex(Number.isNaN);
  if (unordered >= 0) throw invalid(SCORES, `entry ${unordered} is not a number`);
  return {
    vocabulary,
    merges: mergesFromScores(vocabulary, scores, TOKENS),
    pipeline: {
      family: 'sentencepiece',
      addsSpacePrefix: readBoolean(metadata, 'tokenizer.ggml.add_space_prefix', true),
    },
  };
}

/** By value of `tokenizer.ggml.model`. */
const READERS: ReadonlyMap<string, (metadata: GgufMetadata) => Parts> = new Map([
  ['gpt2', readByteLevel],
  ['llama', readSentencePiece],
]);

/**
 * Builds a tokenizer.json whose ids, for any text, are those of the model's own tokenizer with control tokens
 * disabled; control tokens themselves are written in their private form. User-defined tokens (`token_type` 4) are
 * matched in text as they stand. Whether a prompt begins with BOS is for templates to say, not for `add_bos_token`.
 * @throws TramontaneError `tokenizer-unsupported` for another model or pre-tokenizer, `tokenizer-invalid` for
 * metadata that contradict themselves; `data.field` names the metadata key.
 */
export function buildTokenizerJson(metadata: GgufMetadata): BuiltTokenizer {
  const model = readString(metadata, MODEL);
  if (model === null) throw invalid(MODEL, 'missing');
  const read = READERS.get(model);
  if (read === undefined) throw unsupported(MODEL, model, [...READERS.keys()]);
  const { vocabulary, merges, pipeline } = read(metadata);

  const tokenCount = vocabulary.entries.length;
  const eosField = 'tokenizer.ggml.eos_token_id';
  const eosId = readTokenId(metadata, eosField, tokenCount);
  if (eosId === null) throw invalid(eosField, 'missing');
  const named = END_KEYS.map((key) => readTokenId(metadata, key, tokenCount)).filter((id) => id !== null);
  return createTokenizer(vocabulary, merges, pipeline, {
    bosId: readTokenId(metadata, 'tokenizer.ggml.bos_token_id', tokenCount),
    eosId,
    stopTokenIds: listStopTokens(eosId, named, vocabulary.controlTokens),
  });
}
