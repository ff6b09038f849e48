import { describe, expect, test } from 'vitest';
import { describeModel, SMALL_SHAPE } from '../../tests/tools/describe-model.ts';
import { planCaps } from '../../tests/tools/plan-caps.ts';
import { evaluateAmount, type Step, type Variable } from './library-spec.ts';
import { lower } from './lower.ts';

/** K 64, 4 query heads and 2 key/value heads of 16, intermediate 96, vocabulary 500. */
const model = describeModel(SMALL_SHAPE, 'q4_0');
const { programs } = lower(model, planCaps.best, { contextLength: 512, prefillChunkLength: 64 }).spec;

function amounts(steps: readonly Step[], variables: Partial<Record<Variable, number>>) {
  const all = { one: 1, tokens: 1, position: 0, length: 1, count: 0, biased: 0, ...variables };
  return steps.map(({ work }) => [
    work.op,
    evaluateAmount(work.bytes, all),
    work.flops === null ? null : evaluateAmount(work.flops, all),
  ]);
}

/** A q4_0 block of 32 weights: 16 bytes of nibbles, 2 of scale. */
const weightBytes = (rows: number, columns: number) => ((rows * columns) / 32) * 18;

describe('bytes and operations of steps, by hand', () => {
  test('a decoded token', () => {
    expect(amounts(programs.decode, { position: 129, length: 130 })).toEqual([
      // Rows of 4 + 2 + 2 heads; x and the gain in, 128 values out.
      ['norm-matvec', weightBytes(128, 64) + 4 * (64 + 64 + 128), 2 * 128 * 64],
      // Eight heads in, four query heads out, keys and values out as f16; two entries of the table.
      ['rope-kv', 4 * 8 * 16 + 4 * 4 * 16 + 2 * 4 * 16 + 2 * 4 * 16, null],
      // The query; keys and values of 130 positions; two splits of four heads of 16 + 4 values.
      ['attention-split', 4 * 64 + 130 * 2 * 2 * 32 + 2 * 4 * 4 * 20, null],
      ['attention-merge', 2 * 4 * 4 * 20 + 4 * 64, null],
      ['matvec-residual', weightBytes(64, 64) + 4 * (64 + 2 * 64), 2 * 64 * 64],
      ['norm-gate-up', 2 * weightBytes(96, 64) + 4 * (64 + 64 + 96), 2 * 2 * 96 * 64],
      ['matvec-residual', weightBytes(64, 96) + 4 * (96 + 2 * 64), 2 * 64 * 96],
      ['norm-matvec', weightBytes(500, 64) + 4 * (64 + 64 + 500), 2 * 500 * 64],
    ]);
  });

  test('a chunk of 10 tokens after 20', () => {
    const variables = { tokens: 10, position: 20, length: 30 };
    expect(amounts(programs.embed, variables)).toEqual([
      ['embed', 10 * (4 + weightBytes(1, 64) + 4 * 64), null],
    ]);
    const short = programs.prefill[0]!;
    expect(short.maxTokens).toBe(16);
    expect(amounts(short.steps, variables)).toEqual([
      ['rms-norm', 4 * 64 + 10 * 4 * 128, null],
      ['matmul', weightBytes(128, 64) + 10 * 4 * (64 + 128), 10 * 2 * 128 * 64],
      ['rope-kv', 10 * (4 * 12 * 16 + 2 * 4 * 16 + 4 * 16) + 4 * 16, null],
      ['attention-prefill', 10 * 4 * (64 + 64) + 30 * 2 * 2 * 32, null],
      ['matmul-residual', weightBytes(64, 64) + 10 * 4 * (64 + 128), 10 * 2 * 64 * 64],
      ['rms-norm', 4 * 64 + 10 * 4 * 128, null],
      ['matmul-gate-up', 2 * weightBytes(96, 64) + 10 * 4 * (64 + 96), 10 * 2 * 2 * 96 * 64],
      ['matmul-residual', weightBytes(64, 96) + 10 * 4 * (96 + 128), 10 * 2 * 64 * 96],
      ['norm-matvec', weightBytes(500, 64) + 4 * (64 + 64 + 500), 2 * 500 * 64],
    ]);
  });

  test('sampling', () => {
    expect(amounts([...programs.softmax, ...programs.sample, ...programs.applyBitmask], {})).toEqual([
      ['softmax-partial', 4 * 500 + 8, null],
      ['softmax-write', 8 * 500 + 8, null],
      ['sample', 4 * 500 + 8, null],
      ['apply-bitmask', 8 * 500 + 500 / 8, null],
    ]);
    expect(amounts([...programs.applyLogitBias, ...programs.applyPenalty], { count: 3 })).toEqual([
      ['apply-logit-bias', 3 * 16 + 32, null],
      ['apply-penalty', 3 * 16 + 12, null],
    ]);
  });
});

test('shapes and formats, for people', () => {
  const label = ({ work }: Step) => [work.shape, work.formats.join(' ')].join(' ').trim();
  expect([...new Set(programs.decode.map(label))]).toEqual([
    '(64 + 32 + 32) x 64 q4_0',
    '4 heads, 2 kv, 16 wide',
    '64 x 64 q4_0',
    '2 x 96 x 64 q4_0',
    '64 x 96 q4_0',
    '500 x 64 q4_0',
  ]);
  expect(programs.softmax.map(label)).toEqual(['500', '500']);
});
