/**
 * Makes a hostile GGUF from good ones: first pieces are dropped, doubled, swapped, brought in from other files and
 * rewritten with values of other types; then numbers of the structure and plain bytes are changed.
 */
import {
  ARRAY_TYPE,
  type GgufPieces,
  type Joined,
  join,
  nameEnd,
  nameOf,
  type Piece,
  STRING_TYPE,
  toPiece,
  VALUE_BYTES,
} from './gguf-pieces.ts';
import type { Choice } from './random-choice.ts';

/** Numbers at which programs go wrong. */
const INTEGERS: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 4n, 5n, 7n, 8n, 9n, 12n, 13n, 31n, 32n, 33n, 64n, 127n, 128n, 255n, 256n],
  ...[15, 16, 20, 22, 24, 31, 32, 33, 40, 52, 53, 54, 62, 63, 64].flatMap((bits) => [
    (1n << BigInt(bits)) - 1n,
    1n << BigInt(bits),
  ]),
];
const FLOATS = [
  ...[0, -0, 1, -1, 0.15, 1e-5, 0.5, 2, 32, 1e4, 1e6, 1e9, 1e12, 1e300, -1e300, 5e-324],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
];
const STRINGS: readonly Uint8Array[] = [
  ...[
    '',
    ' ',
    'a',
    'llama',
    'gpt2',
    'tekken',
    'smollm',
    'none',
    'yarn',
    '__proto__',
    'constructor',
    '\0',
    '\u00011\u0002',
  ],
  ...['\ufeff', '😀', 'Ġ', '</s>', '[INST]', "{{ '", '{% for', "'\\'\\'", 'x'.repeat(3000)],
].map((text) => new TextEncoder().encode(text));
/** Not UTF-8: a lone byte, a surrogate, an overlong form, a cut sequence, a code point beyond the last. */
const NOT_TEXT: readonly Uint8Array[] = [
  [0xff],
  [0xed, 0xa0, 0x80],
  [0xc0, 0xaf],
  [0xf0, 0x9f, 0x98],
  [0xf4, 0x90, 0x80, 0x80],
].map((bytes) => Uint8Array.from(bytes));

/** Keys that the importer reads. */
const KEYS = [
  ...['general.architecture', 'general.name', 'general.file_type', 'general.alignment', 'general.license'],
  ...['general.source.url', 'general.url', 'general.sampling.temp', 'general.sampling.top_p'],
  ...['split.no', 'split.count', 'split.tensors.count'],
  ...['block_count', 'context_length', 'embedding_length', 'feed_forward_length', 'vocab_size'].map(ofLlama),
  ...['head_count', 'head_count_kv', 'key_length', 'value_length', 'layer_norm_rms_epsilon'].map((key) =>
    ofLlama(`attention.${key}`),
  ),
  ...['sliding_window', 'causal', 'scale', 'temperature_scale', 'clamp_kqv'].map((key) =>
    ofLlama(`attention.${key}`),
  ),
  ...['rope.dimension_count', 'rope.freq_base', 'rope.scaling.type', 'rope.scaling.factor'].map(ofLlama),
  ...['expert_count', 'logit_scale', 'final_logit_softcapping'].map(ofLlama),
  ...['model', 'pre', 'tokens', 'token_type', 'merges', 'scores', 'bos_token_id', 'eos_token_id'].map(
    ofTokenizer,
  ),
  ...[
    'eot_token_id',
    'eom_token_id',
    'unknown_token_id',
    'add_bos_token',
    'add_space_prefix',
    'remove_extra_whitespaces',
  ].map(ofTokenizer),
  'tokenizer.chat_template',
];

function ofLlama(key: string): string {
  return `llama.${key}`;
}

function ofTokenizer(key: string): string {
  return `tokenizer.ggml.${key}`;
}

/** Changes that one input gets: mostly one or two, so that the parser is reached behind its first checks. */
function countOfChanges(choice: Choice): number {
  return choice.oneIn(8) ? 3 + choice.below(6) : 1 + choice.below(2);
}

/** A hostile file, or now and then still a good one. The same `choice` gives the same file. */
export function mutate(corpus: readonly GgufPieces[], choice: Choice): Uint8Array<ArrayBuffer> {
  const base = choice.of(corpus);
  const pieces = { ...base, metadata: [...base.metadata], tensors: [...base.tensors] };
  const where = choice.of(['pieces', 'pieces', 'bytes', 'both']);
  if (where !== 'bytes') {
    for (let count = countOfChanges(choice); count > 0; count--) changePieces(pieces, corpus, choice);
  }
  let joined = join(pieces);
  if (where !== 'pieces') {
    for (let count = countOfChanges(choice); count > 0; count--) joined = changeBytes(joined, corpus, choice);
  }
  return joined.bytes;
}

/** Changes of one piece, by how often they are made. Those that leave a file well-formed get further. */
const PIECE_CHANGES = [
  ...['drop', 'double', 'swap', 'bring', 'shorten', 'version', 'number'],
  ...['name', 'elements', 'elements', 'elements', 'value', 'value', 'value', 'key', 'key', 'key', 'number'],
] as const;
/** What can be done to an entry that cannot be walked through. */
const BROKEN_CHANGES = ['drop', 'double', 'swap', 'bring'] as const;

function changePieces(pieces: GgufPieces, corpus: readonly GgufPieces[], choice: Choice): void {
  const { metadata, tensors } = pieces;
  const isTensor = tensors.length > 0 && choice.oneIn(4);
  const list = isTensor ? tensors : metadata;
  const index = choice.below(list.length);
  const piece = list[index];
  if (piece === undefined) {
    metadata.push(randomEntry(choice.of(KEYS), choice));
    return;
  }
  const change = choice.of(piece.isBroken ? BROKEN_CHANGES : PIECE_CHANGES);
  switch (change) {
    case 'drop':
      list.splice(index, 1);
      break;
    case 'double':
      list.splice(choice.below(list.length + 1), 0, piece);
      break;
    case 'swap': {
      const other = choice.below(list.length);
      list[index] = list[other] as Piece;
      list[other] = piece;
      break;
    }
    case 'bring': {
      const { metadata: otherMetadata, tensors: otherTensors } = choice.of(corpus);
      const from = isTensor ? otherTensors : otherMetadata;
      if (from.length > 0) list[index] = choice.of(from);
      break;
    }
    case 'shorten':
      pieces.data = pieces.data.subarray(0, choice.below(pieces.data.byteLength + 1));
      break;
    case 'version':
      pieces.version = choice.of([0, 1, 2, 3, 3, 4, 0x02000000, 0x03000000]);
      break;
    case 'number':
      list[index] = withNumber(piece, choice);
      break;
    case 'name':
      list[index] = withName(piece, isTensor ? 'tensor' : 'metadata', choice);
      break;
    case 'elements':
    case 'value':
    case 'key': {
      const chosen = isTensor ? choice.below(metadata.length) : index;
      const entry = metadata[chosen];
      if (entry === undefined || entry.isBroken) break;
      if (change === 'elements') metadata[chosen] = withOtherElements(entry, choice);
      else if (change === 'value') metadata[chosen] = randomEntry(nameOf(entry), choice);
      else setEntry(metadata, randomEntry(choice.of(KEYS), choice));
    }
  }
}

function setEntry(metadata: Piece[], entry: Piece): void {
  const name = nameOf(entry);
  const index = metadata.findIndex((candidate) => nameOf(candidate) === name);
  if (index >= 0) metadata[index] = entry;
  else metadata.push(entry);
}

/** One number of the structure replaced by an interesting one. */
function withNumber(piece: Piece, choice: Choice): Piece {
  const bytes = piece.bytes.slice();
  const field = choice.of(piece.fields);
  writeNumber(bytes, field.at, field.byteLength, choice);
  return { bytes, fields: piece.fields, isBroken: true };
}

function writeNumber(bytes: Uint8Array, at: number, byteLength: 4 | 8, choice: Choice): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (at + byteLength > bytes.byteLength) return;
  const old = byteLength === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true);
  const near = [old + 1n, old - 1n, old * 2n, old / 2n, old + 32n, BigInt(bytes.byteLength - at)];
  const value = BigInt.asUintN(byteLength * 8, choice.oneIn(3) ? choice.of(near) : choice.of(INTEGERS));
  if (byteLength === 4) view.setUint32(at, Number(value), true);
  else view.setBigUint64(at, value, true);
}

function concat(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function u64(value: number): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

function stringBytes(text: Uint8Array): Uint8Array {
  return concat(u64(text.byteLength), text);
}

function withName(piece: Piece, kind: 'metadata' | 'tensor', choice: Choice): Piece {
  const rest = piece.bytes.subarray(nameEnd(piece));
  const name = choice.oneIn(2)
    ? new TextEncoder().encode(choice.of(KEYS))
    : choice.of([...STRINGS, ...NOT_TEXT]);
  return toPiece(kind, concat(stringBytes(name), rest));
}

function randomScalar(type: number, choice: Choice): Uint8Array {
  if (type === STRING_TYPE) return stringBytes(choice.of(choice.oneIn(6) ? NOT_TEXT : STRINGS));
  const byteLength = VALUE_BYTES[type] as number;
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  if (type === 6) view.setFloat32(0, choice.of(FLOATS), true);
  else if (type === 12) view.setFloat64(0, choice.of(FLOATS), true);
  else if (type === 7) bytes[0] = choice.oneIn(4) ? choice.below(256) : choice.below(2);
  else view.setBigUint64(0, choice.of(INTEGERS), true);
  return bytes.subarray(0, byteLength);
}

function randomArray(choice: Choice, depth: number): Uint8Array {
  const isNested = depth < 4 && choice.oneIn(5);
  const type = isNested ? ARRAY_TYPE : choice.of([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 10, 11, 12]);
  const count = choice.of([0, 1, 1, 2, 3, 40]);
  const items = Array.from({ length: count }, () =>
    isNested ? randomArray(choice, depth + 1) : randomScalar(type, choice),
  );
  return concat(u32(type), u64(count), ...items);
}

/** A well-formed entry with a value of any type. */
function randomEntry(key: string, choice: Choice): Piece {
  const name = stringBytes(new TextEncoder().encode(key));
  const type = choice.below(VALUE_BYTES.length);
  const value = type === ARRAY_TYPE ? randomArray(choice, 0) : randomScalar(type, choice);
  return toPiece('metadata', concat(name, u32(type), value));
}

/** An array of strings with some of them dropped, doubled, swapped or replaced; other entries stay. */
function withOtherElements(piece: Piece, choice: Choice): Piece {
  const view = new DataView(piece.bytes.buffer, piece.bytes.byteOffset, piece.bytes.byteLength);
  const typeAt = nameEnd(piece);
  if (view.getUint32(typeAt, true) !== ARRAY_TYPE || view.getUint32(typeAt + 4, true) !== STRING_TYPE) {
    return piece;
  }
  const count = Number(view.getBigUint64(typeAt + 8, true));
  const elements: Uint8Array[] = [];
  let at = typeAt + 16;
  for (let index = 0; index < count; index++) {
    const end = at + 8 + Number(view.getBigUint64(at, true));
    elements.push(piece.bytes.subarray(at, end));
    at = end;
  }
  for (let change = 0; change < 1 + choice.below(3); change++) {
    const index = choice.below(elements.length + 1);
    const any = elements.length > 0 ? choice.of(elements) : new Uint8Array(8);
    switch (choice.below(4)) {
      case 0:
        elements.splice(index, 1);
        break;
      case 1:
        elements.splice(index, 0, any);
        break;
      case 2:
        if (index < elements.length) elements[index] = any;
        break;
      default:
        elements.splice(index, 1, randomScalar(STRING_TYPE, choice));
    }
  }
  return toPiece('metadata', concat(piece.bytes.subarray(0, typeAt + 8), u64(elements.length), ...elements));
}

function changeBytes(joined: Joined, corpus: readonly GgufPieces[], choice: Choice): Joined {
  const { bytes, fields, borders, headerBytes } = joined;
  const anywhere = (): number => {
    if (choice.oneIn(3)) return choice.of(borders);
    return choice.below(choice.oneIn(5) ? bytes.byteLength + 1 : headerBytes + 1);
  };
  const withBytes = (changed: Uint8Array): Joined => ({
    bytes: changed as Uint8Array<ArrayBuffer>,
    fields,
    borders: borders.filter((at) => at <= changed.byteLength),
    headerBytes: Math.min(headerBytes, changed.byteLength),
  });
  switch (choice.below(8)) {
    case 0:
    case 1:
    case 2: {
      const field = choice.of(fields);
      writeNumber(bytes, field.at, field.byteLength, choice);
      return joined;
    }
    case 3:
      for (let flip = 0; flip <= choice.below(8); flip++) {
        const at = anywhere();
        if (at < bytes.byteLength) bytes[at] = (bytes[at] as number) ^ (1 << choice.below(8));
      }
      return joined;
    case 4: {
      const at = anywhere();
      writeNumber(bytes, at, choice.oneIn(2) ? 4 : 8, choice);
      return joined;
    }
    case 5:
      return withBytes(bytes.slice(0, anywhere()));
    case 6: {
      const from = anywhere();
      const to = Math.min(bytes.byteLength, from + choice.below(64));
      // Cut out, or doubled.
      return withBytes(
        choice.oneIn(2)
          ? concat(bytes.subarray(0, from), bytes.subarray(to))
          : concat(bytes.subarray(0, to), bytes.subarray(from)),
      );
    }
    default: {
      const other = join(choice.of(corpus));
      const tail = other.bytes.subarray(choice.of(other.borders));
      return withBytes(concat(bytes.subarray(0, anywhere()), tail));
    }
  }
}
