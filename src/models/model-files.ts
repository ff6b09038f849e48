/**
 * Reads what the importer wrote beside the shards: `mlc-chat-config.json` and `tensor-cache.json`. Both are WebLLM's
 * files, with additions of ours under `tramontane`. Everything is checked here, so that whoever holds a
 * {@link ModelFiles} may rely on it: every matrix is there, in whole parts, with the shape its architecture asks for.
 */
import { privateForm } from '../base/control-text.ts';
import { TramontaneError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';
import { BLOCK_COLUMNS, WEIGHT_FORMATS, type WeightFormat } from '../base/weight-formats.ts';
import { type ChatTemplate, type ControlForm, TEMPLATE_IDS } from './chat-template.ts';
import { FieldReader } from './field-reader.ts';
import {
  type Architecture,
  type LayerTensors,
  type Matrix,
  type MatrixPart,
  type ModelDescription,
  partByteLength,
  type Vector,
} from './model-description.ts';
import {
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  type LayerMatrix,
  type LayerVector,
  layerMatrixShape,
  layerTensorName,
} from './tensor-names.ts';

export const CONFIG_FILE = 'mlc-chat-config.json';
export const TENSOR_CACHE_FILE = 'tensor-cache.json';
export const TOKENIZER_FILE = 'tokenizer.json';

/** Version of our additions to WebLLM's files. A reader refuses others, so an old import is never misread. */
export const MODEL_FILES_VERSION = 1;

export interface ModelShard {
  name: string;
  byteLength: number;
  /** SHA-256 in hex, or null where the files give none. */
  sha256: string | null;
}

/** What it takes to write prompts. */
export interface PromptConfig {
  template: ChatTemplate;
  /** Tokens that only templates may write, in the order of their ids. */
  controlTokens: readonly (ControlForm & { id: number })[];
  /** Ids that end an answer. */
  stopTokenIds: readonly number[];
}

/** How to talk to the model: what the engine needs besides the tensors. */
export interface ChatConfig extends PromptConfig {
  /** Tokens of context the build is configured for; at most the architecture's. */
  contextLength: number;
  /** What its makers recommend. */
  temperature: number;
  topP: number;
  repetitionPenalty: number;
}

/** What the model is and where it comes from, for people. */
export interface ModelOrigin {
  name: string;
  /** As its makers name it: `Q4_1`, `Q4_K_M`. */
  quantization: string;
  parameterCount: number;
  /** Name of the file it was imported from. */
  sourceName: string;
  /** Of that file, in hex, where it was computed. */
  sha256: string | null;
  /** As the file's host lists it: nobody has compared it with the bytes that were imported. */
  listedSha256: string | null;
  /** SPDX identifier. */
  licence: string | null;
  url: string | null;
}

export interface ModelFiles {
  description: ModelDescription;
  /** In loading order. */
  shards: readonly ModelShard[];
  chat: ChatConfig;
  origin: ModelOrigin;
}

/**
 * Checks and joins the two files, given as parsed JSON.
 * @throws TramontaneError `config-invalid` naming file and field, what was found and what was expected;
 *   `architecture-unsupported`
 */
export function parseModelFiles(config: unknown, tensorCache: unknown): ModelFiles {
  const fields = new FieldReader(config, CONFIG_FILE);
  checkModelType(fields);
  const architecture = parseArchitecture(fields.object('model_config'));
  const { vocabularySize } = architecture;
  if (fields.integer('vocab_size', 1) !== vocabularySize) {
    throw fields.invalid('vocab_size', `${vocabularySize}, as in model_config.vocab_size`);
  }
  const ours = fields.object('tramontane');
  checkVersion(ours);
  const contextLength = fields.integer('context_window_size', 1, architecture.maxContextLength);
  const source = ours.object('source');
  const prompts = readPrompts(ours, vocabularySize);
  const { shards, matrices, vectors } = parseTensorCache(tensorCache);
  return {
    description: {
      architecture,
      tensors: joinTensors(architecture, matrices, vectors),
      controlTokenIds: prompts.controlTokens.map((token) => token.id),
      stopTokenIds: prompts.stopTokenIds,
    },
    shards,
    chat: {
      ...prompts,
      contextLength,
      temperature: fields.number('temperature', 0, 2),
      topP: fields.has('top_p') ? fields.number('top_p', 0, 1) : 1,
      repetitionPenalty: fields.has('repetition_penalty') ? fields.number('repetition_penalty', 0, 10) : 1,
    },
    origin: {
      name: ours.string('name'),
      quantization: ours.string('quantization'),
      parameterCount: ours.integer('parameter_count', 1),
      sourceName: source.string('name'),
      sha256: optional(source, 'sha256'),
      listedSha256: optional(source, 'sha256_listed'),
      licence: optional(source, 'licence'),
      url: optional(source, 'url'),
    },
  };
}

/** Value of `tramontane.layout` where weights and `model_config` are MLC's own, for a prebuilt library. */
export const MLC_LAYOUT = 'mlc';

/** True for a model that only its prebuilt library can run: of ours are its tokenizer and its prompts. */
export function isMlcLayout(config: unknown): boolean {
  const { tramontane } = config as { tramontane?: { layout?: unknown } | null };
  return tramontane?.layout === MLC_LAYOUT;
}

/**
 * Of the `mlc-chat-config.json` of such a model, as parsed JSON.
 * @throws TramontaneError `config-invalid`
 */
export function parsePromptConfig(config: unknown): PromptConfig {
  const fields = new FieldReader(config, CONFIG_FILE);
  const ours = fields.object('tramontane');
  checkVersion(ours);
  return readPrompts(ours, fields.integer('vocab_size', 1, MAX_WIDTH));
}

function readPrompts(ours: FieldReader, vocabularySize: number): PromptConfig {
  return {
    template: {
      id: ours.oneOf('template', TEMPLATE_IDS),
      defaultSystemPrompt: optional(ours, 'default_system_prompt'),
    },
    controlTokens: ours.objects('control_tokens').map((token) => {
      const id = token.integer('id', 0, vocabularySize - 1);
      return { id, surface: token.string('surface'), privateForm: privateForm(id) };
    }),
    stopTokenIds: ours.integers('stop_token_ids', 0, vocabularySize - 1),
  };
}

/** A string, or null where the field is absent. */
function optional(fields: FieldReader, field: string): string | null {
  return fields.has(field) ? fields.string(field) : null;
}

/** Values of `model_type` whose layers are those of {@link Architecture}. */
const MODEL_TYPES: readonly string[] = ['llama', 'mistral'];

/** @throws TramontaneError `architecture-unsupported` */
export function checkModelType(fields: FieldReader): void {
  const found = fields.string('model_type');
  if (MODEL_TYPES.includes(found)) return;
  throw new TramontaneError(
    'architecture-unsupported',
    `${CONFIG_FILE}: model_type is ${shown(found)}; supported: ${MODEL_TYPES.join(', ')}`,
    {
      nextStep: 'Choose a model of the Llama or Mistral family.',
      data: { file: CONFIG_FILE, field: 'model_type', found: shown(found) },
    },
  );
}

function checkVersion(fields: FieldReader): void {
  if (fields.integer('version', 1) !== MODEL_FILES_VERSION) {
    throw fields.invalid('version', `${MODEL_FILES_VERSION} (written by another version of Tramontane)`);
  }
}

// Wider than any known model of the family, and small enough that products of two stay exact.
const MAX_WIDTH = 1 << 20;

/** @param model `model_config`, with Hugging Face's names */
export function parseArchitecture(model: FieldReader): Architecture {
  const architecture: Architecture = {
    hiddenSize: model.integer('hidden_size', BLOCK_COLUMNS, MAX_WIDTH),
    layerCount: model.integer('num_hidden_layers', 1, 1024),
    headCount: model.integer('num_attention_heads', 1, 1024),
    kvHeadCount: model.integer('num_key_value_heads', 1, 1024),
    headDim: model.integer('head_dim', 2, 1024),
    intermediateSize: model.integer('intermediate_size', BLOCK_COLUMNS, MAX_WIDTH),
    vocabularySize: model.integer('vocab_size', 1, MAX_WIDTH),
    rmsNormEpsilon: model.number('rms_norm_eps', 0, 1),
    ropeTheta: model.number('rope_theta', 1, 1e12),
    tiedEmbeddings: model.boolean('tie_word_embeddings'),
    maxContextLength: model.integer('max_position_embeddings', 1, 1 << 24),
  };
  const { headCount, kvHeadCount, headDim } = architecture;
  if (headCount % kvHeadCount !== 0) {
    throw model.invalid('num_key_value_heads', `a divisor of num_attention_heads (${headCount})`);
  }
  if (headDim % 2 !== 0) throw model.invalid('head_dim', 'an even number');
  for (const [field, columns] of [
    ['hidden_size', architecture.hiddenSize],
    ['intermediate_size', architecture.intermediateSize],
    ['head_dim', headCount * headDim],
  ] as const) {
    if (columns % BLOCK_COLUMNS !== 0) {
      throw model.invalid(field, `one that makes rows of a multiple of ${BLOCK_COLUMNS} columns`);
    }
  }
  return architecture;
}

interface TensorRecord {
  dtype: string;
  byteLength: number;
}

const DTYPE_BYTES = { float32: 4, float16: 2, uint32: 4 } as const;
const DTYPES = Object.keys(DTYPE_BYTES) as (keyof typeof DTYPE_BYTES)[];
const FORMAT_NAMES = Object.keys(WEIGHT_FORMATS) as WeightFormat[];

function parseTensorCache(tensorCache: unknown): {
  shards: ModelShard[];
  matrices: ReadonlyMap<string, Matrix>;
  vectors: ReadonlyMap<string, Vector>;
} {
  const fields = new FieldReader(tensorCache, TENSOR_CACHE_FILE);
  const shards: ModelShard[] = [];
  const records = new Map<string, TensorRecord>();
  const shardNames = new Set<string>();
  for (const shard of fields.objects('records')) {
    const name = shard.string('dataPath', /^[\w-][\w.-]*$/, 'a file name without folders');
    if (shardNames.has(name)) throw shard.invalid('dataPath', 'a name that occurs once');
    shardNames.add(name);
    shard.oneOf('format', ['raw-shard']);
    const byteLength = shard.integer('nbytes', 1);
    const sha256 = shard.has('sha256')
      ? shard.string('sha256', /^[0-9a-f]{64}$/, '64 hexadecimal digits')
      : null;
    shards.push({ name, byteLength, sha256 });
    for (const record of shard.objects('records')) parseRecord(record, byteLength, records);
  }

  const ours = fields.object('metadata').object('tramontane');
  checkVersion(ours);
  const matrices = new Map<string, Matrix>();
  const matrixFields = ours.object('matrices');
  for (const name of matrixFields.keys()) {
    matrices.set(name, parseMatrix(matrixFields.object(name), records));
  }
  const vectors = new Map<string, Vector>();
  const vectorFields = ours.object('vectors');
  for (const name of vectorFields.keys()) {
    const vector = vectorFields.object(name);
    const length = vector.integer('length', 1, MAX_WIDTH);
    vectors.set(name, {
      length,
      record: parseRecordName(vector, 'record', records, 'float32', length * 4),
    });
  }
  return { shards, matrices, vectors };
}

function parseRecord(record: FieldReader, shardByteLength: number, records: Map<string, TensorRecord>): void {
  const name = record.string('name', /./, 'a name');
  if (records.has(name)) throw record.invalid('name', 'a name that occurs once');
  const dtype = record.oneOf('dtype', DTYPES);
  record.oneOf('format', ['raw']);
  const shape = record.integers('shape', 1, Number.MAX_SAFE_INTEGER);
  const expected = shape.reduce((product, length) => product * length, DTYPE_BYTES[dtype]);
  const byteLength = record.integer('nbytes', 1);
  if (byteLength !== expected) throw record.invalid('nbytes', `${expected}, as shape and dtype tell`);
  const byteOffset = record.integer('byteOffset', 0);
  if (byteOffset + byteLength > shardByteLength) {
    throw record.invalid('byteOffset', `one within the shard's ${shardByteLength} bytes`);
  }
  records.set(name, { dtype, byteLength });
}

function parseMatrix(fields: FieldReader, records: ReadonlyMap<string, TensorRecord>): Matrix {
  const format = fields.oneOf('format', FORMAT_NAMES);
  const rows = fields.integer('rows', 1, MAX_WIDTH);
  const columns = fields.integer('columns', 1, MAX_WIDTH);
  const { groupColumns } = WEIGHT_FORMATS[format];
  if (columns % groupColumns !== 0) throw fields.invalid('columns', `a multiple of ${groupColumns}`);
  const dtype = format === 'f32' ? 'float32' : 'uint32';
  const parts: MatrixPart[] = [];
  let rowStart = 0;
  for (const part of fields.objects('parts')) {
    if (part.integer('rowStart', 0) !== rowStart) throw part.invalid('rowStart', String(rowStart));
    const partRows = part.integer('rows', 1, rows - rowStart);
    const [quantBytes, scaleBytes] = partByteLength(format, partRows, columns);
    parts.push({
      rowStart,
      rows: partRows,
      quants: parseRecordName(part, 'quants', records, dtype, quantBytes),
      scales: scaleBytes === 0 ? null : parseRecordName(part, 'scales', records, 'uint32', scaleBytes),
    });
    rowStart += partRows;
  }
  if (rowStart !== rows) throw fields.invalid('rows', `${rowStart}, as the parts add up to`);
  return { format, rows, columns, parts };
}

function parseRecordName(
  fields: FieldReader,
  field: string,
  records: ReadonlyMap<string, TensorRecord>,
  dtype: string,
  byteLength: number,
): string {
  const name = fields.string(field);
  const record = records.get(name);
  if (record === undefined) throw fields.invalid(field, 'the name of a record');
  if (record.dtype !== dtype || record.byteLength !== byteLength) {
    throw fields.invalid(
      field,
      `a record of ${byteLength} bytes of ${dtype} (it has ${record.byteLength} of ${record.dtype})`,
    );
  }
  return name;
}

function joinTensors(
  architecture: Architecture,
  matrices: ReadonlyMap<string, Matrix>,
  vectors: ReadonlyMap<string, Vector>,
): ModelDescription['tensors'] {
  const { hiddenSize, vocabularySize } = architecture;
  const matrix = (name: string, [rows, columns]: readonly [number, number]): Matrix => {
    const found = matrices.get(name);
    if (found?.rows === rows && found.columns === columns) return found;
    throw tensorMismatch(
      `matrices.${name}`,
      found && `[${found.rows}, ${found.columns}]`,
      `[${rows}, ${columns}]`,
    );
  };
  const vector = (name: string): Vector => {
    const found = vectors.get(name);
    if (found?.length === hiddenSize) return found;
    throw tensorMismatch(`vectors.${name}`, found && `[${found.length}]`, `[${hiddenSize}]`);
  };
  const embedding = matrix(EMBEDDING, [vocabularySize, hiddenSize]);
  const layers = Array.from({ length: architecture.layerCount }, (_, layer): LayerTensors => {
    const layerMatrix = (name: LayerMatrix) =>
      matrix(layerTensorName(layer, name), layerMatrixShape(architecture, name));
    const layerVector = (name: LayerVector) => vector(layerTensorName(layer, name));
    return {
      attentionNorm: layerVector('input_layernorm'),
      query: layerMatrix('self_attn.q_proj'),
      key: layerMatrix('self_attn.k_proj'),
      value: layerMatrix('self_attn.v_proj'),
      output: layerMatrix('self_attn.o_proj'),
      feedForwardNorm: layerVector('post_attention_layernorm'),
      gate: layerMatrix('mlp.gate_proj'),
      up: layerMatrix('mlp.up_proj'),
      down: layerMatrix('mlp.down_proj'),
    };
  });
  return {
    embedding,
    layers,
    finalNorm: vector(FINAL_NORM),
    head: architecture.tiedEmbeddings ? embedding : matrix(HEAD, [vocabularySize, hiddenSize]),
  };
}

function tensorMismatch(field: string, found: string | undefined, expected: string): TramontaneError {
  return new TramontaneError(
    'config-invalid',
    `${TENSOR_CACHE_FILE}: metadata.tramontane.${field} is ${found ?? 'missing'}, expected shape ${expected}`,
    {
      nextStep: 'Import the model again.',
      data: { file: TENSOR_CACHE_FILE, field, found: found ?? null, expected },
    },
  );
}
