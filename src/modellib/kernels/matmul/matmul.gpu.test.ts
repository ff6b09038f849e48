import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { matrixVariants } from '../../../../tests/tools/matrix-variants.ts';
import { createRandom, randomNormal } from '../../../../tests/tools/random.ts';
import { randomMatrix } from '../../../../tests/tools/random-matrix.ts';
import type { Matrix, WeightFormat } from '../../../models/model-description.ts';
import { planned } from '../../library-spec.ts';
import { planMatmul, planMatmulGateUp, planMatmulResidual } from './matmul.plan.ts';
import { matmulReference, swigluReference } from './matmul.reference.ts';
import { chooseMatmulTile } from './matmul-shape.ts';

const { device, caps } = await getTestDevice();

/** Interleaves products [tokens, rows of each] into [tokens, all rows]. */
function concatenate(products: readonly ArrayLike<number>[], tokens: number): number[] {
  return Array.from({ length: tokens }, (_, t) =>
    products.flatMap((product) => {
      const rows = product.length / tokens;
      return Array.from({ length: rows }, (_, r) => product[t * rows + r]!);
    }),
  ).flat();
}

// 'no subgroups' has no kernel of its own here: 'wide subgroups' is the same.
const variants = matrixVariants(caps).filter(({ name }) => name !== 'no subgroups' && name !== 'neither');

describe.each(variants)('matmul, $name', ({ caps: variant, thorough }) => {
  const staged = chooseMatmulTile(64, variant).kind === 'staged';
  const tolerance = staged && variant.shaderF16 ? 2e-3 : 1e-4;

  async function check(
    tokens: number,
    maxTokens: number,
    columns: number,
    matrices: { format: WeightFormat; rows: number; partRows?: number[] }[],
    limit?: number,
  ) {
    const random = createRandom(tokens + columns);
    const made = matrices.map((options, i) => randomMatrix(random, { ...options, columns, name: `m${i}` }));
    const input = randomNormal(random, tokens * columns);
    const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
    const steps = planMatmul(
      { input: planned('x'), matrices: made.map(({ matrix }) => matrix), output: planned('y') },
      limit === undefined ? variant : { ...variant, maxStorageBuffersPerStage: limit },
      maxTokens,
    );
    expect(steps.length).toBe(limit === undefined ? 1 : 2);
    // One row more than needed: it must stay as it is.
    const result = await runSteps(device, steps, {
      buffers: {
        'planned:x': input,
        'planned:y': new Float32Array((tokens + 1) * rows).fill(7),
        ...Object.assign({}, ...made.map(({ buffers }) => buffers)),
      },
      variables: { tokens },
      read: ['planned:y'],
    });
    const actual = new Float32Array(result['planned:y']!);
    const expected = concatenate(
      made.map(({ values }) => matmulReference(input, values, columns)),
      tokens,
    );
    expectClose(actual.subarray(0, tokens * rows), expected, tolerance);
    expect(actual.subarray(tokens * rows).every((value) => value === 7)).toBe(true);
  }

  test.each([1, 2, 7, 15, 16, 17, 63, 64, 65, 129])('%i tokens', async (tokens) => {
    await check(tokens, 512, 64, [{ format: 'q4_1', rows: 61 }]);
    if (tokens <= 17) await check(tokens, 16, 64, [{ format: 'q4_1', rows: 61 }]);
  });

  test('three matrices, of two formats', async () => {
    await check(9, 16, 576, [
      { format: 'q4_1', rows: 130 },
      { format: 'q8_0', rows: 63 },
      { format: 'q8_0', rows: 1 },
    ]);
  });

  test.runIf(thorough)('the other formats', async () => {
    await check(19, 16, 96, [
      { format: 'f32', rows: 1 },
      { format: 'f16', rows: 33 },
      { format: 'q4f16_1', rows: 65 },
      { format: 'q4_0', rows: 2 },
    ]);
  });

  test('blocks of 256', async () => {
    await check(9, 16, 768, [
      { format: 'q4_k', rows: 66 },
      { format: 'q5_k', rows: 1 },
      { format: 'q6_k', rows: 35 },
    ]);
  });

  test.runIf(thorough)('values of a table, 5 bits, and bf16', async () => {
    await check(3, 16, 256, [
      { format: 'iq4_xs', rows: 3 },
      { format: 'iq4_nl', rows: 2 },
      { format: 'q5_1', rows: 5 },
    ]);
    await check(3, 16, 96, [
      { format: 'q5_0', rows: 5 },
      { format: 'bf16', rows: 2 },
    ]);
  });

  test.runIf(thorough)('5120 columns, and 32; parts over two dispatches', async () => {
    await check(5, 32, 5120, [{ format: 'q8_0', rows: 9 }]);
    await check(5, 32, 32, [{ format: 'q8_0', rows: 85, partRows: [1, 15, 69] }], 6);
  });

  test.each([{ tokens: 5, maxTokens: 16, rows: 67, columns: 96 }])(
    'residual: $tokens tokens',
    async ({ tokens, maxTokens, rows, columns }) => {
      const random = createRandom(rows);
      const { matrix, buffers, values } = randomMatrix(random, { format: 'q4_1', rows, columns, name: 'm' });
      const input = randomNormal(random, tokens * columns);
      const residual = randomNormal(random, tokens * rows, 3);
      const steps = planMatmulResidual(
        { input: planned('x'), matrix, residual: planned('y') },
        variant,
        maxTokens,
      );
      const result = await runSteps(device, steps, {
        buffers: { 'planned:x': input, 'planned:y': residual, ...buffers },
        variables: { tokens },
        read: ['planned:y'],
      });
      const expected = matmulReference(input, values, columns).map((sum, i) => sum + residual[i]!);
      expectClose(new Float32Array(result['planned:y']!), expected, tolerance);
    },
  );

  test.each([{ tokens: 20, maxTokens: 32, rows: 40, gate: [40], up: [13, 27] }])(
    'gate-up: $tokens tokens, parts $gate, $up',
    async ({ tokens, maxTokens, rows, gate, up }) => {
      const random = createRandom(rows);
      const columns = 96;
      const make = (name: string, format: WeightFormat, partRows: number[]) =>
        randomMatrix(random, { format, rows, columns, name, partRows });
      const a = make('gate', 'q4_1', gate);
      const b = make('up', 'q4_0', up);
      const input = randomNormal(random, tokens * columns, 4);
      const plan = (gateMatrix: Matrix, upMatrix: Matrix) =>
        planMatmulGateUp(
          { input: planned('x'), gate: gateMatrix, up: upMatrix, output: planned('y') },
          variant,
          maxTokens,
        );
      const steps = plan(a.matrix, b.matrix);
      expect(steps.length).toBe(1);
      const result = await runSteps(device, steps, {
        buffers: {
          'planned:x': input,
          'planned:y': new Float32Array(tokens * rows),
          ...a.buffers,
          ...b.buffers,
        },
        variables: { tokens },
        read: ['planned:y'],
      });
      const expected = swigluReference(
        matmulReference(input, a.values, columns),
        matmulReference(input, b.values, columns),
      );
      expectClose(new Float32Array(result['planned:y']!), expected, tolerance);
    },
  );
});
