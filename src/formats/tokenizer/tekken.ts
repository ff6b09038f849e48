/**
 * From Mistral's tekken.json to a Hugging Face tokenizer.json. The file has a ranked vocabulary of bytes, as tiktoken
 * uses it, and special tokens, whose ids come first. Format: mistral-common, tokens/tokenizers/tekken.py.
 */

import { errorMessage } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';
import { spellBytes } from './byte-alphabet.ts';
import { type Json, readArray, readObject } from './json-fields.ts';
import { mergesFromRanks } from './merges.ts';
import { PRE_TOKENIZERS, TEKKEN_PATTERN } from './pre-tokenizers.ts';
import { invalidTokenizer as invalid, unsupportedTokenizer as unsupported } from './tokenizer-errors.ts';
import { type BuiltTokenizer, createTokenizer } from './tokenizer-json.ts';
import { createVocabulary, listStopTokens } from './vocabulary.ts';

/** Versions of the file, and whether each brings its own list of special tokens. */
const VERSIONS: ReadonlyMap<string, { mustListSpecialTokens: boolean }> = new Map([
  ['v3', { mustListSpecialTokens: false }],
  ['v7', { mustListSpecialTokens: false }],
  ['v11', { mustListSpecialTokens: true }],
  ['v13', { mustListSpecialTokens: true }],
]);

/** The first special tokens of a file without a list, by rank. */
const UNLISTED_SPECIAL_TOKENS = [
  ...['<unk>', '<s>', '</s>', '[INST]', '[/INST]', '[AVAILABLE_TOOLS]', '[/AVAILABLE_TOOLS]'],
  ...['[TOOL_RESULTS]', '[/TOOL_RESULTS]', '[TOOL_CALLS]', '[IMG]', '<pad>', '[IMG_BREAK]', '[IMG_END]'],
  ...['[PREFIX]', '[MIDDLE]', '[SUFFIX]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]', '[TOOL_CONTENT]'],
];

/** More special tokens than any file has; guards the loop that fills the rest in. */
const MAX_SPECIAL_TOKENS = 100_000;

function readString(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw invalid(field, value === undefined ? 'missing' : 'expected a string');
}

function readCount(value: unknown, field: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  const found = value === undefined ? 'missing' : shown(value);
  throw invalid(field, `${found}, expected a whole number from ${min} to ${max}`);
}

function readConfig(file: Json) {
  const config = readObject(file.config, 'config');
  const version = readString(config.version, 'config.version');
  const traits = VERSIONS.get(version);
  if (traits === undefined) throw unsupported('config.version', version, [...VERSIONS.keys()]);
  const pattern = readString(config.pattern, 'config.pattern');
  if (pattern !== TEKKEN_PATTERN) {
    throw unsupported('config.pattern', pattern, ['the pattern of Tekken v3 to v13']);
  }
  return { config, version, ...traits };
}

/** Surfaces by rank; ranks that the file leaves out are `<SPECIAL_n>`. */
function readSpecialTokens(listed: unknown, count: number, version: string, mustList: boolean): string[] {
  const field = 'special_tokens';
  let surfaces: string[];
  if (listed === undefined || listed === null) {
    if (mustList) throw invalid(field, `missing, which a file of version ${version} must have`);
    surfaces = UNLISTED_SPECIAL_TOKENS.slice(0, count);
  } else {
    surfaces = readArray(listed, field).map((value, rank) => {
      const token = readObject(value, `${field}[${rank}]`);
      readCount(token.rank, `${field}[${rank}].rank`, rank, rank);
      return readString(token.token_str, `${field}[${rank}].token_str`);
    });
  }
  if (surfaces.length > count) {
    throw invalid(
      field,
      `${surfaces.length} entries, more than config.default_num_special_tokens (${count})`,
    );
  }
  while (surfaces.length < count) surfaces.push(`<SPECIAL_${surfaces.length}>`);
  const seen = new Set<string>();
  for (const surface of surfaces) {
    if (seen.has(surface)) throw invalid(field, `${shown(surface)} stands twice`);
    seen.add(surface);
  }
  return surfaces;
}

function readBytes(value: unknown, rank: number): string {
  const field = `vocab[${rank}]`;
  const token = readObject(value, field);
  readCount(token.rank, `${field}.rank`, rank, rank);
  let bytes: string;
  try {
    bytes = atob(readString(token.token_bytes, `${field}.token_bytes`));
  } catch (error) {
    throw invalid(`${field}.token_bytes`, `not base64: ${errorMessage(error)}`);
  }
  if (rank < 256 && bytes !== String.fromCharCode(rank)) {
    throw invalid(`${field}.token_bytes`, 'the first 256 tokens must be the bytes, in order');
  }
  return spellBytes(bytes);
}

function findSpecial(surfaces: readonly string[], surface: string): number {
  const id = surfaces.indexOf(surface);
  if (id < 0) throw invalid('special_tokens', `${surface} is missing`);
  return id;
}

/**
 * Builds the tokenizer.json of a tekken.json (v3, v7, v11, v13): ids, for any text, are those that mistral-common gives;
 * every special token is a control token.
 * @param text the file's content, about 20 MB
 * @throws TramontaneError `tokenizer-unsupported` for another version or pattern, `tokenizer-invalid` for a file that
 * contradicts itself; `data.field` names the field.
 */
export function buildTokenizerFromTekken(text: string): BuiltTokenizer {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid('tekken.json', `not JSON: ${errorMessage(error)}`);
  }
  const file = readObject(parsed, 'tekken.json');
  const { config, version, mustListSpecialTokens } = readConfig(file);
  const vocab = readArray(file.vocab, 'vocab');
  const specialField = 'config.default_num_special_tokens';
  const specialCount = readCount(config.default_num_special_tokens, specialField, 1, MAX_SPECIAL_TOKENS);
  const size = readCount(
    config.default_vocab_size,
    'config.default_vocab_size',
    specialCount + 256,
    specialCount + vocab.length,
  );
  const special = readSpecialTokens(file.special_tokens, specialCount, version, mustListSpecialTokens);
  const tokens = vocab.slice(0, size - specialCount).map(readBytes);
  const vocabulary = createVocabulary(
    [...special, ...tokens],
    (id) => (id < specialCount ? 'control' : 'text'),
    'vocab',
  );
  const { json, ignoreMerges } = PRE_TOKENIZERS.tekken;
  const eosId = findSpecial(special, '</s>');
  return createTokenizer(
    vocabulary,
    mergesFromRanks(tokens, 'vocab'),
    { family: 'byte-level', normalizer: null, preTokenizer: json, ignoreMerges },
    {
      bosId: findSpecial(special, '<s>'),
      eosId,
      stopTokenIds: listStopTokens(eosId, [], vocabulary.controlTokens),
    },
  );
}
