/** WGSL that reads blocks of matrix parts, whatever their formats. */
import type { WeightFormat } from '../../models/model-description.ts';
import { weightFormats } from './weight-formats.ts';

/** A matrix part as a kernel sees it: its format and the names of its storage arrays. */
export interface PartVariables {
  format: WeightFormat;
  quants: string;
  scales: string;
}

/** WGSL type of the scales' storage array; null where the format has none. */
export function scalesArrayType(format: WeightFormat, shaderF16: boolean): string | null {
  const { scales } = weightFormats[format];
  return scales === null ? null : `array<${scales.element(shaderF16)}>`;
}

/** Whether kernels that read such parts have `enable f16`, for their scales. */
export function loadsF16(parts: readonly { format: WeightFormat }[], shaderF16: boolean): boolean {
  return parts.some(({ format }) => /\bf16\b/.test(scalesArrayType(format, shaderF16) ?? ''));
}

function vector(values: readonly number[]): string {
  return `vec4<f32>(${values.map((value) => (Number.isInteger(value) ? `${value}.0` : `${value}`)).join(', ')})`;
}

/** WGSL vec4<f32> that the components of a format's quants, or of their partners, must be multiplied by. Null: by 1. */
export function quantFactors(format: WeightFormat): string | null {
  const factors = weightFormats[format].columnFactors;
  return factors === null ? null : vector(factors);
}

export function hasBias(format: WeightFormat): boolean {
  return weightFormats[format].bias !== null;
}

/** Statements that load a block of parts of one format, each load into a variable of its own. */
function loadStatements(parts: readonly (PartVariables & { number: number })[], shaderF16: boolean): string {
  const { quantLoads, scales } = weightFormats[parts[0]!.format];
  const loads = (part: PartVariables) => [
    ...quantLoads(part.quants),
    ...(scales === null ? [] : scales.loads(part.scales, shaderF16)),
  ];
  if (parts.length === 1) {
    return loads(parts[0]!)
      .map(({ name, value }) => `let ${name} = ${value};`)
      .join(' ');
  }
  const variables = loads(parts[0]!).map(({ name, type }) => `var ${name}: ${type};`);
  const cases = parts.map((part, i) => {
    const assignments = loads(part).map(({ name, value }) => `${name} = ${value};`);
    return `${i === parts.length - 1 ? 'default' : `case ${part.number}u`}: { ${assignments.join(' ')} }`;
  });
  return `${variables.join(' ')} switch (part) { ${cases.join(' ')} }`;
}

/** What a kernel does with a block: see {@link blockStatements}. */
export interface BlockCode {
  format: WeightFormat;
  /** Eight vec4<f32> expressions, still to be multiplied by {@link quantFactors}. */
  quants: readonly string[];
  /** f32 expressions. Null: 1, and 0. */
  scale: string | null;
  bias: string | null;
}

/**
 * Statements that load the block number `block` (u32) of the part number `part` (u32; index into `parts`) and go on
 * with `use`. Each format's code appears once, however many parts have it: compilers take long over repeated loads.
 */
export function blockStatements(
  parts: readonly PartVariables[],
  shaderF16: boolean,
  use: (code: BlockCode) => string,
): string {
  const numbered = parts.map((part, number) => ({ ...part, number }));
  const formats = [...new Set(parts.map(({ format }) => format))];
  const forFormat = (format: WeightFormat) => {
    const { prepare, quants, scale, bias } = weightFormats[format];
    const load = loadStatements(
      numbered.filter((part) => part.format === format),
      shaderF16,
    );
    return `${load} ${prepare}\n  ${use({ format, quants, scale, bias })}`;
  };
  if (formats.length === 1) return forFormat(formats[0]!);
  const cases = formats.map((format, i) => {
    const numbers = numbered.filter((part) => part.format === format).map(({ number }) => `${number}u`);
    return `${i === formats.length - 1 ? 'default' : `case ${numbers.join(', ')}`}: {\n  ${forFormat(format)}\n  }`;
  });
  return `switch (part) {\n  ${cases.join('\n  ')}\n  }`;
}

/**
 * `fn NAME(part, block, x0..x7, x_sum) -> f32`: the dot product of a block of weights with 32 activations. The x are to
 * be multiplied by the format's {@link quantFactors} beforehand; x_sum is the sum of the unmultiplied ones.
 */
export function dotFunction(name: string, parts: readonly PartVariables[], shaderF16: boolean): string {
  const x = Array.from({ length: 8 }, (_, i) => `x${i}: vec4<f32>`).join(', ');
  const body = blockStatements(parts, shaderF16, ({ quants, scale, bias }) => {
    const sum = quants
      .map((quant, i) => (i === 0 ? `sum = ${quant} * x0;` : `sum = fma(${quant}, x${i}, sum);`))
      .join('\n  ');
    const total = 'dot(sum, vec4<f32>(1.0))';
    const scaled = scale === null ? total : `${scale} * ${total}`;
    return `${sum}\n  result = ${bias === null ? scaled : `fma(${bias}, x_sum, ${scaled})`};`;
  });
  return `fn ${name}(part: u32, block: u32, ${x}, x_sum: f32) -> f32 {
  var sum: vec4<f32>;
  var result: f32;
  ${body}
  return result;
}`;
}

/**
 * Statements that decode block `block` of part `part`: `store(i, expression)` gets each vec4<f32> of weights, columns
 * 4i .. 4i+3.
 */
export function decodeStatements(
  parts: readonly PartVariables[],
  shaderF16: boolean,
  store: (i: number, weights: string) => string,
): string {
  return blockStatements(parts, shaderF16, ({ format, quants, scale, bias }) => {
    const factors = quantFactors(format);
    const lines: string[] = [];
    if (scale !== null)
      lines.push(`let scales = ${factors === null ? `vec4<f32>(${scale})` : `${scale} * ${factors}`};`);
    if (bias !== null) lines.push(`let biases = vec4<f32>(${bias});`);
    for (const [i, quant] of quants.entries()) {
      const weights =
        scale === null ? quant : bias === null ? `${quant} * scales` : `fma(${quant}, scales, biases)`;
      lines.push(store(i, weights));
    }
    return lines.join('\n  ');
  });
}
