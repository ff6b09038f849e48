import { describe, expect, test } from 'vitest';
import { kernelFacts, planCaps } from '../../../../tests/tools/plan-caps.ts';
import {
  type Matrix,
  type MatrixPart,
  partByteLength,
  type WeightFormat,
} from '../../../models/model-description.ts';
import { constant, dim, planned, type Step } from '../../library-spec.ts';
import { planEmbed } from '../embed/embed.plan.ts';
import { planMatmul, planMatmulGateUp, planMatmulResidual } from '../matmul/matmul.plan.ts';
import { planMatvecResidual } from '../matvec-residual/matvec-residual.plan.ts';
import { planNormGateUp } from '../norm-gate-up/norm-gate-up.plan.ts';
import { planNormMatvec } from '../norm-matvec/norm-matvec.plan.ts';
import { planRmsNorm } from '../rms-norm/rms-norm.plan.ts';

const LIMIT = 128 * 2 ** 20;

/** A matrix in as few parts as records of 128 MiB allow. */
function matrix(name: string, format: WeightFormat, rows: number, columns: number): Matrix {
  const [rowBytes] = partByteLength(format, 1, columns);
  const count = Math.ceil((rows * rowBytes) / LIMIT);
  const height = Math.ceil(rows / count);
  const parts: MatrixPart[] = Array.from({ length: count }, (_, i) => ({
    rowStart: i * height,
    rows: Math.min(height, rows - i * height),
    quants: `${name}.${i}.q`,
    scales: `${name}.${i}.s`,
  }));
  return { format, rows, columns, parts };
}

const gain = { length: 5120, record: 'gain' };
const [x, y] = [planned('x'), planned('y')];
const epsilon = 1e-5;

describe.each(Object.entries(planCaps))('Mistral Small on %s', (_, caps) => {
  for (const format of ['q4f16_1', 'q4_0', 'q4_1', 'q4_k', 'iq4_xs'] as const) {
    const qkv = [
      matrix('q', format, 4096, 5120),
      matrix('k', format, 1024, 5120),
      matrix('v', format, 1024, 5120),
    ];
    const o = matrix('o', format, 5120, 4096);
    const gate = matrix('gate', format, 32768, 5120);
    const up = matrix('up', format, 32768, 5120);
    const down = matrix('down', format, 5120, 32768);
    const head = matrix('head', format, 131072, 5120);
    const row = dim('tokens', 1, -1);
    const plans: Record<string, { steps: Step[]; most: number }> = {
      embed: { steps: planEmbed({ table: head, output: x }, caps), most: 1 },
      qkv: {
        steps: planNormMatvec({ x, row: constant(0), gain, epsilon, matrices: qkv, output: y }, caps),
        most: 1,
      },
      o: { steps: planMatvecResidual({ input: y, matrix: o, residual: x }, caps), most: 1 },
      gateUp: { steps: planNormGateUp({ x, gain, epsilon, gate, up, output: y }, caps), most: 1 },
      down: { steps: planMatvecResidual({ input: y, matrix: down, residual: x }, caps), most: 1 },
      head: { steps: planNormMatvec({ x, row, gain, epsilon, matrices: [head], output: y }, caps), most: 3 },
      norm: { steps: planRmsNorm({ x, gain, epsilon, output: y, columns: 5120 }, caps), most: 1 },
      ...Object.fromEntries(
        [16, 512].flatMap((tokens) => [
          [
            `prefill qkv ${tokens}`,
            { steps: planMatmul({ input: x, matrices: qkv, output: y }, caps, tokens), most: 1 },
          ],
          [
            `prefill o ${tokens}`,
            { steps: planMatmulResidual({ input: y, matrix: o, residual: x }, caps, tokens), most: 1 },
          ],
          [
            `prefill gate-up ${tokens}`,
            { steps: planMatmulGateUp({ input: x, gate, up, output: y }, caps, tokens), most: 1 },
          ],
          [
            `prefill down ${tokens}`,
            { steps: planMatmulResidual({ input: y, matrix: down, residual: x }, caps, tokens), most: 1 },
          ],
          [
            `score head ${tokens}`,
            { steps: planMatmul({ input: x, matrices: [head], output: y }, caps, tokens), most: 3 },
          ],
        ]),
      ),
    };

    test(`${format}: dispatches, bindings, workgroups`, () => {
      expect(head.parts.length).toBe(3);
      for (const [name, { steps, most }] of Object.entries(plans)) {
        expect(steps.length, name).toBeLessThanOrEqual(most);
        for (const { kernel, buffers, uniforms, grid } of steps) {
          expect(buffers.length, name).toBeLessThanOrEqual(10);
          expect(buffers.length, name).toBe(kernel.bindings.length);
          expect(uniforms.length, name).toBe(kernel.uniforms.length);
          expect(grid[0].variable === 'one' ? grid[0].multiply : 1, name).toBeGreaterThan(0);
          const { invocations, workgroupBytes } = kernelFacts(kernel.wgsl);
          expect(invocations, name).toBeLessThanOrEqual(256);
          expect(workgroupBytes, name).toBeLessThanOrEqual(20 * 1024);
        }
      }
    });

    test(`${format}: features only where the device has them; names tell kernels apart`, () => {
      const sources = new Map<string, string>();
      for (const { kernel } of Object.values(plans).flatMap(({ steps }) => steps)) {
        expect(kernel.name).toMatch(/^[a-z][a-z0-9_]*$/);
        expect(kernel.wgsl).toContain(`fn ${kernel.name}(`);
        if (!caps.shaderF16) expect(kernel.wgsl.replaceAll(/f16_1|unpack2x16float/g, '')).not.toMatch(/f16/);
        if (!caps.subgroups) expect(kernel.wgsl).not.toMatch(/subgroup|quadBroadcast/);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is asked for.
        expect(kernel.wgsl).toMatch(/^[\x00-\x7f]*$/);
        expect(sources.get(kernel.name) ?? kernel.wgsl).toBe(kernel.wgsl);
        sources.set(kernel.name, kernel.wgsl);
      }
    });
  }
});

test('layers of one shape share their kernels', () => {
  const plan = (layer: number) =>
    planMatvecResidual(
      { input: x, matrix: matrix(`layer${layer}`, 'q4_1', 576, 576), residual: y },
      planCaps.best,
    )[0]!;
  expect(plan(1).kernel).toEqual(plan(2).kernel);
  expect(plan(1).buffers).not.toEqual(plan(2).buffers);
});
