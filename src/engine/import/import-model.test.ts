import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openJoinedFileSource } from '../../../scripts/lib/file-source.ts';
import { readFormatModel } from '../../../tests/tools/format-models.ts';
import { quantise, type TensorToWrite, writeGguf } from '../../../tests/tools/gguf-writer.ts';
import { MemorySink } from '../../../tests/tools/memory-sink.ts';
import { permuteRows } from '../../../tests/tools/permute-rows.ts';
import { FORMAT_MODELS } from '../../../tests/tools/test-models.ts';
import {
  createTinyMistralGguf,
  TINY_MISTRAL_LIMITS,
  TINY_MISTRAL_SHAPE,
} from '../../../tests/tools/tiny-mistral.ts';
import { float16ToNumber } from '../../base/float16.ts';
import { type ByteSource, memorySource } from '../../formats/byte-source.ts';
import { GGML_TYPES, type GgmlType, ggmlByteLength } from '../../formats/gguf/ggml-types.ts';
import type { GgufTensor, GgufValue } from '../../formats/gguf/gguf.ts';
import { parseGguf } from '../../formats/gguf/parse-gguf.ts';
import { BLOCK_FORMATS } from '../../formats/quant/formats.ts';
import type { Matrix, ModelDescription } from '../../models/model-description.ts';
import { parseModelFiles } from '../../models/model-files.ts';
import type { Progress } from '../api.ts';
import { type ImportOptions, importGguf, type ModelSink } from './import-model.ts';

const MIB = 1 << 20;

async function importToMemory(source: ByteSource, options: ImportOptions = TINY_MISTRAL_LIMITS) {
  const sink = new MemorySink();
  const manifest = await importGguf(source, sink, options);
  const cache = sink.json('tensor-cache.json');
  const files = parseModelFiles(sink.json('mlc-chat-config.json'), cache);
  const records = new Map<string, Uint8Array>();
  for (const shard of cache.records) {
    for (const { name, byteOffset, nbytes } of shard.records) {
      const bytes = sink.files.get(shard.dataPath) as Uint8Array;
      records.set(name, bytes.subarray(byteOffset, byteOffset + nbytes));
    }
  }
  return { sink, manifest, cache, files, records };
}

/** The GGUF blocks of a matrix in the store, rows in the store's order. */
function unpackMatrix(matrix: Matrix, records: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const format = [...BLOCK_FORMATS.values()].find(({ name }) => name === matrix.format);
  if (format === undefined) throw new Error(matrix.format);
  const rowBytes = (matrix.columns / format.groupColumns) * format.sourceBytes;
  const blocks = new Uint8Array(matrix.rows * rowBytes);
  for (const { rowStart, rows, quants, scales } of matrix.parts) {
    const target = blocks.subarray(rowStart * rowBytes, (rowStart + rows) * rowBytes);
    const scaleBytes = scales === null ? new Uint8Array(0) : (records.get(scales) as Uint8Array);
    format.unpack(records.get(quants) as Uint8Array, scaleBytes, target);
  }
  return blocks;
}

/** GGUF's name for every matrix of a description. */
function ggufMatrices({ architecture, tensors }: ModelDescription): [string, Matrix, boolean][] {
  const layers = tensors.layers.flatMap((layer, index): [string, Matrix, boolean][] => [
    [`blk.${index}.attn_q`, layer.query, true],
    [`blk.${index}.attn_k`, layer.key, true],
    [`blk.${index}.attn_v`, layer.value, false],
    [`blk.${index}.attn_output`, layer.output, false],
    [`blk.${index}.ffn_gate`, layer.gate, false],
    [`blk.${index}.ffn_up`, layer.up, false],
    [`blk.${index}.ffn_down`, layer.down, false],
  ]);
  const head: [string, Matrix, boolean][] = architecture.tiedEmbeddings
    ? []
    : [['output', tensors.head, false]];
  return [['token_embd', tensors.embedding, false], ...layers, ...head];
}

/** Every matrix of the store, turned back into GGUF, has the bytes of the source. */
async function expectBitExact(
  source: ByteSource,
  description: ModelDescription,
  records: ReadonlyMap<string, Uint8Array>,
): Promise<number> {
  const { tensors } = await parseGguf(source);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  let matrixBytes = 0;
  for (const [name, matrix, isRotated] of ggufMatrices(description)) {
    const tensor = byName.get(`${name}.weight`) as GgufTensor;
    const unpacked = unpackMatrix(matrix, records);
    const blocks = isRotated
      ? permuteRows(unpacked, matrix.rows, description.architecture.headDim)
      : unpacked;
    const expected = await source.read(tensor.offsetBytes, tensor.byteLength);
    expect(Buffer.compare(blocks, expected), name).toBe(0);
    matrixBytes += tensor.byteLength;
  }
  return matrixBytes;
}

describe('tiny-mistral', () => {
  let gguf: Uint8Array;
  beforeAll(() => {
    gguf = createTinyMistralGguf();
  });

  /** The same file with other metadata or tensors. */
  async function rewrite(
    change: (file: { metadata: Map<string, GgufValue>; tensors: TensorToWrite[] }) => void,
  ): Promise<ByteSource> {
    const parsed = await parseGguf(memorySource(gguf));
    const tensors = parsed.tensors.map(({ name, type, dimensions, offsetBytes, byteLength }) => ({
      name,
      type,
      dimensions: [...dimensions],
      bytes: gguf.subarray(offsetBytes, offsetBytes + byteLength),
    }));
    const file = { metadata: new Map(parsed.metadata), tensors };
    change(file);
    return memorySource(writeGguf({ metadata: [...file.metadata], tensors: file.tensors }));
  }

  test('is the same file each time', () => {
    const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    expect(hash(createTinyMistralGguf())).toBe(hash(gguf));
  });

  test('every block survives, in every format, whatever the limits', async () => {
    const every: { maxRecordBytes?: number; maxShardBytes?: number }[] = [
      TINY_MISTRAL_LIMITS,
      {},
      { maxRecordBytes: 20_000, maxShardBytes: 30_000 },
      { maxRecordBytes: 40_000, maxShardBytes: 40_000 },
    ];
    for (const limits of every) {
      const { files, records, manifest } = await importToMemory(memorySource(gguf), limits);
      const bytes = await expectBitExact(memorySource(gguf), files.description, records);
      expect(bytes).toBeGreaterThan(840_000);
      const { maxRecordBytes = 128 * MIB, maxShardBytes = 128 * MIB } = limits;
      for (const record of records.values()) expect(record.byteLength).toBeLessThanOrEqual(maxRecordBytes);
      for (const shard of manifest.shards) expect(shard.byteLength).toBeLessThanOrEqual(maxShardBytes);
    }
  });

  test('norms are f32, widened from f16 without loss', async () => {
    const { files, records } = await importToMemory(memorySource(gguf));
    const { tensors } = await parseGguf(memorySource(gguf));
    const norm = tensors.find(({ name }) => name === 'blk.0.ffn_norm.weight') as GgufTensor;
    expect(norm.type).toBe('F16');
    const halves = new DataView(gguf.buffer, norm.offsetBytes, norm.byteLength);
    const record = records.get(files.description.tensors.layers[0]?.feedForwardNorm.record ?? '');
    const stored = new Float32Array((record as Uint8Array).slice().buffer);
    expect(stored).toHaveLength(TINY_MISTRAL_SHAPE.hiddenSize);
    stored.forEach((value, index) => {
      expect(value).toBe(float16ToNumber(halves.getUint16(index * 2, true)));
    });
  });

  test('shards are hashed, whole and listed; the tensor cache comes last', async () => {
    const { sink, manifest, cache } = await importToMemory(memorySource(gguf));
    expect([...sink.files.keys()]).toEqual(manifest.files);
    expect(manifest.files.at(-1)).toBe('tensor-cache.json');
    for (const { dataPath, nbytes, sha256, records } of cache.records) {
      const bytes = sink.files.get(dataPath) as Uint8Array;
      expect(bytes.byteLength).toBe(nbytes);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
      let end = 0;
      for (const record of records) {
        expect(record.byteOffset).toBe(end);
        expect(record.nbytes % 4).toBe(0);
        end += record.nbytes;
      }
      expect(end).toBe(nbytes);
    }
    expect(manifest.byteLength).toBe(manifest.shards.reduce((sum, shard) => sum + shard.byteLength, 0));
  });

  test('the config leaves prompts to us and has what WebLLM needs', async () => {
    const { sink, files } = await importToMemory(memorySource(gguf), { contextLength: 512 });
    const config = sink.json('mlc-chat-config.json');
    expect(config).toMatchObject({
      vocab_size: files.description.architecture.vocabularySize,
      context_window_size: 512,
      sliding_window_size: -1,
      attention_sink_size: -1,
      temperature: 0.15,
      repetition_penalty: 1,
      tokenizer_files: ['tokenizer.json'],
      conv_template: {
        system_template: '{system_message}',
        system_message: '',
        render_empty_system_message: false,
        roles: { user: '', assistant: '', tool: '' },
        seps: [''],
        role_content_sep: '',
        role_empty_sep: '',
        stop_str: [],
        stop_token_ids: [2],
      },
    });
    expect(config.conv_template).not.toHaveProperty('role_templates');
    expect(config.conv_template).not.toHaveProperty('system_prefix_token_ids');
    expect(files.chat.contextLength).toBe(512);
    expect(files.description.architecture.maxContextLength).toBe(2048);
    expect(sink.json('tokenizer.json').model.type).toBe('BPE');
  });

  test('progress counts every byte of weights once', async () => {
    const seen: Progress[] = [];
    await importToMemory(memorySource(gguf), {
      ...TINY_MISTRAL_LIMITS,
      onProgress: (progress) => seen.push(progress),
    });
    const { tensors } = await parseGguf(memorySource(gguf));
    const total = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
    expect(seen.every(({ phase, totalBytes }) => phase === 'import' && totalBytes === total)).toBe(true);
    expect(seen.map(({ bytes }) => bytes)).toEqual(seen.map(({ bytes }) => bytes).sort((a, b) => a - b));
    expect(seen.at(-1)?.bytes).toBe(total);
  });

  test('no more than a shard is in memory', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let bytes = 0;
    let writing = 0;
    const names: string[] = [];
    const importing = importGguf(
      memorySource(gguf),
      {
        async writeShard({ name }) {
          expect(++writing).toBe(1);
          names.push(name);
          await gate;
          writing--;
        },
        async complete(files) {
          expect(++writing).toBe(1);
          names.push(...files.keys());
        },
      },
      {
        ...TINY_MISTRAL_LIMITS,
        onProgress: (progress) => {
          bytes = progress.bytes;
        },
      },
    );
    let before = -1;
    while (bytes !== before || names.length === 0) {
      before = bytes;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(names).toEqual(['params_shard_0.bin']);
    expect(bytes).toBeLessThanOrEqual(TINY_MISTRAL_LIMITS.maxShardBytes);
    release();
    await importing;
    expect(names.at(-1)).toBe('tensor-cache.json');
  });

  test('aborting ends it with the signal’s reason and leaves no write behind', async () => {
    const reason = new DOMException('stop', 'AbortError');
    await expect(importToMemory(memorySource(gguf), { signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    for (const after of [1, 200_000, 600_000]) {
      const controller = new AbortController();
      const sink = new MemorySink();
      const importing = importGguf(memorySource(gguf), sink, {
        ...TINY_MISTRAL_LIMITS,
        signal: controller.signal,
        onProgress: ({ bytes }) => bytes >= after && controller.abort(reason),
      });
      await expect(importing).rejects.toBe(reason);
      const written = sink.files.size;
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(sink.files.size).toBe(written);
      expect(sink.files.has('tensor-cache.json')).toBe(false);
    }
  });

  test('a failing sink and a failing source end it with their errors', async () => {
    const full = new Error('disk full');
    for (const failing of ['params_shard_0.bin', 'params_shard_3.bin', 'the small files']) {
      const fail = async (name: string) => {
        if (name === failing) throw full;
      };
      const sink: ModelSink = {
        writeShard: ({ name }) => fail(name),
        complete: () => fail('the small files'),
      };
      await expect(importGguf(memorySource(gguf), sink, TINY_MISTRAL_LIMITS)).rejects.toBe(full);
    }
    const memory = memorySource(gguf);
    const lost = new Error('unplugged');
    const source: ByteSource = {
      byteLength: memory.byteLength,
      read: (offset, length, signal) =>
        offset > 400_000 ? Promise.reject(lost) : memory.read(offset, length, signal),
    };
    await expect(importToMemory(source)).rejects.toBe(lost);
  });

  test('shards that are stored already are not read again, whichever they are', async () => {
    const limits = { maxRecordBytes: 64 << 10, maxShardBytes: 100 << 10 };
    const whole = await importToMemory(memorySource(gguf), limits);
    const hashes = new Map(whole.manifest.shards.map(({ name, sha256 }) => [name, sha256]));
    const names = [...hashes.keys()];
    expect(names.length).toBeGreaterThan(8);
    const { dataOffsetBytes } = await parseGguf(memorySource(gguf));

    /** @returns bytes of weights read */
    async function importRest(stored: readonly string[]): Promise<number> {
      const memory = memorySource(gguf);
      let read = 0;
      const source: ByteSource = {
        byteLength: memory.byteLength,
        read(offset, length, signal) {
          if (offset >= dataOffsetBytes) read += length;
          return memory.read(offset, length, signal);
        },
      };
      const sink = new MemorySink();
      const seen: Progress[] = [];
      const finished = new Map(stored.map((name) => [name, hashes.get(name)!]));
      const onProgress = (progress: Progress) => seen.push(progress);
      const manifest = await importGguf(source, sink, { ...limits, finished, onProgress });
      expect(manifest).toEqual(whole.manifest);
      const written = [...sink.files.keys()].filter((name) => name.startsWith('params'));
      expect(written).toEqual(names.filter((name) => !finished.has(name)));
      for (const [name, bytes] of sink.files) {
        expect(Buffer.compare(bytes, whole.sink.files.get(name)!), name).toBe(0);
      }
      for (const { bytes, totalBytes } of seen.slice(-1)) expect(bytes).toBe(totalBytes);
      return read;
    }

    const all = await importRest([]);
    expect(await importRest(names)).toBe(0);
    for (const stored of [names.slice(0, 2), names.slice(3), names.filter((_, index) => index % 2 === 0)]) {
      const others = names.filter((name) => !stored.includes(name));
      const [read, rest] = [await importRest(stored), await importRest(others)];
      expect(read).toBeGreaterThan(0);
      expect(read + rest).toBe(all);
    }
  });

  const number = (value: number): GgufValue => ({ type: 'float32', value });
  const integer = (value: number): GgufValue => ({ type: 'uint32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const find = (tensors: TensorToWrite[], name: string) =>
    tensors.findIndex((tensor) => tensor.name === name);

  const refusals: Record<
    string,
    [change: Parameters<typeof rewrite>[0], code: string, mentions: string | RegExp]
  > = {
    'an unknown architecture': [
      ({ metadata }) => metadata.set('general.architecture', text('gemma')),
      'architecture-unsupported',
      '"gemma"',
    ],
    'no architecture': [
      ({ metadata }) => metadata.delete('general.architecture'),
      'architecture-unsupported',
      'not named',
    ],
    'RoPE scaling': [
      ({ metadata }) => metadata.set('llama.rope.scaling.type', text('yarn')),
      'architecture-unsupported',
      '"yarn"',
    ],
    'a scaling factor without a type': [
      ({ metadata }) => metadata.set('llama.rope.scaling.factor', number(8)),
      'architecture-unsupported',
      'rope.scaling.factor',
    ],
    'RoPE factors': [
      ({ tensors }) =>
        tensors.push({
          name: 'rope_freqs.weight',
          type: 'F32',
          dimensions: [16],
          bytes: new Uint8Array(64),
        }),
      'architecture-unsupported',
      'rope_freqs.weight',
    ],
    'a bias': [
      ({ tensors }) =>
        tensors.push({
          name: 'blk.0.attn_q.bias',
          type: 'F32',
          dimensions: [192],
          bytes: new Uint8Array(768),
        }),
      'architecture-unsupported',
      'blk.0.attn_q.bias',
    ],
    experts: [
      ({ metadata }) => metadata.set('llama.expert_count', integer(8)),
      'architecture-unsupported',
      'llama.expert_count',
    ],
    'a sliding window': [
      ({ metadata }) => metadata.set('llama.attention.sliding_window', integer(1024)),
      'architecture-unsupported',
      'Sliding-window',
    ],
    'a partly rotated head': [
      ({ metadata }) => metadata.set('llama.rope.dimension_count', integer(16)),
      'architecture-unsupported',
      'rope.dimension_count',
    ],
    'values of another width': [
      ({ metadata }) => metadata.set('llama.attention.value_length', integer(64)),
      'architecture-unsupported',
      'attention.value_length',
    ],
    'heads that cannot be shared': [
      ({ metadata }) => metadata.set('llama.attention.head_count_kv', integer(4)),
      'architecture-unsupported',
      '4 key/value heads',
    ],
    'one part of a split model': [
      ({ metadata }) => metadata.set('split.count', { type: 'uint16', value: 3 }),
      'format-invalid',
      "2 of the model's 3 files",
    ],
    'no hidden size': [
      ({ metadata }) => metadata.delete('llama.embedding_length'),
      'format-invalid',
      'llama.embedding_length',
    ],
    'a hidden size of another type': [
      ({ metadata }) => metadata.set('llama.embedding_length', text('128')),
      'format-invalid',
      'llama.embedding_length',
    ],
    '0 layers': [
      ({ metadata }) => metadata.set('llama.block_count', integer(0)),
      'format-invalid',
      'llama.block_count',
    ],
    'a layer too many in the metadata': [
      ({ metadata }) => metadata.set('llama.block_count', integer(4)),
      'format-invalid',
      'blk.3.attn_norm.weight',
    ],
    'a layer too many in the tensors': [
      ({ metadata }) => metadata.set('llama.block_count', integer(2)),
      'architecture-unsupported',
      /blk\.2\./,
    ],
    'a missing tensor': [
      ({ tensors }) => tensors.splice(find(tensors, 'blk.1.ffn_up.weight'), 1),
      'format-invalid',
      'blk.1.ffn_up.weight',
    ],
    'a missing embedding': [
      ({ tensors }) => tensors.splice(find(tensors, 'token_embd.weight'), 1),
      'format-invalid',
      'token_embd.weight',
    ],
    'a tensor of another shape': [
      ({ tensors }) => {
        tensors[find(tensors, 'blk.1.ffn_up.weight')] = {
          name: 'blk.1.ffn_up.weight',
          type: 'F32',
          dimensions: [256, 128],
          bytes: quantise('F32', new Float32Array(256 * 128)),
        };
      },
      'format-invalid',
      'blk.1.ffn_up.weight',
    ],
    'a norm of another length': [
      ({ tensors }) => {
        tensors[find(tensors, 'output_norm.weight')] = {
          name: 'output_norm.weight',
          type: 'F32',
          dimensions: [64],
          bytes: new Uint8Array(256),
        };
      },
      'format-invalid',
      'output_norm.weight',
    ],
    'a type that no kernel reads': [
      ({ tensors }) => {
        tensors[find(tensors, 'blk.1.ffn_down.weight')] = {
          name: 'blk.1.ffn_down.weight',
          type: 'IQ3_S',
          dimensions: [256, 128],
          bytes: new Uint8Array(128 * 110),
        };
      },
      'format-unsupported',
      /IQ3_S.*blk\.1\.ffn_down\.weight.*Q4_0.*Q6_K/,
    ],
    'rows of half a group': [
      ({ tensors }) => {
        tensors[find(tensors, 'blk.1.ffn_up.weight')] = {
          name: 'blk.1.ffn_up.weight',
          type: 'Q4_K',
          dimensions: [128, 256],
          bytes: new Uint8Array(128 * 144),
        };
      },
      'format-invalid',
      'blk.1.ffn_up.weight" has 128 columns of Q4_K, expected a multiple of 256',
    ],
    'quantised norms': [
      ({ tensors }) => {
        tensors[find(tensors, 'output_norm.weight')] = {
          name: 'output_norm.weight',
          type: 'Q8_0',
          dimensions: [128],
          bytes: new Uint8Array(4 * 34),
        };
      },
      'format-unsupported',
      'output_norm.weight',
    ],
    'another tokenizer': [
      ({ metadata }) => metadata.set('tokenizer.ggml.model', text('bert')),
      'tokenizer-unsupported',
      'tokenizer.ggml.model',
    ],
    'a recommended temperature of 5': [
      ({ metadata }) => metadata.set('general.sampling.temp', number(5)),
      'format-invalid',
      'general.sampling.temp',
    ],
    'a top-p that is no number': [
      ({ metadata }) => metadata.set('general.sampling.top_p', number(Number.NaN)),
      'format-invalid',
      'general.sampling.top_p',
    ],
    'more tokens than rows': [
      ({ metadata }) => {
        const value = Array.from({ length: 5000 }, (_, id) => String(id));
        metadata.set('tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value });
      },
      'tokenizer-invalid',
      '5000 tokens',
    ],
    'an unknown chat template': [
      ({ metadata }) => metadata.set('tokenizer.chat_template', text('{{ messages }}')),
      'template-unsupported',
      '{{ messages }}',
    ],
    'no chat template': [
      ({ metadata }) => metadata.delete('tokenizer.chat_template'),
      'template-unsupported',
      'no chat template',
    ],
  };
  test.each(Object.entries(refusals))(
    '%s is refused by name before anything is written',
    async (_, refusal) => {
      const [change, code, mentions] = refusal;
      const source = await rewrite(change);
      const sink = new MemorySink();
      await expect(importGguf(source, sink, TINY_MISTRAL_LIMITS)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(
          typeof mentions === 'string' ? mentions.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') : mentions,
        ),
      });
      expect(sink.files.size).toBe(0);
    },
  );

  const unsupportedTypes = (Object.keys(GGML_TYPES) as GgmlType[]).filter((type) => !BLOCK_FORMATS.has(type));
  test.each(unsupportedTypes)('tensors of type %s are refused by its name', async (type) => {
    const bytes = writeGguf({
      metadata: [['general.architecture', text('llama')]],
      tensors: [
        {
          name: 'output.weight',
          type,
          dimensions: [256, 2],
          bytes: new Uint8Array(ggmlByteLength(type, 512)),
        },
      ],
    });
    await expect(importGguf(memorySource(bytes), new MemorySink())).rejects.toMatchObject({
      code: 'format-unsupported',
      message: expect.stringContaining(`stored as ${type} (the first is "output.weight")`),
      data: { types: [type] },
    });
  });

  test('a refusal says where in the file its cause lies', async () => {
    const source = await rewrite(({ metadata }) => {
      metadata.set('llama.logit_scale', number(2));
    });
    const { offsets } = await parseGguf(source);
    await expect(importGguf(source, new MemorySink())).rejects.toMatchObject({
      data: { field: 'llama.logit_scale', offset: offsets.get('llama.logit_scale') },
    });
  });

  test('a head that fits no record is refused', async () => {
    const sink = new MemorySink();
    await expect(
      importGguf(memorySource(gguf), sink, { maxRecordBytes: 1000, maxShardBytes: 1000 }),
    ).rejects.toMatchObject({
      code: 'format-unsupported',
      data: { field: 'model.layers.0.self_attn.q_proj' },
    });
    expect(sink.files.size).toBe(0);
  });

  test('architecture mistral3 has the same tensors and keys of its own', async () => {
    const source = await rewrite(({ metadata }) => {
      for (const [key, value] of [...metadata]) {
        if (!key.startsWith('llama.')) continue;
        metadata.delete(key);
        metadata.set(key.replace('llama.', 'mistral3.'), value);
      }
      metadata.set('general.architecture', text('mistral3'));
      metadata.set('mistral3.rope.scaling.type', text('none'));
      metadata.set('mistral3.rope.freq_base', number(1e9));
    });
    const { files } = await importToMemory(source);
    expect(files.description.architecture).toMatchObject({ headDim: 32, ropeTheta: 1e9 });
  });

  test('without a head of its own the model is tied', async () => {
    const source = await rewrite(({ tensors }) => tensors.splice(find(tensors, 'output.weight'), 1));
    const { files } = await importToMemory(source);
    const { architecture, tensors } = files.description;
    expect(architecture.tiedEmbeddings).toBe(true);
    expect(tensors.head).toBe(tensors.embedding);
  });
});

describe.each(FORMAT_MODELS)('%s, as the gguf package wrote it', (name) => {
  test('every block survives, cut into parts or not; the build is named', async () => {
    const source = memorySource(await readFormatModel(name));
    for (const limits of [{}, { maxRecordBytes: 40_000, maxShardBytes: 80_000 }]) {
      const { files, records, manifest } = await importToMemory(source, limits);
      await expectBitExact(source, files.description, records);
      expect(manifest.origin.quantization).toBe(
        { 'q4-k-m': 'Q4_K_M', 'q4-0': 'Q4_0', 'iq4-xs': 'IQ4_XS', assorted: 'Q8_0' }[name],
      );
    }
  });
});

describe('SmolLM2-135M-Instruct', () => {
  const folder = join(import.meta.dirname, '../../../models/smollm2-135m-instruct');
  const { file } = JSON.parse(readFileSync(join(folder, 'source.json'), 'utf8'));

  test('every block of the public file survives, in files of at most 24 MiB', async () => {
    const source = await openJoinedFileSource(file.parts.map((part: string) => join(folder, part)));
    try {
      expect(source.byteLength).toBe(file.byteLength);
      const limit = 24 * MIB;
      const { files, records, manifest, sink } = await importToMemory(source, {
        maxRecordBytes: limit,
        maxShardBytes: limit,
      });
      for (const bytes of sink.files.values()) expect(bytes.byteLength).toBeLessThanOrEqual(limit);
      expect(manifest.origin).toMatchObject({ quantization: 'Q4_1', parameterCount: 134_515_008 });
      expect(files.description.architecture).toMatchObject({
        hiddenSize: 576,
        layerCount: 30,
        headCount: 9,
        kvHeadCount: 3,
        headDim: 64,
        intermediateSize: 1536,
        vocabularySize: 49152,
        ropeTheta: 100_000,
        tiedEmbeddings: true,
      });
      expect(files.description.tensors.embedding).toMatchObject({ format: 'q8_0' });
      expect(files.description.tensors.embedding.parts).toHaveLength(2);
      expect(files.chat.template.id).toBe('chatml');
      const bytes = await expectBitExact(source, files.description, records);
      expect(bytes).toBeGreaterThan(96_000_000);
    } finally {
      await source.close();
    }
  });
});
