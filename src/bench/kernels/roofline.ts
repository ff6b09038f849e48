/**
 * The roofline model (https://doi.org/10.1145/1498765.1498785): a kernel that does `intensity` operations a byte can
 * reach intensity * bandwidth, and no more than the arithmetic peak. Data for a picture.
 */
import type { KernelReport, Phase } from './kernel-report.ts';

export interface RooflinePoint {
  op: string;
  phase: Phase;
  /** Among the kernels of its phase by share of the time, from 1. */
  rank: number;
  /** Operations a byte that has to be moved. */
  intensity: number;
  gflopsPerSecond: number;
  /** What the roofs allow at this intensity. */
  attainableGflopsPerSecond: number;
  shareOfTime: number;
}

export interface Roofline {
  copyGigabytesPerSecond: number;
  peakGflopsPerSecond: number;
  /** Intensity at which the roofs meet: below it bandwidth is the limit, above it arithmetic. */
  ridgeIntensity: number;
  /** Matrix products; other kernels have no operations worth counting. */
  points: RooflinePoint[];
}

export function roofline(report: KernelReport): Roofline {
  const { copyGigabytesPerSecond, peakGflopsPerSecond } = report;
  const points = [report.decode, report.prefill].flatMap(({ kernels }) =>
    kernels.flatMap(({ op, phase, flops, bytes, gflopsPerSecond, shareOfTime }, i): RooflinePoint[] => {
      if (flops === null || gflopsPerSecond === null) return [];
      const intensity = flops / bytes;
      return [
        {
          op,
          phase,
          rank: i + 1,
          intensity,
          gflopsPerSecond,
          attainableGflopsPerSecond: Math.min(peakGflopsPerSecond, intensity * copyGigabytesPerSecond),
          shareOfTime,
        },
      ];
    }),
  );
  return {
    copyGigabytesPerSecond,
    peakGflopsPerSecond,
    ridgeIntensity: peakGflopsPerSecond / copyGigabytesPerSecond,
    points,
  };
}
