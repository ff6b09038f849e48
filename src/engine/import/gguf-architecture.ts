/**
 * From a GGUF header to the architecture and the tensors that make it up. Everything that could change what the model
 * computes is either understood or refused by name: unknown architectures, RoPE scaling, biases, experts.
 */
import { FormatError } from '../../base/errors.ts';
import { shown } from '../../base/shown.ts';
import {
  type Gguf,
  type GgufMetadata,
  type GgufTensor,
  metadataBoolean,
  metadataInteger,
  metadataNumber,
  metadataRange,
  metadataString,
} from '../../formats/gguf/gguf.ts';
import { BLOCK_FORMATS, SUPPORTED_TYPES } from '../../formats/quant/formats.ts';
import type { Architecture } from '../../models/model-description.ts';
import {
  EMBEDDING,
  FINAL_NORM,
  HEAD,
  type LayerMatrix,
  type LayerVector,
} from '../../models/tensor-names.ts';
import { sliceGgufMatrix, sliceVector } from './slices.ts';
import {
  listTensors,
  type SourceMatrix,
  type SourceModel,
  type SourceVector,
  type TensorPlace,
} from './source-model.ts';

/** Architectures whose GGUF has the tensors, the arithmetic and the row order of Llama. */
const ARCHITECTURES = ['llama', 'mistral3'];

function unsupported(message: string, field: string): FormatError {
  return new FormatError(
    message,
    { field },
    { code: 'architecture-unsupported', nextStep: 'Choose a model of the Llama or Mistral family.' },
  );
}

/**
 * @throws FormatError `architecture-unsupported`, `format-unsupported` (tensor types) or `format-invalid` (missing or
 *   misshapen tensors and metadata), naming key or tensor
 */
export function readSourceModel(gguf: Gguf): SourceModel {
  const { metadata } = gguf;
  const name = metadataString(metadata, 'general.architecture');
  if (name === null || !ARCHITECTURES.includes(name)) {
    throw unsupported(
      `The model's architecture is ${name === null ? 'not named' : shown(name)}, supported are ${ARCHITECTURES.join(', ')}`,
      'general.architecture',
    );
  }
  refuseUnknownArithmetic(metadata, name);

  const tensors = new Map(gguf.tensors.map((tensor) => [tensor.name, tensor]));
  const refused = gguf.tensors.filter(({ type }) => !BLOCK_FORMATS.has(type));
  const first = refused[0];
  if (first !== undefined) {
    const types = [...new Set(refused.map(({ type }) => type))];
    throw new FormatError(
      `${refused.length} tensors are stored as ${types.join(', ')} (the first is ${shown(first.name)}), supported are ${SUPPORTED_TYPES}`,
      { field: first.name },
      {
        code: 'format-unsupported',
        nextStep: 'Choose a build in one of these formats, such as Q4_K_M, Q4_0 or Q8_0.',
        data: { types },
      },
    );
  }
  const architecture = readArchitecture(metadata, name, tensors);
  return takeTensors(architecture, tensors);
}

/** Keys that change the arithmetic, with the value at which they change nothing. */
const ARITHMETIC_KEYS: readonly (readonly [key: string, neutral: number])[] = [
  ['rope.scaling.factor', 1],
  ['rope.scale_linear', 1],
  ['rope.scaling.attn_factor', 1],
  ['attention.temperature_scale', 0],
  ['attention.scale', 0],
  ['attention.clamp_kqv', 0],
  ['attention.max_alibi_bias', 0],
  ['attn_logit_softcapping', 0],
  ['final_logit_softcapping', 0],
  ['logit_scale', 1],
  ['residual_scale', 1],
  ['embedding_scale', 1],
  ['expert_count', 0],
  ['leading_dense_block_count', 0],
];

function refuseUnknownArithmetic(metadata: GgufMetadata, prefix: string): void {
  const scalingKey = `${prefix}.rope.scaling.type`;
  const scaling = metadataString(metadata, scalingKey) ?? 'none';
  if (scaling !== 'none')
    throw unsupported(`RoPE scaling of type ${shown(scaling)} is not supported`, scalingKey);
  for (const [key, neutral] of ARITHMETIC_KEYS) {
    const field = `${prefix}.${key}`;
    const value = metadataNumber(metadata, field);
    if (value !== null && value !== neutral) {
      throw unsupported(`GGUF metadata "${field}" is ${value}, which is not supported`, field);
    }
  }
  const causalKey = `${prefix}.attention.causal`;
  if (metadataBoolean(metadata, causalKey) === false) {
    throw unsupported('Attention that is not causal is not supported', causalKey);
  }
  const windowKey = `${prefix}.attention.sliding_window`;
  const window = metadataInteger(metadata, windowKey) ?? 0;
  const context = metadataInteger(metadata, `${prefix}.context_length`) ?? 0;
  if (window > 0 && window < context) {
    throw unsupported(
      `Sliding-window attention (${window} of ${context} tokens) is not supported`,
      windowKey,
    );
  }
}

// As in model-files.ts, which reads what is written here.
const MAX_WIDTH = 1 << 20;

function readArchitecture(
  metadata: GgufMetadata,
  prefix: string,
  tensors: ReadonlyMap<string, GgufTensor>,
): Architecture {
  const integer = (key: string, max: number, absent?: number): number => {
    const field = `${prefix}.${key}`;
    const value = metadataInteger(metadata, field) ?? absent;
    if (value === undefined) throw new FormatError(`GGUF metadata "${field}" is missing`, { field });
    if (value < 1 || value > max) {
      throw new FormatError(`GGUF metadata "${field}" is ${value}, expected 1 to ${max}`, { field });
    }
    return value;
  };
  const hiddenSize = integer('embedding_length', MAX_WIDTH);
  const headCount = integer('attention.head_count', 1024);
  const kvHeadCount = integer('attention.head_count_kv', 1024, headCount);
  const headDim = integer('attention.key_length', 1024, hiddenSize / headCount);
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw unsupported(
      `Heads of ${headDim} are not supported: the head width must be even`,
      `${prefix}.attention.key_length`,
    );
  }
  for (const [key, value] of [
    ['attention.value_length', integer('attention.value_length', 1024, headDim)],
    // A smaller one would leave part of each head unrotated.
    ['rope.dimension_count', integer('rope.dimension_count', 1024, headDim)],
  ] as const) {
    if (value !== headDim) {
      throw unsupported(
        `GGUF metadata "${prefix}.${key}" is ${value}, supported is the head width, ${headDim}`,
        `${prefix}.${key}`,
      );
    }
  }
  if (headCount % kvHeadCount !== 0) {
    throw unsupported(
      `${headCount} query heads cannot share ${kvHeadCount} key/value heads evenly`,
      `${prefix}.attention.head_count_kv`,
    );
  }
  const number = (key: string, min: number, max: number, absent?: number): number => {
    const field = `${prefix}.${key}`;
    const value = metadataRange(metadata, field, min, max) ?? absent;
    if (value === undefined) throw new FormatError(`GGUF metadata "${field}" is missing`, { field });
    return value;
  };
  const embedding = requireTensor(tensors, 'token_embd.weight');
  const vocabularySize = embedding.dimensions[1] ?? 1;
  if (vocabularySize > MAX_WIDTH) {
    throw unsupported(
      `Tensor "${embedding.name}" has ${vocabularySize} rows, supported are up to ${MAX_WIDTH} tokens`,
      embedding.name,
    );
  }
  return {
    hiddenSize,
    layerCount: integer('block_count', 1024),
    headCount,
    kvHeadCount,
    headDim,
    intermediateSize: integer('feed_forward_length', MAX_WIDTH),
    vocabularySize,
    rmsNormEpsilon: number('attention.layer_norm_rms_epsilon', 0, 1),
    ropeTheta: number('rope.freq_base', 1, 1e12, 10_000),
    tiedEmbeddings: !tensors.has('output.weight'),
    maxContextLength: integer('context_length', 1 << 24),
  };
}

/** GGUF's names of a layer's tensors, without `blk.N.` and `.weight`. */
const LAYER_NAMES: Readonly<Record<LayerMatrix | LayerVector, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const OTHER_NAMES: Readonly<Record<string, string>> = {
  [EMBEDDING]: 'token_embd',
  [FINAL_NORM]: 'output_norm',
  [HEAD]: 'output',
};

function ggufName({ name, layer, tensor }: TensorPlace): string {
  return tensor === null ? `${OTHER_NAMES[name]}.weight` : `blk.${layer}.${LAYER_NAMES[tensor]}.weight`;
}

function takeTensors(architecture: Architecture, tensors: ReadonlyMap<string, GgufTensor>): SourceModel {
  const rest = new Set(tensors.keys());
  const taken: SourceModel['tensors'][number][] = [];
  let parameterCount = 0;
  for (const place of listTensors(architecture)) {
    const tensor = requireTensor(tensors, ggufName(place));
    rest.delete(tensor.name);
    parameterCount += tensor.dimensions.reduce((product, length) => product * length, 1);
    taken.push(
      place.kind === 'matrix'
        ? { kind: 'matrix', matrix: describeMatrix(tensor, place, architecture) }
        : { kind: 'vector', vector: describeVector(tensor, place) },
    );
  }
  const [unknown] = rest;
  if (unknown !== undefined) {
    throw unsupported(
      `The model has ${rest.size} tensors that its architecture does not explain; the first is ${shown(unknown)}`,
      unknown,
    );
  }
  return { architecture, tensors: taken, parameterCount };
}

function requireTensor(tensors: ReadonlyMap<string, GgufTensor>, name: string): GgufTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) {
    throw new FormatError(
      `The model has no tensor "${name}"`,
      { field: name },
      { nextStep: 'The file is incomplete, or not of a text model: choose another.' },
    );
  }
  return tensor;
}

function describeMatrix(
  tensor: GgufTensor,
  { name, tensor: place, shape: [rows, columns] }: Extract<TensorPlace, { kind: 'matrix' }>,
  { headDim }: Architecture,
): SourceMatrix {
  const { dimensions, type } = tensor;
  if (dimensions.length !== 2 || dimensions[0] !== columns || dimensions[1] !== rows) {
    throw new FormatError(
      `Tensor "${tensor.name}" has dimensions [${dimensions.join(', ')}], expected [${columns}, ${rows}]`,
      { field: tensor.name },
    );
  }
  const format = BLOCK_FORMATS.get(type);
  if (format === undefined) throw new Error(`Internal error: ${type} was let through`);
  if (columns % format.groupColumns !== 0) {
    throw unsupported(
      `Tensor "${tensor.name}" has ${columns} columns of ${type}, supported are multiples of ${format.groupColumns}`,
      tensor.name,
    );
  }
  // Q and K, whose rows GGUF stores in llama.cpp's order (formats/gguf/rope-rows.ts).
  const isRotated = place === 'self_attn.q_proj' || place === 'self_attn.k_proj';
  const rowUnit = isRotated ? headDim : null;
  return {
    name,
    rows,
    columns,
    format: format.name,
    rowUnit,
    sourceType: type,
    sourceByteLength: tensor.byteLength,
    slice: (rowStart, count) =>
      sliceGgufMatrix({ offset: tensor.offsetBytes, format, columns, headDim: rowUnit }, rowStart, count),
  };
}

function describeVector(
  tensor: GgufTensor,
  { name, length }: Extract<TensorPlace, { kind: 'vector' }>,
): SourceVector {
  const { dimensions, type } = tensor;
  if (dimensions.length !== 1 || dimensions[0] !== length) {
    throw new FormatError(
      `Tensor "${tensor.name}" has dimensions [${dimensions.join(', ')}], expected [${length}]`,
      { field: tensor.name },
    );
  }
  if (type !== 'F32' && type !== 'F16') {
    throw new FormatError(
      `Tensor "${tensor.name}" is stored as ${type}, supported for norms are F32, F16`,
      { field: tensor.name },
      { code: 'format-unsupported' },
    );
  }
  return {
    name,
    length,
    sourceType: type,
    sourceByteLength: tensor.byteLength,
    slice: () => sliceVector(tensor.offsetBytes, length, type),
  };
}
