/**
 * Streams a model into shards, once everything that can be refused has been: header, tokenizer, template, plan. Blocks
 * are moved, never requantised. At most two shards and two slices of the source are in memory, however large it is.
 */
import { ProgressMeter } from '../../base/progress-meter.ts';
import { sha256Hex } from '../../base/sha256.ts';
import type { ByteSource } from '../../formats/byte-source.ts';
import {
  CONFIG_FILE,
  type ModelOrigin,
  parseModelFiles,
  TENSOR_CACHE_FILE,
  TOKENIZER_FILE,
} from '../../models/model-files.ts';
import type { Progress } from '../api.ts';
import { type ImportPlan, type PlannedShard, planImport } from './import-plan.ts';
import { createModelConfig, createTensorCache, type WrittenShard } from './model-config.ts';
import { openGguf } from './open-gguf.ts';
import { type PrepareOptions, prepareGguf } from './prepare-gguf.ts';
import type { PreparedModel } from './source-model.ts';

/** Where an import writes: each shard once, whole, in their order; then the small files, which complete the model. */
export interface ModelSink {
  /** `bytes` are the sink's only until the promise settles: the memory is used again. */
  writeShard(shard: PlannedShard, sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** @param files texts by name; the last one is `tensor-cache.json` */
  complete(files: ReadonlyMap<string, string>): Promise<void>;
}

export interface WriteOptions {
  /** Tokens of context to configure. Default: the model's own, at most 8192. */
  contextLength?: number;
  /** SHA-256, in hex, of shards that are stored already, by name: they are not read again. */
  finished?: ReadonlyMap<string, string>;
  signal?: AbortSignal;
  /** Phase `import`; bytes of weights read from the source. */
  onProgress?: (progress: Progress) => void;
}

export interface ImportOptions extends WriteOptions, PrepareOptions {
  /** Most bytes of one tensor record, which is one GPU binding. Default 128 MiB, which every WebGPU device allows. */
  maxRecordBytes?: number;
  /** Most bytes of one shard. Default 96 MiB; static hosts want 24 MiB. */
  maxShardBytes?: number;
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
/** Two of these, and the copy that WebCrypto makes of one, are in memory during an import. */
export const DEFAULT_MAX_SHARD_BYTES = 96 << 20;
const DEFAULT_CONTEXT_LENGTH = 8192;

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
  const prepared = prepareGguf(gguf, options);
  const plan = planImport(prepared.model, {
    maxRecordBytes: options.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES,
    maxShardBytes: options.maxShardBytes ?? DEFAULT_MAX_SHARD_BYTES,
  });
  return writeModel(prepared, plan, source, sink, options);
}

/**
 * Writes a model as planned.
 * @throws whatever source and sink throw; `signal.reason` when aborted. When it has ended, nothing writes any more.
 */
export async function writeModel(
  prepared: PreparedModel,
  plan: ImportPlan,
  source: ByteSource,
  sink: ModelSink,
  options: WriteOptions = {},
): Promise<ModelManifest> {
  const config = createConfig(prepared, options.contextLength);
  const shards = await writeShards(source, plan, sink, options);
  const tensorCache = createTensorCache(plan, shards);
  // What we write must be what we read: a fault of ours shows here, not at a reader's next load.
  parseModelFiles(config, tensorCache);
  const files = new Map([
    [TOKENIZER_FILE, prepared.tokenizer.tokenizerJson],
    [CONFIG_FILE, JSON.stringify(config)],
    [TENSOR_CACHE_FILE, JSON.stringify(tensorCache)],
  ]);
  options.signal?.throwIfAborted();
  await sink.complete(files);
  return {
    origin: prepared.origin,
    contextLength: contextLengthOf(prepared, options.contextLength),
    byteLength: plan.byteLength,
    shards: shards.map(({ dataPath, nbytes, sha256 }) => ({ name: dataPath, byteLength: nbytes, sha256 })),
    files: [...shards.map(({ dataPath }) => dataPath), ...files.keys()],
  };
}

/** The content of `mlc-chat-config.json`. @param contextLength as in {@link WriteOptions} */
export function createConfig(prepared: PreparedModel, contextLength?: number): object {
  const { model, tokenizer, template, sampling, origin } = prepared;
  return createModelConfig({
    architecture: model.architecture,
    template,
    tokenizer,
    contextLength: contextLengthOf(prepared, contextLength),
    ...sampling,
    repetitionPenalty: 1,
    origin,
  });
}

function contextLengthOf({ model }: PreparedModel, wanted = DEFAULT_CONTEXT_LENGTH): number {
  return Math.min(wanted, model.architecture.maxContextLength);
}

/**
 * Fills shards one after the other; while one is hashed and written, the next is filled. The two take turns in two
 * buffers, since shards left to the garbage collector would pile up.
 */
async function writeShards(
  source: ByteSource,
  plan: ImportPlan,
  sink: ModelSink,
  { finished = new Map(), signal, onProgress }: WriteOptions,
): Promise<WrittenShard[]> {
  const missing = plan.shards.filter(({ name }) => !finished.has(name));
  const doneBytes = plan.sourceByteLength - missing.reduce((sum, shard) => sum + shard.sourceByteLength, 0);
  const meter = new ProgressMeter(plan.sourceByteLength, doneBytes);
  const onBytes = (byteLength: number) => onProgress?.({ phase: 'import', ...meter.add(byteLength) });
  const largest = Math.max(0, ...missing.map(({ byteLength }) => byteLength));
  let [buffer, other] = [new Uint8Array(largest), new Uint8Array(largest)];
  const hashes = new Map(finished);
  let writing: Promise<void> = Promise.resolve();
  try {
    for (const shard of missing) {
      const bytes = buffer.subarray(0, shard.byteLength);
      await fillShard(source, shard, bytes, signal, onBytes);
      await writing;
      writing = writeShard(shard, bytes, sink).then((sha256) => void hashes.set(shard.name, sha256));
      // It is awaited a shard later; until then a failure must not count as unhandled.
      writing.catch(() => undefined);
      [buffer, other] = [other, buffer];
    }
  } finally {
    // Also after an error or abort: when we return, nothing writes any more.
    await writing;
  }
  return plan.shards.map((shard) => ({
    dataPath: shard.name,
    format: 'raw-shard',
    nbytes: shard.byteLength,
    sha256: hashes.get(shard.name)!,
    records: shard.records,
  }));
}

/** @returns the shard's SHA-256 in hex */
async function writeShard(
  shard: PlannedShard,
  bytes: Uint8Array<ArrayBuffer>,
  sink: ModelSink,
): Promise<string> {
  const sha256 = await sha256Hex(bytes);
  await sink.writeShard(shard, sha256, bytes);
  return sha256;
}

async function fillShard(
  source: ByteSource,
  shard: PlannedShard,
  target: Uint8Array<ArrayBuffer>,
  signal: AbortSignal | undefined,
  onBytes: (byteLength: number) => void,
): Promise<void> {
  const work = shard.items.flatMap(({ quants, scales, slices }) => {
    const quantBytes = target.subarray(quants.offset, quants.offset + quants.byteLength);
    const scaleBytes = target.subarray(scales.offset, scales.offset + scales.byteLength);
    // An odd number of f16 scales is padded to a whole word, in a buffer that was used before.
    scaleBytes.fill(0, Math.max(0, scales.byteLength - 4));
    return slices.map((slice) => ({ slice, quantBytes, scaleBytes }));
  });
  const readSlice = (index: number) => {
    const slice = work[index]?.slice;
    const reading = slice && source.read(slice.offset, slice.byteLength, signal);
    // It is awaited a slice later; until then a failure must not count as unhandled.
    reading?.catch(() => undefined);
    return reading;
  };
  let reading = readSlice(0);
  for (const [index, { slice, quantBytes, scaleBytes }] of work.entries()) {
    const bytes = await reading;
    signal?.throwIfAborted();
    reading = readSlice(index + 1);
    if (bytes === undefined) throw new Error('Internal error: a slice was not read');
    slice.apply(bytes, quantBytes, scaleBytes);
    onBytes(slice.byteLength);
  }
}
