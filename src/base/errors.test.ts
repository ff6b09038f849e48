import { expect, test } from 'vitest';
import {
  FormatError,
  fromWireError,
  isAbortError,
  isTramontaneError,
  TramontaneError,
  toWireError,
} from './errors.ts';

test('an error keeps its code, next step, data and cause across the wire', () => {
  const cause = new FormatError('magic is 0', { field: 'magic', offset: 0 });
  const error = new TramontaneError('shard-altered', 'shard 3 differs', {
    nextStep: 'Load the model again.',
    data: { shard: 3 },
    cause,
  });
  const restored = fromWireError(structuredClone(toWireError(error)));
  expect(isTramontaneError(restored)).toBe(true);
  expect(restored).toMatchObject({
    code: 'shard-altered',
    nextStep: 'Load the model again.',
    data: { shard: 3 },
  });
  expect(restored.cause).toMatchObject({
    name: 'FormatError',
    code: 'format-invalid',
    data: { field: 'magic', offset: 0 },
  });
});

test('an abort stays an abort and a foreign error stays foreign', () => {
  const abort = fromWireError(toWireError(new DOMException('stop', 'AbortError')));
  expect(isAbortError(abort)).toBe(true);
  const foreign = fromWireError(toWireError(new RangeError('no')));
  expect(foreign.name).toBe('RangeError');
  expect(isTramontaneError(foreign)).toBe(false);
});
