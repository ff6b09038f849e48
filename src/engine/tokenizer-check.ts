/**
 * WebLLM's tokenizer is a Rust library in a wasm: what it cannot read makes it trap, with a text that helps nobody.
 * So the parts that it relies on are checked first. Only regular expressions are not: they are in Oniguruma's syntax.
 */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';

type Json = Readonly<Record<string, unknown>>;

/** What the library wants of a field that must be there. */
type FieldKind = 'boolean' | 'string' | 'pattern' | readonly string[];
type Components = Readonly<Record<string, Readonly<Record<string, FieldKind>>>>;

interface Part {
  /** Field of a `Sequence` that lists its components. */
  list: string;
  /** By type. */
  components: Components;
}

/** Components of `tokenizers` as WebLLM 0.2.86 bundles it. */
const PARTS: Readonly<Record<string, Part>> = {
  normalizer: {
    list: 'normalizers',
    components: {
      ...{ NFC: {}, NFD: {}, NFKC: {}, NFKD: {}, Lowercase: {}, StripAccents: {}, Nmt: {}, ByteLevel: {} },
      BertNormalizer: { clean_text: 'boolean', handle_chinese_chars: 'boolean', lowercase: 'boolean' },
      Precompiled: { precompiled_charsmap: 'string' },
      Prepend: { prepend: 'string' },
      Replace: { pattern: 'pattern', content: 'string' },
      Strip: { strip_left: 'boolean', strip_right: 'boolean' },
    },
  },
  pre_tokenizer: {
    list: 'pretokenizers',
    components: {
      ...{ BertPreTokenizer: {}, UnicodeScripts: {}, Whitespace: {}, WhitespaceSplit: {} },
      ByteLevel: { add_prefix_space: 'boolean', trim_offsets: 'boolean' },
      CharDelimiterSplit: { delimiter: 'string' },
      Digits: { individual_digits: 'boolean' },
      Metaspace: { replacement: 'string' },
      Punctuation: {},
      Split: {
        pattern: 'pattern',
        behavior: ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'],
        invert: 'boolean',
      },
    },
  },
  decoder: {
    list: 'decoders',
    components: {
      ...{ ByteFallback: {}, CTC: {}, Fuse: {} },
      BPEDecoder: { suffix: 'string' },
      ByteLevel: { add_prefix_space: 'boolean', trim_offsets: 'boolean' },
      Metaspace: { replacement: 'string' },
      Replace: { pattern: 'pattern', content: 'string' },
      Strip: { content: 'string' },
      WordPiece: { prefix: 'string', cleanup: 'boolean' },
    },
  },
};

const MAX_TOKEN_ID = 2 ** 32 - 1;

/** @throws TramontaneError `tokenizer-invalid` naming the field */
export function checkTokenizer(text: string): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid('tokenizer.json', `is not JSON: ${errorMessage(error)}`);
  }
  if (!isObject(parsed)) throw invalid('tokenizer.json', 'is not an object');
  const { model, added_tokens: added } = parsed;
  if (!isObject(model)) throw invalid('model', 'is missing');
  if (model.type !== undefined && model.type !== 'BPE') {
    throw invalid('model.type', `is ${shown(model.type)}; only BPE is supported`);
  }
  if (!isObject(model.vocab)) throw invalid('model.vocab', 'is not an object of token ids');
  if (!Array.isArray(model.merges)) throw invalid('model.merges', 'is not a list');
  if (added !== undefined && !Array.isArray(added)) throw invalid('added_tokens', 'is not a list');
  checkOptions(model);
  checkIds(model.vocab, added ?? []);
  checkMerges(model.merges, model.vocab);
  for (const [field, part] of Object.entries(PARTS)) checkPart(parsed[field], field, part);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_TOKEN_ID;
}

function checkOptions(model: Json): void {
  for (const name of ['byte_fallback', 'ignore_merges', 'fuse_unk']) {
    const value = model[name];
    if (value !== undefined && typeof value !== 'boolean') {
      throw invalid(`model.${name}`, `is ${shown(value)}, not true or false`);
    }
  }
  for (const name of ['unk_token', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    const value = model[name] ?? null;
    if (value !== null && typeof value !== 'string') {
      throw invalid(`model.${name}`, `is ${shown(value)}, not a text`);
    }
  }
}

function checkIds(vocab: Json, added: readonly unknown[]): void {
  const ids = new Set<number>();
  for (const [token, id] of Object.entries(vocab)) {
    if (!isTokenId(id)) throw invalid(`model.vocab[${shown(token)}]`, 'is not a whole number from 0');
    ids.add(id);
  }
  for (const [i, token] of added.entries()) {
    const field = `added_tokens[${i}]`;
    const { id, content, ...flags } = isObject(token) ? token : ({} as Json);
    if (!isTokenId(id) || typeof content !== 'string' || content === '') {
      throw invalid(field, 'needs a whole-number id and a content');
    }
    for (const flag of ['single_word', 'lstrip', 'rstrip', 'normalized', 'special']) {
      if (typeof flags[flag] !== 'boolean') throw invalid(`${field}.${flag}`, 'is not true or false');
    }
    ids.add(id);
  }
  for (let id = 0; id < ids.size; id++) {
    if (!ids.has(id))
      throw invalid('model.vocab', `has no token with id ${id}, though it has ${ids.size} ids`);
  }
}

/** All as texts, `"a b"`, or all as pairs, `["a","b"]`. */
function checkMerges(merges: readonly unknown[], vocab: Json): void {
  const arePairs = Array.isArray(merges[0]);
  for (const [i, merge] of merges.entries()) {
    const pair: unknown = arePairs ? merge : typeof merge === 'string' ? merge.split(' ') : null;
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((token) => typeof token === 'string')) {
      throw invalid(`model.merges[${i}]`, `is ${shown(merge)}, not two tokens like those before`);
    }
    const [left, right] = pair as [string, string];
    const strange = [left, right, left + right].find((token) => !Object.hasOwn(vocab, token));
    if (strange !== undefined) {
      throw invalid(`model.merges[${i}]`, `needs ${shown(strange)}, which is no token of the vocabulary`);
    }
  }
}

function checkPart(value: unknown, field: string, part: Part): void {
  if (value === null || value === undefined) return;
  if (!isObject(value)) throw invalid(field, `is ${shown(value)}, not an object`);
  const { type } = value;
  if (type === 'Sequence') {
    const list = value[part.list];
    if (!Array.isArray(list)) throw invalid(`${field}.${part.list}`, 'is not a list');
    for (const [i, item] of list.entries()) {
      if (!isObject(item)) throw invalid(`${field}.${part.list}[${i}]`, 'is not an object');
      // Deeper sequences are in no model's file, and hostile ones would exhaust the stack here or there.
      checkComponent(item, `${field}.${part.list}[${i}]`, part.components);
    }
  } else checkComponent(value, field, part.components);
}

function checkComponent(component: Json, field: string, components: Components): void {
  const { type } = component;
  if (typeof type !== 'string' || !Object.hasOwn(components, type)) {
    throw invalid(
      `${field}.type`,
      `is ${shown(type)}; supported are ${Object.keys(components).join(', ')} and one Sequence of these`,
    );
  }
  for (const [name, kind] of Object.entries(components[type]!)) {
    if (!fits(component[name], kind)) {
      throw invalid(`${field}.${name}`, `is ${shown(component[name])}, which ${type} cannot have`);
    }
  }
}

function fits(value: unknown, kind: FieldKind): boolean {
  if (kind === 'pattern') {
    return isObject(value) && (typeof value.Regex === 'string' || typeof value.String === 'string');
  }
  if (typeof kind === 'string') return typeof value === kind;
  return typeof value === 'string' && kind.includes(value);
}

function invalid(field: string, what: string): TramontaneError {
  return new TramontaneError('tokenizer-invalid', `tokenizer.json: ${field} ${what}.`, {
    nextStep: 'Import the model again.',
    data: { field },
  });
}
