/**
 * From a model's own Hugging Face tokenizer.json, as folders in MLC's layout carry it, to ours: control tokens private,
 * nothing added to text behind the templates' backs. Only what is known to mean the same afterwards is taken.
 */

import { errorMessage } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';
import { BYTE_ALPHABET } from './byte-alphabet.ts';
import { type Json, readArray, readObject } from './json-fields.ts';
import { byteOfPiece, requireBytePieces, requireFewUserDefined } from './sentencepiece.ts';
import { invalidTokenizer as invalid, unsupportedTokenizer as unsupported } from './tokenizer-errors.ts';
import { type BuiltTokenizer, createTokenizer, type Pipeline, SPACE_MARK } from './tokenizer-json.ts';
import { createVocabulary, listStopTokens, type TokenKind, type Vocabulary } from './vocabulary.ts';

/** Ids that tokenizer.json does not tell: `mlc-chat-config.json` has `bos_token_id`, `eos_token_id`, `stop_token_ids`. */
export interface EndTokens {
  bosId: number | null;
  eosId: number;
  /** Further ids that end an answer. */
  stopTokenIds?: readonly number[];
}

/** Each of them is run on every prompt; models have up to five. */
const MAX_COMPONENTS = 32;
/** The longest pattern known has some hundred characters. */
const MAX_PATTERN_LENGTH = 10_000;

function readBoolean(value: unknown, field: string, absent?: boolean): boolean {
  if (typeof value === 'boolean') return value;
  if (value === undefined && absent !== undefined) return absent;
  throw invalid(field, `expected true or false, found ${shown(value)}`);
}

function readId(value: unknown, field: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(field, `expected a whole number from 0, found ${shown(value)}`);
}

/** Refuses options that would change how text is encoded, where they are set at all. */
function requireUnset(object: Json, field: string, names: readonly string[]): void {
  for (const name of names) {
    const value = object[name];
    const isUnset = value === undefined || value === null || value === false || value === 0 || value === '';
    if (!isUnset) throw unsupported(`${field}.${name}`, shown(value), ['nothing']);
  }
}

/** A component or, of a `Sequence`, its components in order. Null is none. */
function listComponents(value: unknown, field: string, listName: string): Json[] {
  if (value === null || value === undefined) return [];
  const component = readObject(value, field);
  if (component.type !== 'Sequence') return [component];
  const list = readArray(component[listName], `${field}.${listName}`);
  if (list.length > MAX_COMPONENTS) {
    throw unsupported(field, `a sequence of ${list.length}`, [`up to ${MAX_COMPONENTS}`]);
  }
  return list.map((item, i) => readObject(item, `${field}.${listName}[${i}]`));
}

const isSpaceReplacement = ({ type, pattern, content }: Json) =>
  type === 'Replace' && (pattern as Json | undefined)?.String === ' ' && content === SPACE_MARK;

/** The two ways in which converters write SentencePiece's treatment of spaces: as a normaliser, or as `Metaspace`. */
function readSpacePrefix(tokenizer: Json): boolean {
  const normalizers = listComponents(tokenizer.normalizer, 'normalizer', 'normalizers');
  const preTokenizers = listComponents(tokenizer.pre_tokenizer, 'pre_tokenizer', 'pretokenizers');
  let addsPrefix = false;
  let replacesSpaces = false;
  for (const component of normalizers) {
    if (component.type === 'Prepend' && component.prepend === SPACE_MARK) addsPrefix = true;
    else if (isSpaceReplacement(component)) replacesSpaces = true;
    else throw unsupported('normalizer', shown(component), ['Prepend ▁', 'Replace " " by ▁']);
  }
  for (const component of preTokenizers) {
    const field = 'pre_tokenizer';
    if (component.type !== 'Metaspace' || component.replacement !== SPACE_MARK) {
      throw unsupported(field, shown(component), ['Metaspace with ▁']);
    }
    if (readBoolean(component.split, `${field}.split`, true)) {
      throw unsupported(`${field}.split`, 'true', ['false']);
    }
    replacesSpaces = true;
    const scheme = component.prepend_scheme ?? (component.add_prefix_space === false ? 'never' : 'always');
    if (scheme !== 'never') addsPrefix = true;
  }
  if (!replacesSpaces) throw unsupported('normalizer', 'none that writes spaces as ▁', ['Replace " " by ▁']);
  return addsPrefix;
}

const SPLIT_BEHAVIOURS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];

/** The parts of a byte-level pre-tokenizer, with what they mean and nothing else. */
function readPreTokenizer(component: Json, field: string): object {
  switch (component.type) {
    case 'Split': {
      const pattern = readObject(component.pattern, `${field}.pattern`);
      const [kind, text] = Object.entries(pattern)[0] ?? [];
      if ((kind !== 'Regex' && kind !== 'String') || typeof text !== 'string') {
        throw invalid(`${field}.pattern`, `expected a Regex or a String, found ${shown(pattern)}`);
      }
      if (text.length > MAX_PATTERN_LENGTH) {
        throw unsupported(`${field}.pattern`, text, [`patterns of up to ${MAX_PATTERN_LENGTH} characters`]);
      }
      const behaviour = component.behavior;
      if (typeof behaviour !== 'string' || !SPLIT_BEHAVIOURS.includes(behaviour)) {
        throw invalid(`${field}.behavior`, `expected one of ${SPLIT_BEHAVIOURS}, found ${shown(behaviour)}`);
      }
      const invert = readBoolean(component.invert, `${field}.invert`, false);
      return { type: 'Split', pattern: { [kind]: text }, behavior: behaviour, invert };
    }
    case 'Digits':
      return {
        type: 'Digits',
        individual_digits: readBoolean(component.individual_digits, `${field}.individual_digits`, false),
      };
    case 'ByteLevel':
      if (readBoolean(component.add_prefix_space, `${field}.add_prefix_space`)) {
        throw unsupported(`${field}.add_prefix_space`, 'true', ['false']);
      }
      return {
        type: 'ByteLevel',
        add_prefix_space: false,
        trim_offsets: readBoolean(component.trim_offsets, `${field}.trim_offsets`, true),
        use_regex: readBoolean(component.use_regex, `${field}.use_regex`, true),
      };
    default:
      throw unsupported(`${field}.type`, shown(component.type), ['Split', 'Digits', 'ByteLevel']);
  }
}

function readByteLevelPipeline(tokenizer: Json, model: Json): Pipeline {
  const normalizers = listComponents(tokenizer.normalizer, 'normalizer', 'normalizers');
  for (const { type } of normalizers) {
    if (type !== 'NFC') throw unsupported('normalizer', shown(type), ['none', 'NFC']);
  }
  const field = 'pre_tokenizer';
  const components = listComponents(tokenizer.pre_tokenizer, field, 'pretokenizers');
  if (components.at(-1)?.type !== 'ByteLevel') {
    throw unsupported(field, shown(tokenizer.pre_tokenizer), [
      'a ByteLevel one',
      'a sequence that ends in one',
    ]);
  }
  return {
    family: 'byte-level',
    normalizer: normalizers.length === 0 ? null : { type: 'NFC' },
    preTokenizer: {
      type: 'Sequence',
      pretokenizers: components.map((component) => readPreTokenizer(component, field)),
    },
    ignoreMerges: readBoolean(model.ignore_merges, 'model.ignore_merges', false),
  };
}

interface AddedToken {
  id: number;
  content: string;
  isSpecial: boolean;
}

function readAddedToken(value: unknown, field: string): AddedToken {
  const token = readObject(value, field);
  const { content } = token;
  if (typeof content !== 'string' || content === '') {
    throw invalid(`${field}.content`, `expected a text, found ${shown(content)}`);
  }
  // They would take spaces beside the token away, or let it stand alone only.
  requireUnset(token, field, ['single_word', 'lstrip', 'rstrip']);
  return {
    id: readId(token.id, `${field}.id`),
    content,
    isSpecial: readBoolean(token.special, `${field}.special`),
  };
}

/** Vocabulary and added tokens as one, without gaps. */
function readVocabulary(tokenizer: Json, model: Json, ends: EndTokens, isSentencePiece: boolean): Vocabulary {
  const field = 'model.vocab';
  const surfaces = new Map<number, string>();
  const ids = new Map<string, number>();
  const put = (token: string, id: number, where: string) => {
    const other = surfaces.get(id);
    if (other !== undefined && other !== token) {
      throw invalid(where, `id ${id} is that of ${shown(other)} and of ${shown(token)}`);
    }
    const otherId = ids.get(token);
    if (otherId !== undefined && otherId !== id) {
      throw invalid(where, `${shown(token)} has the ids ${otherId} and ${id}`);
    }
    surfaces.set(id, token);
    ids.set(token, id);
  };
  for (const [token, id] of Object.entries(readObject(model.vocab, field))) {
    put(token, readId(id, `${field}[${shown(token)}]`), field);
  }
  const kinds = new Map<number, TokenKind>();
  for (const [i, value] of readArray(tokenizer.added_tokens ?? [], 'added_tokens').entries()) {
    const token = readAddedToken(value, `added_tokens[${i}]`);
    put(token.content, token.id, `added_tokens[${i}]`);
    kinds.set(token.id, token.isSpecial ? 'control' : 'user-defined');
  }
  const list = Array.from({ length: surfaces.size }, (_, id) => {
    const surface = surfaces.get(id);
    if (surface === undefined)
      throw invalid(field, `no token has id ${id}, though there are ${surfaces.size}`);
    if (isSentencePiece && !kinds.has(id) && byteOfPiece(surface) !== null) kinds.set(id, 'byte');
    return surface;
  });
  // Templates write these two, whatever the file says of them.
  for (const id of [ends.bosId, ends.eosId]) if (id !== null) kinds.set(id, 'control');
  return createVocabulary(list, (id) => kinds.get(id) ?? 'text', field);
}

/** Merges by rank, without those that text never comes to: they make a control or user-defined token, or need one. */
function readMerges(model: Json, vocabulary: Vocabulary, isSentencePiece: boolean): string[] {
  const { ids, kinds, controlTokens } = vocabulary;
  const controlSurfaces = new Set(controlTokens.map((token) => token.surface));
  const isOut = (token: string) => {
    if (controlSurfaces.has(token)) return true;
    return isSentencePiece && kinds[ids.get(token) ?? -1] === 'user-defined';
  };
  const kept: string[] = [];
  for (const [rank, merge] of readArray(model.merges, 'model.merges').entries()) {
    const field = `model.merges[${rank}]`;
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    if (typeof left !== 'string' || typeof right !== 'string' || left === '' || right === '') {
      throw invalid(field, `expected two tokens, found ${shown(merge)}`);
    }
    const tokens = [left, right, left + right];
    if (tokens.some(isOut)) continue;
    const strange = tokens.find((token) => !ids.has(token));
    if (strange !== undefined) throw invalid(field, `${shown(strange)} is no token`);
    if (tokens.some((token) => token.includes(' '))) throw invalid(field, `${shown(merge)} has a space`);
    kept.push(`${left} ${right}`);
  }
  return kept;
}

/**
 * What a model does with text that it cannot spell differs; ours drops it, which is right only where nothing says
 * otherwise.
 */
function checkUnknownToken(model: Json, { ids }: Vocabulary): void {
  if (model.unk_token === undefined || model.unk_token === null) return;
  if (BYTE_ALPHABET.every((character) => ids.has(character))) return;
  throw unsupported('model.unk_token', shown(model.unk_token), ['none, or a token for each byte']);
}

/**
 * A model's own tokenizer.json (byte-level BPE, or SentencePiece BPE with byte fallback) as one of ours: ids for any
 * text are the same, control tokens (`added_tokens` with `special`) have private forms, and the `post_processor` is gone,
 * since templates write BOS themselves. With SentencePiece, text after a control token is encoded as by itself, which is
 * what Mistral's own tokenizers do.
 * @throws TramontaneError `tokenizer-unsupported` for components that cannot be kept, `tokenizer-invalid` for a file that
 * contradicts itself or `ends`; `data.field` names the field.
 */
export function privatiseTokenizerJson(text: string, ends: EndTokens): BuiltTokenizer {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid('tokenizer.json', `not JSON: ${errorMessage(error)}`);
  }
  const tokenizer = readObject(parsed, 'tokenizer.json');
  const model = readObject(tokenizer.model, 'model');
  if (model.type !== 'BPE') throw unsupported('model.type', shown(model.type), ['BPE']);
  requireUnset(model, 'model', ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix']);
  const isSentencePiece = readBoolean(model.byte_fallback, 'model.byte_fallback', false);
  if (isSentencePiece) requireUnset(model, 'model', ['ignore_merges']);
  const pipeline: Pipeline = isSentencePiece
    ? { family: 'sentencepiece', addsSpacePrefix: readSpacePrefix(tokenizer) }
    : readByteLevelPipeline(tokenizer, model);

  const vocabulary = readVocabulary(tokenizer, model, ends, isSentencePiece);
  const { entries, kinds, controlTokens } = vocabulary;
  if (isSentencePiece) {
    requireBytePieces(
      entries.filter((_, id) => kinds[id] === 'byte'),
      'model.vocab',
    );
    requireFewUserDefined(kinds, 'added_tokens');
  } else checkUnknownToken(model, vocabulary);
  const stopTokenIds = listStopTokens(ends.eosId, ends.stopTokenIds ?? [], controlTokens);
  for (const id of [...stopTokenIds, ends.bosId ?? 0]) {
    if (!(Number.isInteger(id) && id >= 0 && id < entries.length)) {
      throw invalid('tokenizer.json', `${id} is no id of a vocabulary of ${entries.length}`);
    }
  }
  return createTokenizer(vocabulary, readMerges(model, vocabulary, isSentencePiece), pipeline, {
    bosId: ends.bosId,
    eosId: ends.eosId,
    stopTokenIds,
  });
}
