/**
 * Streams a model into shards, once everything that can be refused has been: header, tokenizer, template, plan. Blocks
 * are moved, never requantised. One shard and two slices of the source are in memory, however large it is.
 */
import { ProgressMeter } from '../../base/progress-meter.ts';
import { sha256Hex } from '../../base/sha256.ts';
import { type ByteSource, readWithin } from '../../formats/byte-source.ts';
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
import type { PreparedModel, SourceSlice } from './source-model.ts';

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
  /** Most bytes of one shard. Default 91 MiB; static hosts want 24 MiB. */
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
/**
 * One of these, and the copy that WebCrypto or a Blob makes of it, is in memory during an import. As little as leaves
 * Mistral Small's gate and up projections whole at 4.5 bits a weight, which takes 90 MiB.
 */
export const DEFAULT_MAX_SHARD_BYTES = 91 << 20;
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
 * Fills shards one after the other in one buffer: two, with the copy that hashing makes, would take more memory than
 * they save time, and shards left to the garbage collector would pile up. While one is written, a source that fetches
 * ahead goes on.
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
  const buffer = new Uint8Array(largest);
  const reader = new SliceReader(source, missing, signal);
  const hashes = new Map(finished);
  for (const shard of missing) {
    const bytes = buffer.subarray(0, shard.byteLength);
    await fillShard(reader, shard, bytes, onBytes);
    hashes.set(shard.name, await writeShard(shard, bytes, sink));
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

/** Reads and packs all of a shard into `target`, which is as long as the shard. */
export async function fillShard(
  reader: SliceReader,
  shard: PlannedShard,
  target: Uint8Array<ArrayBuffer>,
  onBytes: (byteLength: number) => void,
): Promise<void> {
  const work = shard.items.flatMap(({ quants, scales, slices }) => {
    const quantBytes = target.subarray(quants.offset, quants.offset + quants.byteLength);
    const scaleBytes = target.subarray(scales.offset, scales.offset + scales.byteLength);
    // An odd number of f16 scales is padded to a whole word, in a buffer that was used before.
    scaleBytes.fill(0, Math.max(0, scales.byteLength - 4));
    return slices.map((slice) => ({ slice, quantBytes, scaleBytes }));
  });
  let reading = reader.read(work[0]?.slice);
  for (const [index, { slice, quantBytes, scaleBytes }] of work.entries()) {
    const bytes = await reading;
    reader.signal?.throwIfAborted();
    reading = reader.read(work[index + 1]?.slice);
    if (bytes === undefined) throw new Error('Internal error: a slice was not read');
    slice.apply(bytes, quantBytes, scaleBytes);
    onBytes(slice.byteLength);
  }
}

/** Reads slices, each while the one before it is worked on, into two buffers in turn where the source can. */
export class SliceReader {
  readonly signal: AbortSignal | undefined;
  readonly #source: ByteSource;
  #buffers: [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];

  /** @param shards of which slices will be read */
  constructor(source: ByteSource, shards: readonly PlannedShard[], signal: AbortSignal | undefined) {
    this.signal = signal;
    this.#source = source;
    const slices = shards.flatMap(({ items }) => items.flatMap((item) => item.slices));
    const largest =
      source.readInto === undefined
        ? 0
        : slices.reduce((most, { byteLength }) => Math.max(most, byteLength), 0);
    this.#buffers = [new Uint8Array(largest), new Uint8Array(largest)];
  }

  read(slice: SourceSlice | undefined): Promise<Uint8Array<ArrayBuffer>> | undefined {
    if (slice === undefined) return undefined;
    const [buffer, other] = this.#buffers;
    this.#buffers = [other, buffer];
    const reading = readWithin(this.#source, slice.offset, slice.byteLength, buffer, this.signal);
    // It is awaited a slice later; until then a failure must not count as unhandled.
    reading.catch(() => undefined);
    return reading;
  }
}
