import { expect, test } from 'vitest';
import { ProgressMeter } from './progress-meter.ts';

test('speed and remaining time follow the last seconds, not the whole transfer', () => {
  let nowMs = 0;
  const meter = new ProgressMeter(10_000, 1000, () => nowMs);
  expect(meter.read()).toEqual({ bytes: 1000, totalBytes: 10_000, bytesPerSecond: 0, etaMs: null });
  nowMs = 1000;
  expect(meter.add(1000)).toMatchObject({ bytes: 2000, bytesPerSecond: 1000, etaMs: 8000 });
  // A long pause, then a faster rate: the old samples leave the window.
  nowMs = 60_000;
  meter.add(0);
  nowMs = 61_000;
  expect(meter.add(4000)).toMatchObject({ bytes: 6000, bytesPerSecond: 4000, etaMs: 1000 });
});
