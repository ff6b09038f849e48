/** Models of any size whose weights are all zero: for tests of moving bytes, where only the header is ever made. */
import { type GgmlType, ggmlByteLength } from '../../src/formats/gguf/ggml-types.ts';
import { writeGgufHeader } from './gguf-writer.ts';
import { createMetadata, type TinyMistralShape } from './tiny-mistral.ts';
import { createTinyVocabulary } from './tiny-mistral-vocabulary.ts';

/** 35 MB a layer in Q4_0. */
export const BLANK_SHAPE: TinyMistralShape = {
  hiddenSize: 2048,
  layerCount: 12,
  headCount: 16,
  kvHeadCount: 4,
  headDim: 128,
  intermediateSize: 8192,
  contextLength: 2048,
  ropeTheta: 1e6,
};

/** @returns the beginning of the file, up to where zeros follow, and the length of the whole */
export function createBlankModel(
  shape: TinyMistralShape = BLANK_SHAPE,
  type: GgmlType = 'Q4_0',
): { header: Uint8Array<ArrayBuffer>; byteLength: number } {
  const { hiddenSize, layerCount, headCount, kvHeadCount, headDim, intermediateSize } = shape;
  const vocabulary = createTinyVocabulary();
  const matrix = (name: string, rows: number, columns: number) => ({
    name: `${name}.weight`,
    type,
    dimensions: [columns, rows],
  });
  const norm = (name: string) => ({ name: `${name}.weight`, type: 'F32' as const, dimensions: [hiddenSize] });
  const layers = Array.from({ length: layerCount }, (_, index) => {
    const name = (tensor: string) => `blk.${index}.${tensor}`;
    return [
      norm(name('attn_norm')),
      matrix(name('attn_q'), headCount * headDim, hiddenSize),
      matrix(name('attn_k'), kvHeadCount * headDim, hiddenSize),
      matrix(name('attn_v'), kvHeadCount * headDim, hiddenSize),
      matrix(name('attn_output'), hiddenSize, headCount * headDim),
      norm(name('ffn_norm')),
      matrix(name('ffn_gate'), intermediateSize, hiddenSize),
      matrix(name('ffn_up'), intermediateSize, hiddenSize),
      matrix(name('ffn_down'), hiddenSize, intermediateSize),
    ];
  });
  const tensors = [
    matrix('token_embd', vocabulary.tokens.length, hiddenSize),
    ...layers.flat(),
    norm('output_norm'),
    matrix('output', vocabulary.tokens.length, hiddenSize),
  ];
  const header = writeGgufHeader({
    metadata: createMetadata(shape, vocabulary).map(([key, value]) =>
      key === 'general.name' ? [key, { type: 'string', value: 'Blank' }] : [key, value],
    ),
    tensors,
  });
  const dataBytes = tensors.reduce(
    (end, each) =>
      end + Math.ceil(ggmlByteLength(each.type, elementsOf(each.dimensions)) / ALIGNMENT) * ALIGNMENT,
    0,
  );
  return { header, byteLength: header.byteLength + dataBytes };
}

/** GGUF's default. */
const ALIGNMENT = 32;

function elementsOf(dimensions: readonly number[]): number {
  return dimensions.reduce((product, length) => product * length, 1);
}
