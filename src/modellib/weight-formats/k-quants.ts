/** GGUF's formats of 256 columns with sub-scales and evenly spaced values. `block >> 3u` is the group. */
import { type FormatCode, halfAt, type ScalesCode, type WeightRecord } from './format-code.ts';
import { fifthBit, fiveBits, NIBBLE_FACTORS, nibbleAt, nibbles, sixBits } from './nibbles.ts';

/** Byte at which the scales of a block's group begin. */
function scalesStart(block: number, groupBytes: number): number {
  return (block >> 3) * groupBytes;
}

/**
 * A block's scale and minimum, from a vec4<u32> `words`: d and dmin in f16; low nibbles of eight scales; those of eight
 * minimums; high pairs of bits, of the scales in the low half and of the minimums in the high half.
 */
const SCALE_AND_MINIMUM = `let place = (block & 7u) * 2u;
  let low = (words.yz >> vec2<u32>(place * 2u)) & vec2<u32>(15u);
  let top = (vec2<u32>(words.w << 4u, words.w >> 12u) >> vec2<u32>(place)) & vec2<u32>(48u);
  let pair = vec2<f32>(vec2<i32>(low | top)) * unpack2x16float(words.x);`;

function scaleAndMinimum(scales: DataView | null, start: number, block: number): [number, number] {
  if (scales === null) return [0, 0];
  const place = block & 7;
  const top = scales.getUint32(start + 12, true) >>> (2 * place);
  const multiple = (word: number, high: number) =>
    ((scales.getUint32(start + 4 * word, true) >>> (4 * place)) & 15) | ((high & 3) << 4);
  return [
    halfAt(scales, start / 2) * multiple(1, top),
    halfAt(scales, start / 2 + 1) * multiple(2, top >>> 16),
  ];
}

function groupLoad(array: string, vectors: number): ReturnType<ScalesCode['loads']>[number] {
  const at = vectors === 1 ? 'block >> 3u' : `(block >> 3u) * ${vectors}u`;
  return { name: 'words', type: 'vec4<u32>', value: `${array}[${at}]` };
}

/** Groups of Q6_K: eight vec4 of nibbles, then four of high pairs of bits, two blocks in each. */
const Q6_K_GROUP_BYTES = 192;

function sixBitsAt({ quants }: WeightRecord, block: number, column: number): number {
  const start = (block >> 3) * Q6_K_GROUP_BYTES;
  const [i, k] = [column >> 2, column & 3];
  const high = quants.getUint32(start + 128 + (block & 7) * 8 + (i >> 2) * 4, true);
  const pair = (high >>> (16 * ((i >> 1) & 1) + 4 * k + 2 * (i & 1))) & 3;
  return nibbleAt(quants, block & 7, column, start) | (pair << 4);
}

export const kQuants = {
  q4_k: {
    ...nibbles,
    scales: { element: () => 'vec4<u32>', loads: (array) => [groupLoad(array, 1)] },
    prepare: SCALE_AND_MINIMUM,
    scale: 'pair.x',
    bias: '-pair.y',
    decode: ({ quants, scales }, block, column) => {
      const [scale, minimum] = scaleAndMinimum(scales, scalesStart(block, 16), block);
      return nibbleAt(quants, block, column) * scale - minimum;
    },
    testData: { quants: 'bits', halves: [0, 1] },
  },
  q5_k: {
    ...fiveBits,
    scales: {
      element: () => 'vec4<u32>',
      loads: (array) => [
        groupLoad(array, 3),
        {
          name: 'high',
          type: 'u32',
          value: `${array}[(block >> 3u) * 3u + 1u + ((block >> 2u) & 1u)][block & 3u]`,
        },
      ],
    },
    prepare: SCALE_AND_MINIMUM,
    scale: 'pair.x',
    bias: '-pair.y',
    decode: ({ quants, scales }, block, column) => {
      const start = scalesStart(block, 48);
      const [scale, minimum] = scaleAndMinimum(scales, start, block);
      const high = scales?.getUint32(start + 16 + (block & 7) * 4, true) ?? 0;
      return (nibbleAt(quants, block, column) | fifthBit(high, column)) * scale - minimum;
    },
    testData: { quants: 'bits', halves: [0, 1] },
  },
  q6_k: {
    quantLoads: (array) => [
      { name: 'q0', type: 'vec4<u32>', value: `${array}[block + (block >> 3u) * 4u]` },
      { name: 'q1', type: 'vec4<u32>', value: `${array}[(block >> 1u) + (block >> 3u) * 8u + 8u]` },
    ],
    // Sixteen int8, of which a block has two, then d; five words a group.
    scales: {
      element: () => 'u32',
      loads: (array) => [
        { name: 'multiples', type: 'u32', value: `${array}[(block >> 1u) + (block >> 3u)]` },
        { name: 'scale', type: 'f32', value: `unpack2x16float(${array}[(block >> 3u) * 5u + 4u]).x` },
      ],
    },
    prepare: `let high = select(q1.xy, q1.zw, (block & 1u) == 1u);
  let both = multiples << (16u - (block & 1u) * 16u);
  let multiple0 = f32(bitcast<i32>(both << 8u) >> 24u);
  let multiple1 = f32(bitcast<i32>(both) >> 24u);
  let offset0 = multiple0 * vec4<f32>(-32.0, -512.0, -8192.0, -131072.0);
  let offset1 = multiple1 * vec4<f32>(-32.0, -512.0, -8192.0, -131072.0);`,
    // (q - 32) * multiple, exactly: each half of a block has a sub-scale of its own.
    quants: sixBits.map((quant, i) => `fma(${quant}, vec4<f32>(multiple${i >> 2}), offset${i >> 2})`),
    columnFactors: NIBBLE_FACTORS,
    scale: 'scale',
    bias: null,
    decode: (record, block, column) => {
      const { scales } = record;
      if (scales === null) return 0;
      const start = scalesStart(block, 20);
      const multiple = scales.getInt8(start + (block & 7) * 2 + (column >> 4));
      return (sixBitsAt(record, block, column) - 32) * multiple * halfAt(scales, start / 2 + 8);
    },
    testData: { quants: 'bits', halves: [8] },
  },
} as const satisfies Record<string, FormatCode>;
