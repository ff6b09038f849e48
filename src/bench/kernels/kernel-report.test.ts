import { describe, expect, test } from 'vitest';
import { describeModel, SMALL_SHAPE } from '../../../tests/tools/describe-model.ts';
import { kernelReportSample } from '../../../tests/tools/kernel-report-sample.ts';
import { planCaps } from '../../../tests/tools/plan-caps.ts';
import { lower } from '../../modellib/lower.ts';
import { addSample, type Batch, calibrate, forwardClock, type GpuClock, timed } from './gpu-clock.ts';
import { kernelRatios } from './kernel-ratios.ts';
import { median } from './kernel-report.ts';
import { kernelTables } from './kernel-tables.ts';
import { layersByKind, withLayers } from './layer-subset.ts';
import { roofline } from './roofline.ts';

test('the median of an odd and of an even number', () => {
  expect(median([5, 1, 9])).toBe(5);
  expect(median([4, 1, 9, 2])).toBe(3);
});

describe('calibration', () => {
  /** A GPU that takes `microseconds` a dispatch, and a clock that rounds either end to 100 µs. */
  function quantised(microseconds: number, start: number): GpuClock {
    const tick = (at: number) => Math.round(at / 100) * 100;
    return {
      kind: 'timestamp-query',
      batchMicroseconds: 12_000,
      time: async (batch) => {
        const dispatches = batch.flat(2).length;
        return tick(start + dispatches * microseconds) - tick(start);
      },
      destroy() {},
    };
  }
  const batchOf = (count: number) => [[Array.from({ length: count })]] as unknown as Batch;

  test.each([2, 7.3, 40, 900, 10_300, 2e6])('%d µs come out within 2 %', async (microseconds) => {
    for (const start of [0, 33, 50, 77]) {
      const work = timed(batchOf);
      const clock = quantised(microseconds, start);
      await calibrate(clock, work);
      expect(work.repeats * microseconds).toBeLessThan(Math.max(30_000, 2 * microseconds));
      await addSample(clock, work);
      expect(Math.abs(work.samples[0]! / microseconds - 1)).toBeLessThan(0.02);
      expect(work.estimate).toBe(work.samples[0]);
    }
  });

  test('work that takes no time ends at the most repeats', async () => {
    const work = timed(batchOf);
    await calibrate(quantised(0, 0), work);
    expect(work).toMatchObject({ repeats: 8192, estimate: 0 });
  });

  test('work that was held up in calibration gets longer batches later, and its samples anew', async () => {
    const work = timed(batchOf);
    await calibrate(quantised(20_000, 0), work);
    expect(work.repeats).toBe(1);
    for (let i = 0; i < 3; i++) await addSample(quantised(20_000, 0), work);
    await addSample(quantised(40, 0), work);
    expect(work.repeats).toBeGreaterThan(100);
    expect(work.samples.length).toBe(4);
    for (const sample of work.samples) expect(Math.abs(sample / 40 - 1)).toBeLessThan(0.05);
  });
});

test('a batch in which the GPU’s clock went backwards is taken again, and told; a clock that always does ends it', async () => {
  const times = [-3, Number.NaN, 20, -1, 30];
  let faults = 0;
  const base = { kind: 'timestamp-query', batchMicroseconds: 10, destroy() {} } as const;
  const clock = forwardClock({ ...base, time: async () => times.shift() ?? -1 }, () => faults++);
  expect([await clock.time([]), await clock.time([]), faults]).toEqual([20, 30, 3]);
  await expect(clock.time([])).rejects.toMatchObject({
    code: 'feature-missing',
    nextStep: expect.any(String),
  });
});

describe('layers', () => {
  const shape = { ...SMALL_SHAPE, layerCount: 5 };
  const plain = describeModel(shape, 'q4_0');
  const other = describeModel(shape, 'q8_0');
  const layers = plain.tensors.layers.map((layer, i) =>
    i === 2 || i === 4 ? { ...layer, down: other.tensors.layers[i]!.down } : layer,
  );
  const model = { ...plain, tensors: { ...plain.tensors, layers } };

  test('one of each kind comes first', () => {
    expect(layersByKind(plain)).toEqual([0, 1, 2, 3, 4]);
    expect(layersByKind(model)).toEqual([0, 2, 1, 3, 4]);
  });

  test('a model of two kinds of layers has all of its kernels', () => {
    const names = (layers: number[]) =>
      new Set(
        lower(withLayers(model, layers), planCaps.best, {
          contextLength: 64,
          prefillChunkLength: 32,
        }).spec.programs.decode.map(({ kernel }) => kernel.name),
      );
    expect(names([0, 2])).toEqual(names([0, 1, 2, 3, 4]));
    expect(names([0, 1])).not.toEqual(names([0, 1, 2, 3, 4]));
  });
});

test('the roofline: intensity, and what the lower of the two roofs allows', () => {
  const { points, ridgeIntensity } = roofline(kernelReportSample);
  expect(ridgeIntensity).toBe(200);
  expect(
    points.map(({ phase, intensity, attainableGflopsPerSecond }) => [
      phase,
      intensity,
      attainableGflopsPerSecond,
    ]),
  ).toEqual([
    ['decode', 4, 80],
    ['prefill', 1000, 4000],
  ]);
  expect(points.map(({ op, rank }) => [op, rank])).toEqual([
    ['matmul', 1],
    ['matmul', 1],
  ]);
});

test('the tables, in Markdown', () => {
  expect(kernelTables(kernelReportSample).split('\n')).toEqual([
    'Kernel view, by timestamp queries, over 5 MB of random weights (1 of 2 layers). Copy bandwidth 20.0 GB/s, best arithmetic 4000 GFLOP/s (f32). Something to know.',
    '',
    'A decoded token at depth 128: 2.50 ms on the GPU (400 tokens/s), of which the kernels add up to 2.40 ms (96.0 %); 31 dispatches, 450 µs of CPU time a token to encode and submit.',
    '',
    '|  share | times |  median |    least |   most |   MB | GB/s | of copy | GFLOP/s | kernel                  |',
    '| -----: | ----: | ------: | -------: | -----: | ---: | ---: | ------: | ------: | ----------------------- |',
    '| 75.0 % |    30 | 1.23 ms |  99.0 µs | 104 µs | 1.00 | 10.0 |  50.0 % |    40.0 | matmul 64 x 64 q4_0     |',
    '| 25.0 % |     1 |  100 µs | 0.500 µs | 100 µs | 1.00 | 10.0 |  50.0 % |         | attention-merge 64 x 64 |',
    '',
    'A chunk of 512 tokens at depth 0: 2.50 ms on the GPU (204800 tokens/s), of which the kernels add up to 2.40 ms (96.0 %); 31 dispatches, 0.879 µs of CPU time a token to encode and submit.',
    '',
    '|   share | times | median |   least |   most |   MB | GB/s | of copy | GFLOP/s | kernel              |',
    '| ------: | ----: | -----: | ------: | -----: | ---: | ---: | ------: | ------: | ------------------- |',
    '| 100.0 % |     1 | 100 µs | 99.0 µs | 104 µs | 1.00 | 10.0 |  50.0 % |    3000 | matmul 64 x 64 q4_0 |',
  ]);
});

test('the ratios of changed kernels, by purpose and round, and of those that stayed', () => {
  const { decode } = kernelReportSample;
  const kernel = (name: string, op: string, samples: number[], dispatches = 2) => ({
    ...decode.kernels[0]!,
    ...{ name, op, samples, dispatches },
  });
  const phases = (kernels: (typeof decode.kernels)[number][]) => ({
    decode: { ...decode, kernels },
    prefill: { ...decode, kernels: [] },
  });
  const before = phases([
    kernel('a', 'attention-split', [30, 40, 50]),
    kernel('b', 'attention-merge', [10, 20, 10]),
    kernel('c', 'matmul', [5, 6, 7]),
  ]);
  const after = phases([
    kernel('d', 'attention-scores', [10, 10, 10]),
    kernel('c', 'matmul', [5, 6, 14]),
    kernel('e', 'sample', [1, 1, 1]),
  ]);
  expect(kernelRatios(before, after)).toEqual([
    {
      phase: 'decode',
      before: 'attention-split + attention-merge',
      after: 'attention-scores',
      beforeMicroseconds: 120,
      afterMicroseconds: 20,
      ratio: 6,
      least: 4,
      most: 6,
    },
    {
      phase: 'decode',
      before: 'kernels that are the same',
      after: 'kernels that are the same',
      beforeMicroseconds: 12,
      afterMicroseconds: 12,
      ratio: 1,
      least: 0.5,
      most: 1,
    },
  ]);
  const table = kernelTables({ ...kernelReportSample, before });
  expect(table).toContain('Before and after, in turns within this run:');
});
