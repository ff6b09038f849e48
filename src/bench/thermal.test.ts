import { expect, test } from 'vitest';
import { reportThermal, type ThermalFacts } from './thermal.ts';

const nothing: ThermalFacts = { before: {}, after: {}, atEnd: null, throttled: [], hasTests: true };

test.each<[string, Partial<ThermalFacts>, string]>([
  ['a page', {}, 'No test became slower for good. No temperature could be read.'],
  ['nothing measured', { hasTests: false }, 'No temperature could be read.'],
  [
    'a machine that got warm and slow',
    {
      before: { x86_pkg_temp: 48.6, gpu: 40 },
      after: { gpu: 71.2, x86_pkg_temp: 90 },
      atEnd: { id: 'pp512', slowdown: 0.31 },
      throttled: ['tg128', 'tg128 @ d2048'],
    },
    'Slower for good, as when it gets too warm: tg128, tg128 @ d2048. At the end pp512 took 31 % longer than in the mean at the beginning. x86_pkg_temp 49 to 90 °C, gpu 40 to 71 °C.',
  ],
  [
    'one that got faster',
    { atEnd: { id: 'pp64', slowdown: -0.04 } },
    'No test became slower for good. At the end pp64 took 4 % less time than in the mean at the beginning. No temperature could be read.',
  ],
  [
    'a steady one',
    { atEnd: { id: 'pp64', slowdown: 0.004 } },
    'No test became slower for good. At the end pp64 took as long as at the beginning. No temperature could be read.',
  ],
])('%s', (_name, facts, note) => {
  expect(reportThermal({ ...nothing, ...facts }).note).toBe(note);
});

test('a sensor that is not there any more is left out', () => {
  const { sensors } = reportThermal({ ...nothing, before: { a: 1, b: 2 }, after: { b: 3, c: 4 } });
  expect(sensors).toEqual([{ name: 'b', beforeCelsius: 2, afterCelsius: 3 }]);
});
