/**
 * Imports a GGUF: reads the header, refuses what cannot run, and only then streams the weights into shards. Blocks are
 * moved, never requantised. At most two shards and two slices of the source are in memory, however large the file.
 */
import { TramontaneError } from '../../base/errors.ts';
import { float16ToNumber } from '../../base/float16.ts';
import { ProgressMeter } from '../../base/progress-meter.ts';
import { sha256Hex } from '../../base/sha256.ts';
import type { ByteSource } from '../../formats/byte-source.ts';
import { type Gguf, metadataInteger, metadataNumber, metadataString } from '../../formats/gguf/gguf.ts';
import { toRotateHalfRows } from '../../formats/gguf/rope-rows.ts';
import { viewOf } from '../../formats/quant/block-format.ts';
import { buildTokenizerJson } from '../../formats/tokenizer/build-tokenizer.ts';
import {
  CONFIG_FILE,
  type ModelOrigin,
  parseModelFiles,
  TENSOR_CACHE_FILE,
  TOKENIZER_FILE,
} from '../../models/model-files.ts';
import { recogniseTemplate } from '../../models/recognise-template.ts';
import type { Progress } from '../api.ts';
import { readSourceModel } from './gguf-architecture.ts';
import { type ImportPlan, type PlannedItem, type PlannedShard, planImport } from './import-plan.ts';
import { createModelConfig, createTensorCache, type WrittenShard } from './model-config.ts';
import { openGguf } from './open-gguf.ts';

/** Where an import writes. A file is written once, whole; `tensor-cache.json` comes last and completes the model. */
export interface ModelSink {
  /** `bytes` are the sink's only until the promise settles: the memory is used again. */
  writeFile(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

export interface ImportOptions {
  /** Most bytes of one tensor record, which is one GPU binding. Default 128 MiB, which every WebGPU device allows. */
  maxRecordBytes?: number;
  /** Most bytes of one shard. Default 128 MiB; static hosts want 24 MiB. */
  maxShardBytes?: number;
  /** Tokens of context to configure. Default: the model's own, at most 8192. */
  contextLength?: number;
  /** What to write of the source, over what its metadata tell. */
  origin?: Partial<Pick<ModelOrigin, 'name' | 'sourceName' | 'sha256' | 'licence' | 'url'>>;
  /** Recommended sampling, over what metadata and template tell. */
  sampling?: { temperature?: number; topP?: number };
  signal?: AbortSignal;
  /** Phase `import`; bytes of weights read from the source. */
  onProgress?: (progress: Progress) => void;
}

export interface ModelManifest {
  origin: ModelOrigin;
  contextLength: number;
  /** Bytes of the shards. */
  byteLength: number;
  shards: readonly { name: string; byteLength: number; sha256: string }[];
  /** Names of all files written, shards included. */
  files: readonly string[];
}

/** The least WebGPU guarantees for one binding. */
export const DEFAULT_MAX_RECORD_BYTES = 128 << 20;
const DEFAULT_CONTEXT_LENGTH = 8192;
/** Recommended by Mistral for Small; for other models a middle way where the metadata tell nothing. */
const MISTRAL_TEMPERATURE = 0.15;
const DEFAULT_TEMPERATURE = 0.7;
/** Bytes read from the source at once. */
const SLICE_BYTES = 4 << 20;

/**
 * Imports a model from a GGUF file of a supported architecture and weight formats.
 * @throws FormatError for a file that is broken or that we cannot run (`format-*`, `architecture-unsupported`,
 *   `tokenizer-*`); TramontaneError `template-unsupported`; whatever the sink throws; `signal.reason` when aborted.
 *   Nothing is written before the header, tokenizer and template have been accepted.
 */
export async function importGguf(
  source: ByteSource,
  sink: ModelSink,
  options: ImportOptions = {},
): Promise<ModelManifest> {
  const { signal } = options;
  signal?.throwIfAborted();
  const name = options.origin?.sourceName ?? 'model.gguf';
  const { gguf } = await openGguf([{ name, source }], signal);
  const model = readSourceModel(gguf);
  const { architecture } = model;
  const maxRecordBytes = options.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES;
  const maxShardBytes = options.maxShardBytes ?? Math.max(maxRecordBytes, DEFAULT_MAX_RECORD_BYTES);
  const plan = planImport(model, { maxRecordBytes, maxShardBytes });

  const tokenizer = buildTokenizerJson(gguf.metadata);
  if (tokenizer.vocabularySize > architecture.vocabularySize) {
    throw new TramontaneError(
      'tokenizer-invalid',
      `The tokenizer has ${tokenizer.vocabularySize} tokens, the embedding ${architecture.vocabularySize} rows`,
      { data: { tokens: tokenizer.vocabularySize, rows: architecture.vocabularySize } },
    );
  }
  const template = recogniseTemplate(metadataString(gguf.metadata, 'tokenizer.chat_template'), tokenizer);
  const origin = describeOrigin(gguf, model.parameterCount, options.origin ?? {});
  const contextLength = Math.min(
    options.contextLength ?? DEFAULT_CONTEXT_LENGTH,
    architecture.maxContextLength,
  );
  const config = createModelConfig({
    architecture,
    template,
    controlTokens: tokenizer.controlTokens,
    stopTokenIds: tokenizer.stopTokenIds,
    contextLength,
    temperature:
      options.sampling?.temperature ??
      metadataNumber(gguf.metadata, 'general.sampling.temp') ??
      (template.id === 'chatml' ? DEFAULT_TEMPERATURE : MISTRAL_TEMPERATURE),
    topP: options.sampling?.topP ?? metadataNumber(gguf.metadata, 'general.sampling.top_p') ?? 1,
    repetitionPenalty: 1,
    origin,
  });

  const shards = await writeShards(source, plan, sink, options);
  const tensorCache = createTensorCache(plan, shards);
  // What we write must be what we read: a fault of ours shows here, not at a reader's next load.
  parseModelFiles(config, tensorCache);
  const files: [name: string, text: string][] = [
    [TOKENIZER_FILE, tokenizer.tokenizerJson],
    [CONFIG_FILE, JSON.stringify(config)],
    [TENSOR_CACHE_FILE, JSON.stringify(tensorCache)],
  ];
  for (const [name, text] of files) {
    signal?.throwIfAborted();
    await sink.writeFile(name, new TextEncoder().encode(text));
  }
  return {
    origin,
    contextLength,
    byteLength: plan.byteLength,
    shards: shards.map(({ dataPath, nbytes, sha256 }) => ({ name: dataPath, byteLength: nbytes, sha256 })),
    files: [...shards.map(({ dataPath }) => dataPath), ...files.map(([name]) => name)],
  };
}

/**
 * Fills shards one after the other; while one is hashed and written, the next is filled. The two take turns in two
 * buffers, since shards left to the garbage collector would pile up.
 */
async function writeShards(
  source: ByteSource,
  plan: ImportPlan,
  sink: ModelSink,
  { signal, onProgress }: ImportOptions,
): Promise<WrittenShard[]> {
  const meter = new ProgressMeter(plan.sourceByteLength);
  const onBytes = (byteLength: number) => onProgress?.({ phase: 'import', ...meter.add(byteLength) });
  const largest = Math.max(...plan.shards.map(({ byteLength }) => byteLength));
  const [first, second] = [new Uint8Array(largest), new Uint8Array(largest)];
  const written: WrittenShard[] = [];
  let writing: Promise<void> = Promise.resolve();
  try {
    for (const [index, shard] of plan.shards.entries()) {
      const bytes = (index % 2 === 0 ? first : second).subarray(0, shard.byteLength);
      await fillShard(source, shard, bytes, signal, onBytes);
      await writing;
      writing = writeShard(shard, bytes, sink).then((result) => {
        written.push(result);
      });
      // It is awaited a shard later; until then a failure must not count as unhandled.
      writing.catch(() => undefined);
    }
  } finally {
    // Also after an error or abort: when we return, nothing writes any more.
    await writing;
  }
  return written;
}

async function writeShard(
  shard: PlannedShard,
  bytes: Uint8Array<ArrayBuffer>,
  sink: ModelSink,
): Promise<WrittenShard> {
  const sha256 = await sha256Hex(bytes);
  await sink.writeFile(shard.name, bytes);
  return {
    dataPath: shard.name,
    format: 'raw-shard',
    nbytes: shard.byteLength,
    sha256,
    records: shard.records,
  };
}

/** A range of the source, and what to do with its bytes. */
interface Slice {
  offset: number;
  byteLength: number;
  apply(bytes: Uint8Array<ArrayBuffer>): void;
}

async function fillShard(
  source: ByteSource,
  shard: PlannedShard,
  target: Uint8Array<ArrayBuffer>,
  signal: AbortSignal | undefined,
  onBytes: (byteLength: number) => void,
): Promise<void> {
  const slices = shard.items.flatMap((item) => sliceItem(item, target));
  const readSlice = (slice: Slice | undefined) => {
    const reading = slice && source.read(slice.offset, slice.byteLength, signal);
    // It is awaited a slice later; until then a failure must not count as unhandled.
    reading?.catch(() => undefined);
    return reading;
  };
  let reading = readSlice(slices[0]);
  for (const [index, slice] of slices.entries()) {
    const bytes = await reading;
    signal?.throwIfAborted();
    reading = readSlice(slices[index + 1]);
    if (bytes === undefined) throw new Error('Internal error: a slice was not read');
    slice.apply(bytes);
    onBytes(slice.byteLength);
  }
}

function sliceItem(item: PlannedItem, target: Uint8Array): Slice[] {
  if (item.kind === 'vector') {
    const { tensor, isHalf, length } = item.vector;
    const values = target.subarray(item.offset, item.offset + length * 4);
    return [
      {
        offset: tensor.offsetBytes,
        byteLength: tensor.byteLength,
        apply: (bytes) => (isHalf ? widenHalves(bytes, values) : values.set(bytes)),
      },
    ];
  }
  const { matrix, rowStart, rows, quantsOffset, scalesOffset } = item;
  const { format, columns, headDim } = matrix;
  const rowGroups = columns / format.groupColumns;
  const rowBytes = rowGroups * format.sourceBytes;
  const unit = headDim ?? 1;
  const sliceRows = Math.max(1, Math.floor(SLICE_BYTES / (rowBytes * unit))) * unit;
  // An odd number of f16 scales is padded to a whole word.
  const scalesEnd = scalesOffset + rows * rowGroups * format.scaleBytes;
  target.fill(0, scalesEnd, Math.ceil(scalesEnd / 4) * 4);
  const slices: Slice[] = [];
  for (let row = 0; row < rows; row += sliceRows) {
    const count = Math.min(sliceRows, rows - row);
    const start = row * rowGroups;
    const end = start + count * rowGroups;
    slices.push({
      offset: matrix.tensor.offsetBytes + (rowStart + row) * rowBytes,
      byteLength: count * rowBytes,
      apply: (bytes) =>
        format.repack(
          headDim === null ? bytes : toRotateHalfRows(bytes, rowBytes, headDim),
          target.subarray(quantsOffset + start * format.quantBytes, quantsOffset + end * format.quantBytes),
          target.subarray(scalesOffset + start * format.scaleBytes, scalesOffset + end * format.scaleBytes),
        ),
    });
  }
  return slices;
}

function widenHalves(source: Uint8Array, target: Uint8Array): void {
  const from = viewOf(source);
  const to = viewOf(target);
  for (let index = 0; index < source.byteLength / 2; index++) {
    to.setFloat32(index * 4, float16ToNumber(from.getUint16(index * 2, true)), true);
  }
}

/** Values of `general.file_type` (llama.h, enum llama_ftype) that name a build. */
const FILE_TYPES: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  7: 'Q8_0',
};

function describeOrigin(
  gguf: Gguf,
  parameterCount: number,
  given: NonNullable<ImportOptions['origin']>,
): ModelOrigin {
  const text = (key: string) => metadataString(gguf.metadata, key);
  const fileType = metadataInteger(gguf.metadata, 'general.file_type');
  return {
    name: given.name ?? text('general.name') ?? 'Unnamed model',
    quantization: (fileType === null ? undefined : FILE_TYPES[fileType]) ?? mostUsedType(gguf),
    parameterCount,
    sourceName: given.sourceName ?? 'model.gguf',
    sha256: given.sha256 ?? null,
    licence: given.licence ?? text('general.license'),
    url: given.url ?? text('general.source.url') ?? text('general.url'),
  };
}

/** The type that most bytes of the file are stored in. */
function mostUsedType(gguf: Gguf): string {
  const bytes = new Map<string, number>();
  for (const { type, byteLength } of gguf.tensors) bytes.set(type, (bytes.get(type) ?? 0) + byteLength);
  return [...bytes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'none';
}
