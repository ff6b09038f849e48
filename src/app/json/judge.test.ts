import { expect, test } from 'vitest';
import { judge } from './judge.ts';

const schema = {
  type: 'object',
  properties: { a: { type: 'array', items: { type: 'integer' } }, b: { enum: ['x', 'y'] } },
  required: ['a', 'b'],
  additionalProperties: false,
};

test('what fits is valid, even when the limit of tokens came right after it', () => {
  expect(judge('{"a":[1],"b":"x"}', schema, 'stop')).toEqual({ kind: 'valid' });
  expect(judge('{"a":[1],"b":"x"}', schema, 'length')).toEqual({ kind: 'valid' });
});

test('what does not fit is told at its innermost place', () => {
  const verdict = judge('{"a":[1,"2"],"b":"x"}', schema, 'stop');
  expect(verdict.kind === 'invalid' && verdict.misfits.map(({ path }) => path)).toEqual(['/a/1']);
});

test('a missing and an unwanted property are both told', () => {
  const verdict = judge('{"a":[],"c":1}', schema, 'stop');
  expect(verdict).toEqual({
    kind: 'invalid',
    misfits: [
      { path: '', message: 'Instance does not have required property "b".' },
      { path: '/c', message: 'This is not allowed here.' },
    ],
  });
});

test('half an answer is cut off, by limit or by hand', () => {
  expect(judge('{"a":[1', schema, 'length')).toEqual({ kind: 'cut-off', reason: 'length' });
  expect(judge('', schema, 'abort')).toEqual({ kind: 'cut-off', reason: 'abort' });
});

test('an answer that ended and is no JSON says so', () => {
  expect(judge('Sure! {', schema, 'stop').kind).toBe('not-json');
});
