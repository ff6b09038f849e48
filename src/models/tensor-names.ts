/** Canonical names and shapes of a model's tensors: Hugging Face's names without `.weight`. */
import type { Architecture } from './model-description.ts';

/** Matrices of a layer, by the last parts of their names. */
export const LAYER_MATRICES = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
] as const;
export type LayerMatrix = (typeof LAYER_MATRICES)[number];

/** Vectors of a layer: the weights of its two norms. */
export const LAYER_VECTORS = ['input_layernorm', 'post_attention_layernorm'] as const;
export type LayerVector = (typeof LAYER_VECTORS)[number];

export const EMBEDDING = 'model.embed_tokens';
export const FINAL_NORM = 'model.norm';
export const HEAD = 'lm_head';

export function layerTensorName(layer: number, tensor: LayerMatrix | LayerVector): string {
  return `model.layers.${layer}.${tensor}`;
}

/** [rows, columns] of a layer's matrices; a matrix has a row per output. */
export function layerMatrixShape(
  architecture: Architecture,
  matrix: LayerMatrix,
): [rows: number, columns: number] {
  const { hiddenSize, headCount, kvHeadCount, headDim, intermediateSize } = architecture;
  switch (matrix) {
    case 'self_attn.q_proj':
      return [headCount * headDim, hiddenSize];
    case 'self_attn.k_proj':
    case 'self_attn.v_proj':
      return [kvHeadCount * headDim, hiddenSize];
    case 'self_attn.o_proj':
      return [hiddenSize, headCount * headDim];
    case 'mlp.gate_proj':
    case 'mlp.up_proj':
      return [intermediateSize, hiddenSize];
    case 'mlp.down_proj':
      return [hiddenSize, intermediateSize];
  }
}
