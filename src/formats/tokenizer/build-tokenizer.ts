/**
 * From a GGUF file's `tokenizer.ggml.*` metadata to a Hugging Face tokenizer.json, which is what WebLLM reads.
 * Byte-level BPE only. Control tokens get private forms (base/control-text.ts), so that text never encodes to them.
 * Formats: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer and the `tokenizers` library.
 */

import { privateForm } from '../../base/control-text.ts';
import { FormatError, TramontaneError } from '../../base/errors.ts';
import type { GgufMetadata } from '../gguf/gguf.ts';
import { isPreTokenizerName, PRE_TOKENIZERS, type PreTokenizer } from './pre-tokenizers.ts';

/** A token that only templates may write. */
export interface ControlToken {
  id: number;
  /** As the model's makers write it: `[INST]`. */
  surface: string;
  /** As it stands in tokenizer.json and in rendered prompts. */
  privateForm: string;
}

export interface BuiltTokenizer {
  /** Content of tokenizer.json. */
  tokenizerJson: string;
  /** In the order of their ids. */
  controlTokens: ControlToken[];
  /** Null where the metadata name none. */
  bosId: number | null;
  eosId: number;
  /** Ids that end an answer, `eosId` first. */
  stopTokenIds: number[];
  /** Ids are 0 to `vocabularySize` - 1, without gaps. */
  vocabularySize: number;
}

/** Values of `tokenizer.ggml.token_type`. */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Never to come from text: an unused or unknown token's surface, too, is not what a person means by typing it. */
const CONTROL_TYPES: ReadonlySet<number> = new Set([
  TOKEN_TYPE.unknown,
  TOKEN_TYPE.control,
  TOKEN_TYPE.unused,
]);

/** Control tokens that end an answer in the models of this family, whether or not the metadata say so. */
const END_SURFACES: ReadonlySet<string> = new Set([
  '</s>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
]);

/** GGUF keys that name a token at which generation ends. */
const END_KEYS = ['tokenizer.ggml.eot_token_id', 'tokenizer.ggml.eom_token_id'] as const;

function invalid(field: string, message: string): FormatError {
  return new FormatError(`${field}: ${message}`, { field }, { code: 'tokenizer-invalid' });
}

function unsupported(field: string, found: string, supported: readonly string[]): TramontaneError {
  return new TramontaneError(
    'tokenizer-unsupported',
    `${field} is "${found}"; supported: ${supported.join(', ')}`,
    { data: { field, found, supported }, nextStep: 'Choose a build of this model with another tokenizer.' },
  );
}

function readString(metadata: GgufMetadata, field: string): string | null {
  const value = metadata.get(field);
  if (value === undefined) return null;
  if (value.type !== 'string') throw invalid(field, `expected a string, found ${value.type}`);
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

function readTokenTypes(metadata: GgufMetadata, tokenCount: number): readonly number[] {
  const field = 'tokenizer.ggml.token_type';
  const value = metadata.get(field);
  if (value === undefined) throw invalid(field, 'missing');
  if (value.type !== 'array' || (value.elementType !== 'int32' && value.elementType !== 'uint32')) {
    throw invalid(field, 'expected an array of 32-bit integers');
  }
  if (value.value.length !== tokenCount) {
    throw invalid(
      field,
      `expected ${tokenCount} entries as in tokenizer.ggml.tokens, found ${value.value.length}`,
    );
  }
  const wrong = value.value.findIndex((type) => type < TOKEN_TYPE.normal || type > TOKEN_TYPE.byte);
  if (wrong >= 0) throw invalid(field, `entry ${wrong} is ${value.value[wrong]}, expected 1 to 6`);
  return value.value;
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

function readPreTokenizer(metadata: GgufMetadata): PreTokenizer {
  const model = readString(metadata, 'tokenizer.ggml.model');
  if (model === null) throw invalid('tokenizer.ggml.model', 'missing');
  if (model !== 'gpt2') throw unsupported('tokenizer.ggml.model', model, ['gpt2']);
  const pre = readString(metadata, 'tokenizer.ggml.pre') ?? '(none)';
  if (!isPreTokenizerName(pre)) throw unsupported('tokenizer.ggml.pre', pre, Object.keys(PRE_TOKENIZERS));
  return PRE_TOKENIZERS[pre];
}

/**
 * Vocabulary entries by id, control tokens in their private form, and their ids.
 * A JSON object holds the vocabulary, hence every entry must be unique.
 */
function readVocabulary(metadata: GgufMetadata): {
  entries: string[];
  ids: Map<string, number>;
  types: readonly number[];
  surfaces: readonly string[];
} {
  const field = 'tokenizer.ggml.tokens';
  const surfaces = readStrings(metadata, field);
  if (surfaces.length === 0) throw invalid(field, 'empty');
  const types = readTokenTypes(metadata, surfaces.length);
  const entries: string[] = [];
  const ids = new Map<string, number>();
  for (const [id, surface] of surfaces.entries()) {
    const isControl = CONTROL_TYPES.has(types[id]!);
    if (!isControl && (surface === '' || surface.includes('\u0001'))) {
      throw invalid(field, `entry ${id} is empty or contains U+0001`);
    }
    const entry = isControl ? privateForm(id) : surface;
    const first = ids.get(entry);
    if (first !== undefined)
      throw invalid(field, `entries ${first} and ${id} are both ${JSON.stringify(entry)}`);
    ids.set(entry, id);
    entries.push(entry);
  }
  return { entries, ids, types, surfaces };
}

/** Merges by rank. Those that would put a control token together from text are left out. */
function readMerges(
  metadata: GgufMetadata,
  ids: ReadonlyMap<string, number>,
  controlSurfaces: ReadonlySet<string>,
): string[] {
  const field = 'tokenizer.ggml.merges';
  const kept: string[] = [];
  for (const [rank, merge] of readStrings(metadata, field).entries()) {
    const space = merge.indexOf(' ');
    if (space <= 0 || space === merge.length - 1 || merge.indexOf(' ', space + 1) >= 0) {
      throw invalid(field, `entry ${rank} is ${JSON.stringify(merge)}, expected two tokens and one space`);
    }
    const tokens = [merge.slice(0, space), merge.slice(space + 1), merge.replace(' ', '')];
    const strange = tokens.find((token) => !ids.has(token));
    if (strange === undefined) kept.push(merge);
    else if (!tokens.some((token) => controlSurfaces.has(token))) {
      throw invalid(field, `entry ${rank} needs ${JSON.stringify(strange)}, which is no token`);
    }
  }
  return kept;
}

function addedToken(id: number, content: string, special: boolean) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/** Written by hand: as keys of an object, tokens such as `7` or `__proto__` would be reordered or lost. */
function vocabularyJson(entries: readonly string[]): string {
  return `{${entries.map((entry, id) => `${JSON.stringify(entry)}:${id}`).join(',')}}`;
}

/**
 * Builds a tokenizer.json whose ids, for any text, are those of the model's own tokenizer with control tokens
 * disabled; control tokens themselves are written in their private form. User-defined tokens (`token_type` 4) are
 * matched in text as they stand.
 * @throws TramontaneError `tokenizer-unsupported` for another model or pre-tokenizer, `tokenizer-invalid` for
 * metadata that contradict themselves; `data.field` names the metadata key.
 */
export function buildTokenizerJson(metadata: GgufMetadata): BuiltTokenizer {
  const preTokenizer = readPreTokenizer(metadata);
  const { entries, ids, types, surfaces } = readVocabulary(metadata);
  const controlTokens: ControlToken[] = [];
  const added = [];
  for (const [id, entry] of entries.entries()) {
    if (CONTROL_TYPES.has(types[id]!)) {
      controlTokens.push({ id, surface: surfaces[id]!, privateForm: entry });
      added.push(addedToken(id, entry, true));
    } else if (types[id] === TOKEN_TYPE.userDefined) {
      added.push(addedToken(id, entry, false));
    }
  }
  const merges = readMerges(metadata, ids, new Set(controlTokens.map((token) => token.surface)));

  const eosField = 'tokenizer.ggml.eos_token_id';
  const eosId = readTokenId(metadata, eosField, entries.length);
  if (eosId === null) throw invalid(eosField, 'missing');
  const stopTokenIds = new Set([eosId]);
  for (const field of END_KEYS) {
    const id = readTokenId(metadata, field, entries.length);
    if (id !== null) stopTokenIds.add(id);
  }
  for (const { id, surface } of controlTokens) if (END_SURFACES.has(surface)) stopTokenIds.add(id);

  const model = {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: preTokenizer.ignoreMerges,
  };
  const json = [
    '"version":"1.0","truncation":null,"padding":null',
    `"added_tokens":${JSON.stringify(added)}`,
    '"normalizer":null',
    `"pre_tokenizer":${JSON.stringify(preTokenizer.json)}`,
    '"post_processor":null',
    `"decoder":${JSON.stringify({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true })}`,
    `"model":{${JSON.stringify(model).slice(1, -1)},"vocab":${vocabularyJson(entries)},"merges":${JSON.stringify(merges)}}`,
  ];
  return {
    tokenizerJson: `{${json.join(',')}}`,
    controlTokens,
    bosId: readTokenId(metadata, 'tokenizer.ggml.bos_token_id', entries.length),
    eosId,
    stopTokenIds: [...stopTokenIds],
    vocabularySize: entries.length,
  };
}
