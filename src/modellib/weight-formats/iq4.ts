/**
 * GGUF's formats whose nibbles name one of sixteen values, closer together about 0. Source: kvalues_iq4nl in
 * https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 */
import { type FormatCode, halfAt, halfScale } from './format-code.ts';
import { nibbleAt, nibbles } from './nibbles.ts';

export const IQ4_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const;

/**
 * Coefficients, highest first, of a polynomial that stays within 0.44 of {@link IQ4_VALUES} at 0 .. 15. Rounded, it is
 * the table, whatever the order of f32 operations: four fma and a rounding for four columns at once, where a table in
 * memory would cost a load for each column, and one in registers a chain of selections.
 */
export const IQ4_POLYNOMIAL = [0.001586, 0.031086, -1.3719, 24.174, -126.57] as const;

/** Constants c0, c1, … of the powers of nibbles that are masked where they stand: 16^j times too large. */
const COEFFICIENTS = IQ4_POLYNOMIAL.map((coefficient, i) => {
  const power = IQ4_POLYNOMIAL.length - 1 - i;
  const components = [0, 1, 2, 3].map((j) => (coefficient * 2 ** (-4 * j * power)).toExponential());
  return `const c${i} = vec4<f32>(${components.join(', ')});`;
});

/** Declares v0 .. v7, the values of four columns each. */
const VALUES = nibbles.quants.map((quant, i) => {
  const polynomial = IQ4_POLYNOMIAL.slice(1).reduce(
    (sum, _, power) => `fma(${sum}, n${i}, c${power + 1})`,
    'c0',
  );
  return `let n${i} = ${quant}; let v${i} = round(${polynomial});`;
});

const tableValues = {
  quantLoads: nibbles.quantLoads,
  quants: VALUES.map((_, i) => `v${i}`),
  columnFactors: null,
  bias: null,
} as const satisfies Partial<FormatCode>;

const PREPARE = [...COEFFICIENTS, ...VALUES].join('\n  ');

export const iq4Formats = {
  iq4_nl: {
    ...tableValues,
    scales: halfScale,
    prepare: PREPARE,
    scale: 'scale',
    decode: ({ quants, scales }, block, column) =>
      IQ4_VALUES[nibbleAt(quants, block, column)]! * halfAt(scales, block),
    testData: { quants: 'bits', halves: [0] },
  },
  // d, eight high pairs of bits and eight low nibbles of sub-scales: two words a group.
  iq4_xs: {
    ...tableValues,
    scales: {
      element: () => 'vec2<u32>',
      loads: (array) => [{ name: 'words', type: 'vec2<u32>', value: `${array}[block >> 3u]` }],
    },
    prepare: `let place = (block & 7u) * 2u;
  let multiple = ((words.y >> (place * 2u)) & 15u) | ((words.x >> (place + 12u)) & 48u);
  let scale = unpack2x16float(words.x).x * f32(i32(multiple) - 32);
  ${PREPARE}`,
    scale: 'scale',
    decode: ({ quants, scales }, block, column) => {
      if (scales === null) return 0;
      const [start, place] = [(block >> 3) * 8, block & 7];
      const low = (scales.getUint32(start + 4, true) >>> (4 * place)) & 15;
      const high = (scales.getUint16(start + 2, true) >>> (2 * place)) & 3;
      const multiple = (low | (high << 4)) - 32;
      return IQ4_VALUES[nibbleAt(quants, block, column)]! * multiple * halfAt(scales, start / 2);
    },
    testData: { quants: 'bits', halves: [0] },
  },
} as const satisfies Record<string, FormatCode>;
