/**
 * A GGUF of Mistral Small 3.2's size and shape in Q4_K_M, 14.3 GB, that is never anywhere as a whole: its header is
 * real, its tensors' bytes are computed from where in the file they lie. What they mean as weights does not matter.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseRange } from '../../scripts/lib/static-server.mjs';
import { type ByteSource, checkRange } from '../../src/formats/byte-source.ts';
import { type GgmlType, ggmlByteLength } from '../../src/formats/gguf/ggml-types.ts';
import type { GgufValue } from '../../src/formats/gguf/gguf.ts';
import { type TensorToList, writeGgufHeader } from './gguf-writer.ts';
import { forward } from './hostile-server.ts';
import { MISTRAL_V11_JINJA } from './tiny-mistral.ts';
import { byteCharacters, controlSurfaces } from './tiny-mistral-vocabulary.ts';

const HIDDEN_SIZE = 5120;
const LAYER_COUNT = 40;
const QUERY_WIDTH = 4096;
const KV_WIDTH = 1024;
const INTERMEDIATE_SIZE = 32_768;
const VOCABULARY_SIZE = 131_072;
const ALIGNMENT = 32;

/** As llama.cpp's quantiser chooses layers whose attn_v and ffn_down get more bits in a Q4_K_M. */
function usesMoreBits(layer: number): boolean {
  const eighth = Math.floor(LAYER_COUNT / 8);
  return layer < eighth || layer >= LAYER_COUNT - eighth || (layer - eighth) % 3 === 2;
}

/** In the order in which llama.cpp's quantiser writes: by layer, then by name; what is of no layer comes first. */
function listTensors(): TensorToList[] {
  const matrix = (name: string, columns: number, rows: number, type: GgmlType = 'Q4_K'): TensorToList => ({
    name: `${name}.weight`,
    type,
    dimensions: [columns, rows],
  });
  const norm = (name: string): TensorToList => ({
    name: `${name}.weight`,
    type: 'F32',
    dimensions: [HIDDEN_SIZE],
  });
  const layers = Array.from({ length: LAYER_COUNT }, (_, layer) => {
    const name = (tensor: string) => `blk.${layer}.${tensor}`;
    const important = usesMoreBits(layer) ? 'Q6_K' : 'Q4_K';
    return [
      matrix(name('attn_k'), HIDDEN_SIZE, KV_WIDTH),
      norm(name('attn_norm')),
      matrix(name('attn_output'), QUERY_WIDTH, HIDDEN_SIZE),
      matrix(name('attn_q'), HIDDEN_SIZE, QUERY_WIDTH),
      matrix(name('attn_v'), HIDDEN_SIZE, KV_WIDTH, important),
      matrix(name('ffn_down'), INTERMEDIATE_SIZE, HIDDEN_SIZE, important),
      matrix(name('ffn_gate'), HIDDEN_SIZE, INTERMEDIATE_SIZE),
      norm(name('ffn_norm')),
      matrix(name('ffn_up'), HIDDEN_SIZE, INTERMEDIATE_SIZE),
    ];
  });
  return [
    matrix('output', HIDDEN_SIZE, VOCABULARY_SIZE, 'Q6_K'),
    norm('output_norm'),
    matrix('token_embd', HIDDEN_SIZE, VOCABULARY_SIZE),
    ...layers.flat(),
  ];
}

const CONTROL_COUNT = 1000;
const MERGE_COUNT = 269_443;

/**
 * A vocabulary of Tekken's size: control tokens, the bytes, every word of two and three letters of an alphabet of 26,
 * and words of four. Each merge joins two tokens to a third.
 */
function createVocabulary(): { tokens: string[]; types: number[]; merges: string[] } {
  const bytes = byteCharacters();
  // Half of them take two bytes of UTF-8, as most of Tekken's do that are not English.
  const letters = [...bytes.slice(0x61, 0x6e), ...bytes.slice(0xe0, 0xed)];
  const tokens = [...controlSurfaces(CONTROL_COUNT), ...bytes];
  const merges: string[] = [];
  const later: string[] = [];
  for (const a of letters) {
    for (const b of letters) {
      tokens.push(a + b);
      merges.push(`${a} ${b}`);
    }
  }
  for (const a of letters) {
    for (const b of letters) {
      for (const c of letters) {
        tokens.push(a + b + c);
        merges.push(`${a + b} ${c}`, `${a} ${b + c}`);
      }
    }
  }
  for (const c of letters) {
    for (const d of letters) {
      for (const a of letters) {
        for (const b of letters) {
          if (tokens.length === VOCABULARY_SIZE) break;
          tokens.push(a + b + c + d);
          merges.push(`${a + b} ${c + d}`, `${a + b + c} ${d}`);
          later.push(`${a} ${b + c + d}`);
        }
      }
    }
  }
  merges.push(...later.slice(0, MERGE_COUNT - merges.length));
  return { tokens, types: tokens.map((_, id) => (id < CONTROL_COUNT ? 3 : 1)), merges };
}

const text = (value: string): GgufValue => ({ type: 'string', value });
const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
const int32 = (value: number): GgufValue => ({ type: 'int32', value });
const float32 = (value: number): GgufValue => ({ type: 'float32', value });
const texts = (value: string[]): GgufValue => ({ type: 'array', elementType: 'string', value });

/** The keys of a public build, values of our own where they are prose. */
function listMetadata(): [key: string, value: GgufValue][] {
  const { tokens, types, merges } = createVocabulary();
  return [
    ['general.architecture', text('llama')],
    ['general.type', text('model')],
    ['general.name', text('Synthetic Small 24B')],
    ['general.version', text('2506')],
    ['general.finetune', text('Instruct')],
    ['general.basename', text('Synthetic-Small')],
    ['general.size_label', text('24B')],
    ['general.license', text('apache-2.0')],
    ['general.languages', texts(['en', 'fr', 'de', 'es', 'pt', 'it', 'ja', 'ko', 'ru', 'zh'])],
    ['llama.block_count', uint32(LAYER_COUNT)],
    ['llama.context_length', uint32(131_072)],
    ['llama.embedding_length', uint32(HIDDEN_SIZE)],
    ['llama.feed_forward_length', uint32(INTERMEDIATE_SIZE)],
    ['llama.attention.head_count', uint32(32)],
    ['llama.attention.head_count_kv', uint32(8)],
    ['llama.rope.freq_base', float32(1e9)],
    ['llama.attention.layer_norm_rms_epsilon', float32(1e-5)],
    ['llama.attention.key_length', uint32(128)],
    ['llama.attention.value_length', uint32(128)],
    ['llama.vocab_size', uint32(VOCABULARY_SIZE)],
    ['llama.rope.dimension_count', uint32(128)],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('tekken')],
    ['tokenizer.ggml.tokens', texts(tokens)],
    ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: types }],
    ['tokenizer.ggml.merges', texts(merges)],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
    ['tokenizer.ggml.unknown_token_id', uint32(0)],
    ['tokenizer.ggml.padding_token_id', uint32(11)],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.ggml.add_eos_token', { type: 'bool', value: false }],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: false }],
    ['tokenizer.chat_template', text(MISTRAL_V11_JINJA)],
    ['general.quantization_version', uint32(2)],
    ['general.file_type', uint32(15)],
    ['quantize.imatrix.file', text('none.imatrix')],
    ['quantize.imatrix.dataset', text('none')],
    ['quantize.imatrix.entries_count', int32(280)],
    ['quantize.imatrix.chunks_count', int32(100)],
  ];
}

export interface SyntheticGguf extends ByteSource {
  /** Bytes before the first tensor's. */
  readonly headerBytes: number;
  readonly etag: string;
  /** Writes the file's bytes from `offset` on into all of `target`. */
  fill(offset: number, target: Uint8Array): void;
}

/** A prime, so that no two tensors have the same bytes. */
const PATTERN_BYTES = 16_777_213;

/** Pseudo-random bytes (the "lowbias32" hash of their index); the data section repeats them. */
function createPattern(): Uint8Array {
  const words = new Uint32Array(Math.ceil(PATTERN_BYTES / 4));
  for (let index = 0; index < words.length; index++) {
    let mixed = index;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
    words[index] = mixed ^ (mixed >>> 16);
  }
  return new Uint8Array(words.buffer, 0, PATTERN_BYTES);
}

/** What the header says; `change` may make something else of it. */
export interface SyntheticHeader {
  metadata: Map<string, GgufValue>;
  tensors: TensorToList[];
}

/** Made once, for all files of a process. */
let parts: { metadata: ReturnType<typeof listMetadata>; pattern: Uint8Array } | null = null;

export function createSyntheticGguf(change: (header: SyntheticHeader) => void = () => {}): SyntheticGguf {
  parts ??= { metadata: listMetadata(), pattern: createPattern() };
  const { pattern } = parts;
  const content: SyntheticHeader = { metadata: new Map(parts.metadata), tensors: listTensors() };
  change(content);
  const { tensors } = content;
  const metadata = [...content.metadata];
  const header = writeGgufHeader({ metadata, tensors, alignmentBytes: ALIGNMENT });
  let byteLength = header.byteLength;
  for (const { type, dimensions } of tensors) {
    byteLength = Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
    byteLength += ggmlByteLength(
      type,
      dimensions.reduce((product, length) => product * length, 1),
    );
  }
  const fill = (offset: number, target: Uint8Array): void => {
    let at = 0;
    if (offset < header.byteLength) {
      const part = header.subarray(offset, offset + target.byteLength);
      target.set(part);
      at = part.byteLength;
    }
    while (at < target.byteLength) {
      const from = (offset + at) % PATTERN_BYTES;
      const part = pattern.subarray(from, from + target.byteLength - at);
      target.set(part, at);
      at += part.byteLength;
    }
  };
  return {
    byteLength,
    headerBytes: header.byteLength,
    etag: `"${createHash('sha256').update(header).digest('hex').slice(0, 16)}"`,
    fill,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(byteLength, offset, length);
      const bytes = new Uint8Array(length);
      fill(offset, bytes);
      return bytes;
    },
  };
}

export const SYNTHETIC_FILE = 'synthetic-small-Q4_K_M.gguf';

export interface SyntheticServer {
  /** Of the file. */
  url: string;
  /** Bytes of bodies so far. */
  sentBytes(): number;
  /** The furthest byte of the file that was sent so far. */
  lastByte(): number;
  close(): Promise<void>;
}

const CHUNK_BYTES = 1 << 20;

/**
 * Serves the file to any origin, whole or by ranges.
 * @param elsewhere where requests for all other paths are answered. Default: nowhere, with 404.
 */
export async function startSyntheticServer(
  file: SyntheticGguf,
  elsewhere?: string,
): Promise<SyntheticServer> {
  let sentBytes = 0;
  let lastByte = -1;
  const onSent = (offset: number, byteLength: number) => {
    sentBytes += byteLength;
    lastByte = Math.max(lastByte, offset + byteLength - 1);
  };
  const server = createServer((request, response) => {
    if (elsewhere !== undefined && request.url !== `/${SYNTHETIC_FILE}`) {
      forward(request, response, elsewhere);
      return;
    }
    respond(file, request, response, onSent).catch((error) => response.destroy(error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/${SYNTHETIC_FILE}`,
    sentBytes: () => sentBytes,
    lastByte: () => lastByte,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(
  file: SyntheticGguf,
  request: IncomingMessage,
  response: ServerResponse,
  onSent: (offset: number, byteLength: number) => void,
): Promise<void> {
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', 'accept-ranges, content-length, content-range, etag');
  response.setHeader('accept-ranges', 'bytes');
  if (request.method === 'OPTIONS') {
    response.setHeader('access-control-allow-headers', 'range, if-range');
    response.writeHead(204).end();
    return;
  }
  if (request.url !== `/${SYNTHETIC_FILE}`) {
    response.writeHead(404).end();
    return;
  }
  const range = parseRange(request.headers.range, file.byteLength);
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${file.byteLength}` }).end();
    return;
  }
  const isPart =
    range !== 'whole' && [undefined, file.etag].includes(request.headers['if-range']?.toString());
  const { start, end } = isPart ? range : { start: 0, end: file.byteLength - 1 };
  response.writeHead(isPart ? 206 : 200, {
    etag: file.etag,
    'content-type': 'application/octet-stream',
    'content-length': end - start + 1,
    ...(isPart && { 'content-range': `bytes ${start}-${end}/${file.byteLength}` }),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  for (let at = start; at <= end && !response.destroyed; at += CHUNK_BYTES) {
    // Not used again: the socket holds it until it is sent.
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, end + 1 - at));
    file.fill(at, chunk);
    onSent(at, chunk.byteLength);
    if (!response.write(chunk))
      await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
}
