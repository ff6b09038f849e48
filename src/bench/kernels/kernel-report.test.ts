import { describe, expect, test } from 'vitest';
import { describeModel } from '../../../tests/tools/describe-model.ts';
import { planCaps } from '../../../tests/tools/plan-caps.ts';
import { lower } from '../../modellib/lower.ts';
import { formatKernelReport } from './format-kernel-report.ts';
import { addSample, type Batch, calibrate, type GpuClock, timed } from './gpu-clock.ts';
import { type KernelReport, type KernelTiming, median, type PhaseReport } from './kernel-report.ts';
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

describe('layers', () => {
  const shape = {
    hiddenSize: 64,
    layerCount: 5,
    headCount: 4,
    kvHeadCount: 2,
    headDim: 16,
    intermediateSize: 96,
    vocabularySize: 500,
    rmsNormEpsilon: 1e-5,
    ropeTheta: 1e4,
    tiedEmbeddings: true,
    maxContextLength: 512,
  };
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

function timing(values: Partial<KernelTiming>): KernelTiming {
  return {
    name: 'kernel',
    op: 'matmul',
    formats: 'q4_0',
    shape: '64 x 64',
    phase: 'decode',
    dispatches: 1,
    microseconds: 100,
    bytes: 1e6,
    gigabytesPerSecond: 10,
    shareOfCopyBandwidth: 0.5,
    flops: 1e8,
    gflopsPerSecond: 1000,
    shareOfTime: 1,
    samples: [99, 100, 104],
    ...values,
  };
}

const phase: PhaseReport = {
  tokens: 1,
  depth: 128,
  dispatches: 31,
  cpuMicroseconds: 450,
  gpuMicroseconds: 2500,
  kernelMicroseconds: 2400,
  kernels: [],
};

const report: KernelReport = {
  clock: 'timestamp-query',
  adapter: {
    vendor: 'acme',
    architecture: 'anvil',
    description: 'ACME Anvil 9000',
    isSoftware: false,
    shaderF16: true,
    subgroups: true,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    maxBufferBytes: 2 ** 30,
    maxStorageBindingBytes: 2 ** 30,
    maxWorkgroupStorageBytes: 32768,
    maxInvocationsPerWorkgroup: 1024,
    maxStorageBuffersPerStage: 10,
  },
  copyGigabytesPerSecond: 20,
  peakGflopsPerSecond: 4000,
  layers: { measured: 1, total: 2 },
  weightBytes: 5e6,
  decode: {
    ...phase,
    kernels: [
      timing({ flops: 4e6, gflopsPerSecond: 40, dispatches: 30, microseconds: 1234.5, shareOfTime: 0.75 }),
      timing({
        op: 'attention-merge',
        formats: '',
        flops: null,
        gflopsPerSecond: null,
        shareOfTime: 0.25,
        samples: [0.5, 99.95],
      }),
    ],
  },
  prefill: {
    ...phase,
    tokens: 512,
    depth: 0,
    kernels: [timing({ phase: 'prefill', flops: 1e9, gflopsPerSecond: 3000 })],
  },
  notes: ['Something to know.'],
};

test('the roofline: intensity, and what the lower of the two roofs allows', () => {
  const { points, ridgeIntensity } = roofline(report);
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
  expect(points[0]!.label).toBe('matmul 64 x 64 q4_0');
});

test('the table for a terminal', () => {
  expect(formatKernelReport(report).split('\n')).toEqual([
    'ACME Anvil 9000, clock: timestamp queries',
    'Copy bandwidth 20.0 GB/s, best arithmetic 4000 GFLOP/s (f32)',
    'Random weights, 5 MB: 1 of 2 layers',
    '',
    'A decoded token at depth 128: 2.50 ms on the GPU (400 tokens/s), of which the kernels add up to 2.40 ms (96.0 %); 31 dispatches, 450 µs of CPU time to encode and submit.',
    ' share  times   median             samples  GB/s  of copy  GFLOP/s  kernel',
    '75.0 %     30  1.23 ms   99.0 µs to 104 µs  10.0   50.0 %     40.0  matmul 64 x 64 q4_0',
    '25.0 %      1   100 µs  0.500 µs to 100 µs  10.0   50.0 %           attention-merge 64 x 64',
    '',
    'A chunk of 512 tokens at depth 0: 2.50 ms on the GPU (204800 tokens/s), of which the kernels add up to 2.40 ms (96.0 %); 31 dispatches, 450 µs of CPU time to encode and submit.',
    '  share  times  median            samples  GB/s  of copy  GFLOP/s  kernel',
    '100.0 %      1  100 µs  99.0 µs to 104 µs  10.0   50.0 %     3000  matmul 64 x 64 q4_0',
    '',
    'Note: Something to know.',
  ]);
});
