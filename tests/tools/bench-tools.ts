/** What tests of the benchmark share: time that passes at once, a host, and the published schema. */
import { findSchemaFaults as findFaults } from '../../scripts/lib/report-schema.ts';
import type { Clock } from '../../src/bench/clock.ts';
import type { HostFacts } from '../../src/bench/machine.ts';
import type { BenchReport, BenchTest } from '../../src/bench/report.ts';
import type { MeasureKernels } from '../../src/bench/run.ts';
import type { FakeClock } from '../../src/engine/fake-engine.ts';

/** A clock for the runner and the fake engine alike. Both of its times can be tampered with. */
export class VirtualClock implements Clock, FakeClock {
  timeMs = 1000;
  wallMs = Date.UTC(2026, 0, 2);
  /** Called after each delay. */
  afterDelay: (delays: number) => void = () => undefined;
  #delays = 0;

  now(): number {
    return this.timeMs;
  }

  wall(): number {
    return this.wallMs;
  }

  async delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.timeMs += milliseconds;
    this.wallMs += milliseconds;
    this.#delays++;
    this.afterDelay(this.#delays);
    // Others get a turn, as with a real delay.
    await Promise.resolve();
  }
}

export const TEST_HOST: HostFacts = {
  runtime: 'dawn',
  program: 'Node 22.0.0, webgpu 0.0.0',
  userAgent: null,
  os: 'TestOS 1',
  cores: 8,
  processor: 'Test processor',
  memoryGib: 32,
  crossOriginIsolated: false,
  power: 'mains',
};

/** For runs that do not ask for them. */
export const noKernels: MeasureKernels = async () => {
  throw new Error('no kernels are measured here');
};

/** What in a report contradicts the published schema: nothing, for every report we make. */
export function findSchemaFaults(report: BenchReport): string[] {
  return findFaults('report', JSON.parse(JSON.stringify(report)));
}

/** @throws Error if the report has no such test */
export function requireTest(report: BenchReport, id: string): BenchTest {
  const test = report.tests.find((candidate) => candidate.id === id);
  if (test !== undefined) return test;
  throw new Error(`no test "${id}" among ${report.tests.map((candidate) => candidate.id).join(', ')}`);
}
