/**
 * Models of true shapes with random weights, for measuring a machine that has no 13 GB file. The importer prepares them
 * like any other, and packs a shard when the engine asks for it: nothing is on disk, and two shards at most are in
 * memory.
 */

import { readSourceModel } from '../../src/engine/import/gguf-architecture.ts';
import {
  createConfig,
  DEFAULT_MAX_RECORD_BYTES,
  DEFAULT_MAX_SHARD_BYTES,
  fillShard,
  SliceReader,
} from '../../src/engine/import/import-model.ts';
import { type PlannedShard, planImport } from '../../src/engine/import/import-plan.ts';
import { createTensorCache } from '../../src/engine/import/model-config.ts';
import type { PreparedModel } from '../../src/engine/import/source-model.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import type { Gguf } from '../../src/formats/gguf/gguf.ts';
import { buildTokenizerJson } from '../../src/formats/tokenizer/build-tokenizer.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../../src/models/model-files.ts';
import { MemoryWeightStore, type StoredModel, type WeightStore } from '../../src/storage/weight-store.ts';
import { UsageError } from './command-line.ts';
import { createSource, describeGguf, MIXES, type RandomShape, SHAPES } from './random-gguf.ts';

const DEFAULT_MIX = 'q4_0';
const DEFAULT_CONTEXT_LENGTH = 4096;

export const RANDOM_PREFIX = 'random:';

export interface RandomModel {
  id: string;
  store: WeightStore;
  /** Tokens of context that it is configured for, and the most that it can have. */
  contextLength: number;
  maxContextLength: number;
}

/** @param argument `random:SHAPE[:QUANTISATION]`. @throws UsageError for names that are not in the tables */
export function createRandomModel(argument: string): RandomModel {
  const [shapeName = '', mixName = DEFAULT_MIX] = argument.slice(RANDOM_PREFIX.length).split(':');
  const shape = SHAPES[shapeName];
  const mix = MIXES[mixName];
  if (shape === undefined) {
    throw new UsageError(`There is no shape "${shapeName}". There are: ${Object.keys(SHAPES).join(', ')}.`);
  }
  if (mix === undefined) {
    throw new UsageError(
      `There is no quantisation "${mixName}". There are: ${Object.keys(MIXES).join(', ')}.`,
    );
  }
  const gguf = describeGguf(shape, mix);
  const prepared = prepare(gguf, shape, mixName);
  const id = `random-${shapeName}-${mixName}`;
  return {
    id,
    store: new RandomWeightStore(id, prepared, createSource(gguf)),
    contextLength: Math.min(DEFAULT_CONTEXT_LENGTH, shape.contextLength),
    maxContextLength: shape.contextLength,
  };
}

function prepare(gguf: Gguf, shape: RandomShape, mixName: string): PreparedModel {
  const model = readSourceModel(gguf);
  return {
    layout: 'gguf',
    model,
    tokenizer: buildTokenizerJson(gguf.metadata),
    template: { id: 'mistral-v11', defaultSystemPrompt: null },
    sampling: { temperature: 0, topP: 1 },
    origin: {
      name: shape.name,
      quantization: mixName.toUpperCase(),
      parameterCount: model.parameterCount,
      sourceName: 'random weights',
      sha256: null,
      listedSha256: null,
      licence: null,
      url: null,
    },
  };
}

/** A shard whose bytes are made when they are read. */
class RandomShard extends Blob {
  readonly #shard: PlannedShard;
  readonly #source: ByteSource;

  constructor(shard: PlannedShard, source: ByteSource) {
    super([]);
    this.#shard = shard;
    this.#source = source;
  }

  override get size(): number {
    return this.#shard.byteLength;
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(this.#shard.byteLength);
    const reader = new SliceReader(this.#source, [this.#shard], undefined);
    await fillShard(reader, this.#shard, bytes, () => undefined);
    return bytes.buffer;
  }
}

/** A store in which one model lies, whole. */
class RandomWeightStore extends MemoryWeightStore {
  readonly #files: ReadonlyMap<string, Blob>;
  readonly #model: StoredModel;

  constructor(id: string, prepared: PreparedModel, source: ByteSource) {
    super();
    const plan = planImport(prepared.model, {
      maxRecordBytes: DEFAULT_MAX_RECORD_BYTES,
      maxShardBytes: DEFAULT_MAX_SHARD_BYTES,
    });
    const config = createConfig(prepared, DEFAULT_CONTEXT_LENGTH);
    // Without hashes, which only all the bytes would give.
    const shards = plan.shards.map(({ name, byteLength, records }) => ({
      dataPath: name,
      format: 'raw-shard',
      nbytes: byteLength,
      records,
    }));
    const tensorCache = { ...createTensorCache(plan, []), records: shards };
    this.#files = new Map<string, Blob>([
      [TOKENIZER_FILE, new Blob([prepared.tokenizer.tokenizerJson])],
      [CONFIG_FILE, new Blob([JSON.stringify(config)])],
      [TENSOR_CACHE_FILE, new Blob([JSON.stringify(tensorCache)])],
      ...plan.shards.map((shard): [string, Blob] => [shard.name, new RandomShard(shard, source)]),
    ]);
    this.#model = {
      version: 2,
      id,
      source: { kind: 'import', name: 'random weights', url: null },
      identity: null,
      facts: null,
      files: plan.shards.map(({ name, byteLength }) => ({
        name,
        storedName: name,
        byteLength,
        sha256: null,
      })),
      smallFiles: [],
      byteLength: plan.byteLength,
      storedAt: 0,
    };
  }

  override async readFile(_modelId: string, storedName: string): Promise<Blob | null> {
    return this.#files.get(storedName) ?? null;
  }

  override async readModel(modelId: string): Promise<StoredModel | null> {
    return modelId === this.#model.id ? this.#model : null;
  }
}
