import { describe, expect, test } from 'vitest';
import { findClockFault, type MeasuredTime, measureResolution } from './clock.ts';

const good: MeasuredTime = {
  ms: 500,
  parts: [125, 125, 125, 125],
  elapsedMs: 510,
  wallMs: 511,
  resolutionMs: 0.1,
};

describe('a time is believed', () => {
  test.each<[string, Partial<MeasuredTime>]>([
    ['as it is', {}],
    ['when the calendar is slewed a little', { wallMs: 560 }],
    ['when parts differ', { parts: [20, 400, 40, 40] }],
    ['when a sample is one long part', { ms: 90_000, parts: [90_000], elapsedMs: 90_010, wallMs: 90_400 }],
    ['when nothing tells of parts', { parts: [] }],
  ])('%s', (_name, change) => {
    expect(findClockFault({ ...good, ...change })).toBeNull();
  });
});

describe('a time is not believed', () => {
  test.each<[string, Partial<MeasuredTime>, string]>([
    ['that is negative', { ms: -3 }, 'backwards (a time of -3 ms)'],
    ['that is none', { ms: Number.NaN }, 'backwards'],
    ['that is nothing', { ms: 0, parts: [] }, 'stood still'],
    ['with a negative part', { parts: [125, -125, 250, 250] }, 'backwards (a time of -125 ms)'],
    ['while our own clock went backwards', { elapsedMs: -20 }, 'backwards'],
    ['over which the machine slept', { wallMs: 3_600_510 }, 'the machine slept'],
    ['over which the calendar was set back', { wallMs: -50_000 }, 'a clock was set'],
    ['longer than the call that it was part of', { ms: 5000, elapsedMs: 510 }, "engine's clock jumped"],
    [
      'with a pause in it',
      { ms: 5375, parts: [125, 125, 5000, 125], elapsedMs: 5400, wallMs: 5400 },
      'a pause of 5000 ms',
    ],
  ])('%s', (_name, change, text) => {
    const fault = findClockFault({ ...good, ...change });
    expect(fault?.kind).toBe('clock');
    expect(fault?.text).toContain(text);
  });

  test('of fewer ticks than the clock needs', () => {
    expect(findClockFault({ ...good, ms: 4, parts: [4], resolutionMs: 1 })).toMatchObject({
      kind: 'coarse-clock',
      text: 'the clock is too coarse (steps of 1 ms) for 4 ms',
    });
    expect(findClockFault({ ...good, ms: 50, parts: [50], resolutionMs: 1 })).toBeNull();
  });
});

test('the resolution is the smallest step that the clock makes', () => {
  let readings = 0;
  const coarse = { now: () => Math.floor(readings++ / 10) * 0.1 };
  expect(measureResolution(coarse)).toBeCloseTo(0.1, 9);
  expect(measureResolution({ now: () => 5 })).toBe(0);
  expect(measureResolution({ now: () => performance.now() })).toBeGreaterThan(0);
});
