import { expect, test } from 'vitest';
import { heldBack } from './stop-strings.ts';

test.each([
  ['', ['END'], 0],
  ['abc', [], 0],
  ['the', ['END'], 0],
  ['the E', ['END'], 1],
  ['the EN', ['END'], 2],
  ['the EN ', ['END'], 0],
  ['a\n', ['\nUser', 'x'], 1],
  ['aa', ['aaab'], 2],
  ['xab', ['abab', 'bc'], 2],
])('of %j with stops %j the last %i characters wait', (text, stops, expected) => {
  expect(heldBack(text, stops)).toBe(expected);
});
