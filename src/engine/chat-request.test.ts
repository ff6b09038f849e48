import { expect, test } from 'vitest';
import type { ChatRequest } from './api.ts';
import { checkChatRequest, hashSeed } from './chat-request.ts';

const messages = [{ role: 'user' as const, content: 'hi' }];
const check = (request: Partial<ChatRequest>, generated = true) =>
  checkChatRequest({ messages, ...request }, 811, generated);
const schema = (schema: unknown): Partial<ChatRequest> => ({
  response_format: {
    type: 'json_schema',
    json_schema: { name: 'x', schema: schema as Record<string, unknown> },
  },
});

test('a plain request and the ends of every range pass', () => {
  check({});
  check({
    temperature: 0,
    top_p: 1,
    top_k: 811,
    min_p: 1,
    frequency_penalty: -2,
    seed: -1,
    stop: ['a', 'b', 'c', 'd'],
  });
  check({ logit_bias: { '810': -100 }, logprobs: true, top_logprobs: 5, max_completion_tokens: 1 });
});

test.each<[string, Partial<ChatRequest>]>([
  ['temperature', { temperature: -0.1 }],
  ['temperature', { temperature: Number.NaN }],
  ['top_p', { top_p: 0 }],
  ['top_k', { top_k: 1.5 }],
  ['min_p', { min_p: 1.01 }],
  ['repetition_penalty', { repetition_penalty: 0 }],
  ['max_completion_tokens', { max_completion_tokens: 0 }],
  ['seed', { seed: 0.5 }],
  ['stop', { stop: '' }],
  ['stop', { stop: ['a', 'b', 'c', 'd', 'e'] }],
  ['top_logprobs', { top_logprobs: 2 }],
  ['cache_prompt', { cache_prompt: 'false' as unknown as boolean }],
  ['logit_bias["811"]: the token id', { logit_bias: { '811': 1 } }],
  ['logit_bias["5"]', { logit_bias: { '5': 101 } }],
])('%s out of range is refused by name', (field, request) => {
  expect(() => check(request)).toThrow(expect.objectContaining({ code: 'request-invalid', data: { field } }));
});

test('a prebuilt library refuses what it would write out of bounds for', () => {
  expect(() => check({ top_k: 5 }, false)).toThrow(expect.objectContaining({ code: 'request-invalid' }));
  check({ top_k: 0 }, false);
});

test.each<[string, unknown]>([
  ['#', []],
  ['#', { type: 'strin' }],
  ['#/properties/a', { properties: { a: { enum: [] } } }],
  ['#/items', { type: 'array', items: { pattern: '(' } }],
  ['#/anyOf/1', { anyOf: [{ type: 'null' }, 3] }],
  ['#', { $ref: 'https://example.org/schema' }],
  ['#', { required: 'name' }],
])('a schema that is wrong at %s is refused', (path, value) => {
  expect(() => check(schema(value))).toThrow(
    expect.objectContaining({ code: 'schema-invalid', ...(Array.isArray(value) ? {} : { data: { path } }) }),
  );
});

test('seeds 1 to 100 spread over the range', () => {
  const modulus = 2147483647;
  const draws = Array.from({ length: 100 }, (_, i) => ((hashSeed(i + 1) * 48271) % modulus) / modulus);
  const bins = new Array<number>(10).fill(0);
  for (const draw of draws) bins[Math.floor(draw * 10)]! += 1;
  // Chi-square with 9 degrees of freedom: 21.7 is passed by 1 % of uniform samples.
  const chiSquare = bins.reduce((sum, count) => sum + (count - 10) ** 2 / 10, 0);
  expect(chiSquare).toBeLessThan(21.7);
  expect(new Set(draws).size).toBe(100);
});
