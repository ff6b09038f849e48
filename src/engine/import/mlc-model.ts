/**
 * Models as `mlc_llm convert_weight` and `gen_config` write them, quantised with q4f16_1: Hugging Face's row order, rows
 * of Q, K, V and of gate, up fused into one tensor each. The quantisation is one of ours, so rows are taken out of the
 * fused tensors as they are. Anything that could change what the model computes is understood or refused by name.
 * Sources: https://github.com/mlc-ai/mlc-llm, python/mlc_llm/model/{llama,mistral}, quantization/group_quantization.py
 */
import { FormatError, TramontaneError } from '../../base/errors.ts';
import { WEIGHT_FORMATS } from '../../base/weight-formats.ts';
import { startsOf } from '../../formats/joined-source.ts';
import { FieldReader } from '../../models/field-reader.ts';
import type { Architecture } from '../../models/model-description.ts';
import { CONFIG_FILE, checkModelType, parseArchitecture } from '../../models/model-files.ts';
import type { LayerMatrix } from '../../models/tensor-names.ts';
import { type Checksums, hasChecksum, MD5_PATTERN, SHA256_PATTERN } from '../download/checksums.ts';
import { MAX_SHARD_BYTES } from '../shard-list.ts';
import { sliceBytes, sliceVector } from './slices.ts';
import {
  listTensors,
  type SourceMatrix,
  type SourceModel,
  type SourceVector,
  type TensorPlace,
} from './source-model.ts';

export interface MlcShard extends Checksums {
  name: string;
  byteLength: number;
}

export interface MlcModel {
  model: SourceModel;
  /** Read as one, in this order, by the model's slices. */
  shards: readonly MlcShard[];
  /** True where each shard is listed with a checksum, so that the list names the very bytes. */
  hasChecksums: boolean;
}

const QUANTIZATION = 'q4f16_1';
const NEXT_STEP = 'Choose another build of the model.';

/** The tensor that holds a layer's matrix, and the matrices whose rows come before in it. */
const FUSED: Readonly<Record<LayerMatrix, readonly [tensor: string, before: readonly LayerMatrix[]]>> = {
  'self_attn.q_proj': ['self_attn.qkv_proj', []],
  'self_attn.k_proj': ['self_attn.qkv_proj', ['self_attn.q_proj']],
  'self_attn.v_proj': ['self_attn.qkv_proj', ['self_attn.q_proj', 'self_attn.k_proj']],
  'self_attn.o_proj': ['self_attn.o_proj', []],
  'mlp.gate_proj': ['mlp.gate_up_proj', []],
  'mlp.up_proj': ['mlp.gate_up_proj', ['mlp.gate_proj']],
  'mlp.down_proj': ['mlp.down_proj', []],
};

/**
 * @param config `mlc-chat-config.json`, parsed
 * @param tensorCache the list of shards and tensors, parsed, from `cacheFile`
 * @throws TramontaneError `config-invalid` naming file and field, `architecture-unsupported`; FormatError
 *   `format-unsupported` for another quantisation, `format-invalid` for missing or misshapen tensors
 */
export function readMlcModel(config: unknown, tensorCache: unknown, cacheFile: string): MlcModel {
  const fields = new FieldReader(config, CONFIG_FILE, { nextStep: NEXT_STEP });
  checkModelType(fields);
  const quantization = fields.string('quantization');
  if (quantization !== QUANTIZATION) {
    throw new FormatError(
      `The model is quantised as ${quantization}, supported of this layout is ${QUANTIZATION}`,
      { field: 'quantization' },
      { code: 'format-unsupported', nextStep: `Choose a ${QUANTIZATION} build of the model, or a GGUF.` },
    );
  }
  const architecture = readArchitecture(fields);
  const cache = new FieldReader(tensorCache, cacheFile, { nextStep: NEXT_STEP });
  const { shards, tensors, hasChecksums } = readTensors(cache);
  return { model: takeTensors(architecture, tensors), shards, hasChecksums };
}

/** MLC's names for what it derives from Hugging Face's, which it leaves out. */
function readArchitecture(fields: FieldReader): Architecture {
  const model = fields.object('model_config');
  refuseUnknownArithmetic(fields, model);
  const headDim = model.has('head_dim') ? model.integer('head_dim', 0, 1024) : 0;
  const given = Object.fromEntries(
    ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'vocab_size'].map(
      (name) => [name, model.integer(name, 1)],
    ),
  );
  const normal = {
    ...given,
    num_key_value_heads: model.integer('num_key_value_heads', 1),
    rms_norm_eps: model.number('rms_norm_eps', 0, 1),
    head_dim: headDim || given.hidden_size! / given.num_attention_heads!,
    rope_theta: model.number(model.has('rope_theta') ? 'rope_theta' : 'position_embedding_base', 1, 1e12),
    // Models of type `mistral` never have it.
    tie_word_embeddings: model.has('tie_word_embeddings') && model.boolean('tie_word_embeddings'),
    max_position_embeddings: model.integer('context_window_size', 1, 1 << 24),
  };
  return parseArchitecture(
    new FieldReader(normal, CONFIG_FILE, { path: 'model_config', nextStep: NEXT_STEP }),
  );
}

function refuseUnknownArithmetic(fields: FieldReader, model: FieldReader): void {
  if (model.has('rope_scaling') && !model.isNull('rope_scaling')) {
    throw unsupported('RoPE scaling is not supported', 'rope_scaling');
  }
  for (const [name, reader] of [
    ['model_config.sliding_window_size', model],
    ['sliding_window_size', fields],
  ] as const) {
    const field = 'sliding_window_size';
    if (!reader.has(field) || reader.isNull(field)) continue;
    const window = reader.integer(field, -1);
    // 0 stands for a size that was never set.
    if (window > 0) throw unsupported(`Sliding-window attention (${window} tokens) is not supported`, name);
  }
  if (!model.has('kwargs')) return;
  const rest = model.object('kwargs');
  if (rest.has('hidden_act') && rest.string('hidden_act') !== 'silu') {
    throw unsupported(`The activation "${rest.string('hidden_act')}" is not supported`, 'hidden_act');
  }
}

function unsupported(message: string, field: string): TramontaneError {
  return new TramontaneError('architecture-unsupported', `${CONFIG_FILE}: ${message}`, {
    nextStep: 'Choose a model of the Llama or Mistral family, or one with a library of its own.',
    data: { file: CONFIG_FILE, field },
  });
}

interface MlcTensor {
  dtype: string;
  shape: readonly number[];
  /** In all shards together. */
  offset: number;
  byteLength: number;
}

const DTYPE_BYTES: Readonly<Record<string, number>> = { uint32: 4, float16: 2, float32: 4 };

function readTensors(cache: FieldReader): Omit<MlcModel, 'model'> & { tensors: Map<string, MlcTensor> } {
  const entries = cache.objects('records').map((shard) => ({
    shard,
    name: shard.string('dataPath', /^[\w-][\w.-]*$/, 'a file name without folders'),
    byteLength: shard.integer('nbytes', 1, MAX_SHARD_BYTES),
    sha256: shard.has('sha256') ? shard.string('sha256', SHA256_PATTERN, '64 hex digits') : null,
    md5: shard.has('md5sum') ? shard.string('md5sum', MD5_PATTERN, '32 hex digits') : null,
  }));
  const starts = startsOf(entries);
  const tensors = new Map<string, MlcTensor>();
  const names = new Set<string>();
  for (const [index, { shard, name, byteLength: shardBytes }] of entries.entries()) {
    if (names.has(name)) throw shard.invalid('dataPath', 'a name that occurs once');
    names.add(name);
    for (const record of shard.objects('records')) {
      const tensor = record.string('name', /./, 'a name');
      if (tensors.has(tensor)) throw record.invalid('name', 'a name that occurs once');
      const dtype = record.oneOf('dtype', Object.keys(DTYPE_BYTES));
      const shape = record.integers('shape', 1, Number.MAX_SAFE_INTEGER);
      const expected = shape.reduce((product, length) => product * length, DTYPE_BYTES[dtype]!);
      const byteLength = record.integer('nbytes', 1);
      // Of the types there are, the other encoding (`f32-to-bf16`) changes float32 alone.
      if (dtype === 'float32' && record.string('format') !== 'raw') throw record.invalid('format', '"raw"');
      if (byteLength !== expected) throw record.invalid('nbytes', `${expected}, as shape and dtype tell`);
      const offset = record.integer('byteOffset', 0);
      if (offset + byteLength > shardBytes) {
        throw record.invalid('byteOffset', `one within the shard's ${shardBytes} bytes`);
      }
      tensors.set(tensor, { dtype, shape, offset: starts[index]! + offset, byteLength });
    }
  }
  const shards = entries.map(({ shard: _, ...listed }) => listed);
  return { shards, tensors, hasChecksums: shards.every(hasChecksum) };
}

function takeTensors(architecture: Architecture, tensors: ReadonlyMap<string, MlcTensor>): SourceModel {
  const rest = new Set(tensors.keys());
  const places = listTensors(architecture);
  const rowsOf = new Map(places.map((place) => [place.name, place.kind === 'matrix' ? place.shape[0] : 0]));
  let parameterCount = 0;
  const take = (name: string, dtype: string, shape: readonly number[]): MlcTensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) {
      throw new FormatError(`The model has no tensor "${name}"`, { field: name }, { nextStep: NEXT_STEP });
    }
    if (tensor.dtype !== dtype || tensor.shape.join() !== shape.join()) {
      throw new FormatError(
        `Tensor "${name}" is ${tensor.dtype} [${tensor.shape.join(', ')}], expected ${dtype} [${shape.join(', ')}]`,
        { field: name },
        { nextStep: NEXT_STEP },
      );
    }
    rest.delete(name);
    return tensor;
  };

  const takeVector = ({ name, length }: Extract<TensorPlace, { kind: 'vector' }>): SourceVector => {
    const { offset, byteLength } = take(`${name}.weight`, 'float16', [length]);
    parameterCount += length;
    const slice = () => sliceVector(offset, length, 'F16');
    return { name, length, sourceType: 'f16', sourceByteLength: byteLength, slice };
  };
  const takeMatrix = (place: Extract<TensorPlace, { kind: 'matrix' }>): SourceMatrix => {
    const { name, layer, tensor, shape } = place;
    const [rows, columns] = shape;
    const prefix = `model.layers.${layer}.`;
    const [fused, before] = tensor === null ? [name, []] : FUSED[tensor];
    const source = tensor === null ? name : prefix + fused;
    const all = tensor === null ? [name] : matricesOf(fused).map((each) => prefix + each);
    const allRows = all.reduce((sum, each) => sum + rowsOf.get(each)!, 0);
    const firstRow = before.reduce((sum, each) => sum + rowsOf.get(prefix + each)!, 0);
    const { groupColumns, quantBytes, scaleBytes } = WEIGHT_FORMATS.q4f16_1;
    const groups = columns / groupColumns;
    const quants = take(`${source}.q_weight`, 'uint32', [allRows, columns / 8]);
    const scales = take(`${source}.q_scale`, 'float16', [allRows, groups]);
    const [quantRow, scaleRow] = [groups * quantBytes, groups * scaleBytes];
    parameterCount += rows * columns;
    return {
      name,
      rows,
      columns,
      format: QUANTIZATION,
      rowUnit: null,
      sourceType: QUANTIZATION,
      sourceByteLength: rows * (quantRow + scaleRow),
      slice: (rowStart, count) => [
        ...sliceBytes(quants.offset + (firstRow + rowStart) * quantRow, count * quantRow, 'quants'),
        ...sliceBytes(scales.offset + (firstRow + rowStart) * scaleRow, count * scaleRow, 'scales'),
      ],
    };
  };

  const taken = places.map((place): SourceModel['tensors'][number] =>
    place.kind === 'matrix'
      ? { kind: 'matrix', matrix: takeMatrix(place) }
      : { kind: 'vector', vector: takeVector(place) },
  );
  const [unknown] = rest;
  if (unknown !== undefined) {
    throw unsupported(
      `the model has ${rest.size} tensors that its architecture does not explain; the first is "${unknown}"`,
      unknown,
    );
  }
  return { architecture, tensors: taken, parameterCount };
}

function matricesOf(fused: string): LayerMatrix[] {
  return (Object.keys(FUSED) as LayerMatrix[]).filter((each) => FUSED[each][0] === fused);
}
