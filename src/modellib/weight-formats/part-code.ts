/** WGSL functions and bindings for one matrix part, whatever its format. */
import type { WeightFormat } from '../../models/model-description.ts';
import { type PartVariables, weightFormats } from './weight-formats.ts';

/** Type of the scales' storage array. Records hold f16; devices without shader-f16 unpack them from words. */
export function scalesArrayType(format: WeightFormat, shaderF16: boolean): string {
  const { scaleCount } = weightFormats[format];
  if (!shaderF16) return 'array<u32>';
  return scaleCount === 1 ? 'array<f16>' : 'array<vec2<f16>>';
}

/** Statements that declare `scale` (and `minimum`) for `block`. */
function loadScale(format: WeightFormat, part: PartVariables, block: string, shaderF16: boolean): string[] {
  const { scaleCount } = weightFormats[format];
  if (scaleCount === 0) return [];
  if (scaleCount === 2) {
    const pair = shaderF16
      ? `vec2<f32>(${part.scales}[${block}])`
      : `unpack2x16float(${part.scales}[${block}])`;
    return [`let pair = ${pair};`, 'let scale = pair.x;', 'let minimum = pair.y;'];
  }
  if (shaderF16) return [`let scale = f32(${part.scales}[${block}]);`];
  return [
    `let pair = unpack2x16float(${part.scales}[${block} >> 1u]);`,
    `let scale = select(pair.x, pair.y, (${block} & 1u) == 1u);`,
  ];
}

function vector(values: readonly number[]): string {
  return `vec4<f32>(${values.map((value) => (Number.isInteger(value) ? `${value}.0` : `${value}`)).join(', ')})`;
}

/** WGSL vec4<f32> that x must be multiplied by, component by component, before {@link dotFunction}. Null: by 1. */
export function activationFactors(format: WeightFormat): string | null {
  const factors = weightFormats[format].columnFactors;
  return factors === null ? null : vector(factors);
}

/**
 * `fn NAME(block, x0..x7, x_sum) -> f32`: the dot product of one block of weights with 32 activations. The x are those
 * multiplied by {@link activationFactors}; x_sum is the sum of the unmultiplied ones.
 */
export function dotFunction(
  name: string,
  format: WeightFormat,
  part: PartVariables,
  shaderF16: boolean,
): string {
  const { bias, blockCode, scaleCount } = weightFormats[format];
  const { load, quants } = blockCode(part, 'block');
  const products = quants.map((quant, i) =>
    i === 0 ? `${quant} * x0` : `fma(${quant}, x${i}, sum${i - 1})`,
  );
  const x = quants.map((_, i) => `x${i}: vec4<f32>`).join(', ');
  const total = 'dot(sum7, vec4<f32>(1.0))';
  const scaled = scaleCount === 0 ? total : `scale * ${total}`;
  return `fn ${name}(block: u32, ${x}, x_sum: f32) -> f32 {
  ${[...load, ...loadScale(format, part, 'block', shaderF16)].join('\n  ')}
  ${products.map((product, i) => `let sum${i} = ${product};`).join('\n  ')}
  return ${bias === null ? scaled : `fma(${bias}, x_sum, ${scaled})`};
}`;
}

/**
 * Statements that decode `block` and hand each vec4<f32> of weights, columns 4i .. 4i+3, to `store(i, expression)`.
 * `from` and `to` bound i, for lanes that decode a share of a block.
 */
export function decodeStatements(
  format: WeightFormat,
  part: PartVariables,
  options: { shaderF16: boolean; from?: number; to?: number },
  store: (i: number, weights: string) => string,
): string {
  const { bias, blockCode, columnFactors, scaleCount } = weightFormats[format];
  const { load, quants } = blockCode(part, 'block');
  const lines = [...load, ...loadScale(format, part, 'block', options.shaderF16)];
  if (scaleCount > 0) {
    lines.push(
      `let scales = ${columnFactors === null ? 'vec4<f32>(scale)' : `scale * ${vector(columnFactors)}`};`,
    );
  }
  if (bias !== null) lines.push(`let bias = vec4<f32>(${bias});`);
  for (let i = options.from ?? 0; i < (options.to ?? 8); i++) {
    const quant = quants[i]!;
    const scaled =
      scaleCount === 0 ? quant : bias === null ? `${quant} * scales` : `fma(${quant}, scales, bias)`;
    lines.push(store(i, scaled));
  }
  return lines.join('\n  ');
}
