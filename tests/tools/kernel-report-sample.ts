/** A kernel report with known figures, for tests of what is made of one. */
import type { KernelReport, KernelTiming, PhaseReport } from '../../src/bench/kernels/kernel-report.ts';

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
    uncounted: [],
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

export const kernelReportSample: KernelReport = {
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
  before: null,
  disturbances: [],
  notes: ['Something to know.'],
};
