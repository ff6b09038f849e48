import { expect, test } from 'vitest';
import { clip, shown } from './shown.ts';

test('short values are shown as JSON', () => {
  for (const value of [null, true, 1.5, 'a "word"\n', [], {}, [1, [2, 'x']], { a: [{ b: null }], c: '' }]) {
    expect(shown(value)).toBe(JSON.stringify(value));
  }
  expect(shown(undefined)).toBe('undefined');
  expect(shown(5n)).toBe('5');
});

test('long and deep values are cut off, without being written out first', () => {
  expect(shown('x'.repeat(1e6))).toBe(`"${'x'.repeat(79)}…`);
  expect(shown(Array.from({ length: 1e6 }, () => 7))).toBe(`[${'7,'.repeat(39)}7…`);
  expect(shown({ ['k'.repeat(1e6)]: 1 })).toBe(`{"${'k'.repeat(78)}…`);
  expect(shown(JSON.parse(`${'['.repeat(1e5)}${']'.repeat(1e5)}`))).toBe('[[[[[…]]]]]');
  expect(shown(JSON.parse(`${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`))).toBe('{"a":{"a":{"a":{"a":{…}}}}}');
});

test('of a very long list, only the beginning is looked at', () => {
  let looks = 0;
  const list = new Proxy(new Array<number>(5_000_000).fill(7), {
    get(target, name, receiver) {
      looks++;
      return Reflect.get(target, name, receiver);
    },
    ownKeys: () => {
      throw new Error('The names of all indices were asked for.');
    },
  });
  expect(shown({ list })).toMatch(/^\{"list":\[7,7,.*…$/);
  expect(looks).toBeLessThan(200);
});

test('clip keeps what fits', () => {
  expect(clip('abc', 3)).toBe('abc');
  expect(clip('abcd', 3)).toBe('abc…');
});
