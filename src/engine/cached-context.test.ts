import { expect, test } from 'vitest';
import { CachedContext, type PromptTurn } from './cached-context.ts';

/** One token for each character. */
const encode = (text: string) => Array.from(text, (character) => character.codePointAt(0)!);
const user = (text: string): PromptTurn => ({ role: 'user', text });
const assistant = (text: string): PromptTurn => ({ role: 'assistant', text });

/** A cache after the question `ab`, whose answer `xy` was one unusual token, 999. */
function afterAnswer(): CachedContext {
  const context = new CachedContext();
  context.append(encode('ab'));
  context.append([999]);
  context.addAnswer({ start: 2, tokens: [999], text: 'xy' });
  return context;
}

test('an answer keeps its ids where it was given, and only there', () => {
  const context = afterAnswer();
  const prompt = (...turns: PromptTurn[]) => context.encodeTurns(turns, encode);
  expect(prompt(user('ab'), assistant('xy'), user('c'))).toEqual([...encode('ab'), 999, ...encode('c')]);
  expect(prompt(user('ab'), assistant('xyz'))).toEqual(encode('abxyz'));
  // As long, but another question.
  expect(prompt(user('aB'), assistant('xy'))).toEqual(encode('aBxy'));
  expect(prompt(user('abc'), assistant('xy'))).toEqual(encode('abcxy'));
  // What a person wrote is encoded, whatever it says.
  expect(prompt(user('ab'), user('xy'))).toEqual(encode('abxy'));
});

test('an answer whose last token was not computed is whole in the next prompt', () => {
  const context = new CachedContext();
  context.append([1, 2, 50]);
  context.addAnswer({ start: 2, tokens: [50, 51], text: 'xy' });
  const prompt = context.encodeTurns([user('\u0001\u0002'), assistant('xy'), user('c')], encode);
  expect(prompt).toEqual([1, 2, 50, 51, ...encode('c')]);
  expect(context.commonLength(prompt)).toBe(3);
});

test('what is cut off is forgotten', () => {
  const context = afterAnswer();
  context.cut(5);
  expect(context.tokens).toEqual([...encode('ab'), 999]);
  context.cut(2);
  expect(context.tokens).toEqual(encode('ab'));
  expect(context.encodeTurns([user('ab'), assistant('xy')], encode)).toEqual(encode('abxy'));
});

test('the common beginning of a prompt and the cache', () => {
  const context = new CachedContext();
  expect(context.commonLength(encode('ab'))).toBe(0);
  context.append(encode('abc'));
  expect(context.commonLength(encode('abx'))).toBe(2);
  expect(context.commonLength(encode('abcd'))).toBe(3);
  expect(context.commonLength(encode('ab'))).toBe(2);
  expect(context.commonLength([])).toBe(0);
});
