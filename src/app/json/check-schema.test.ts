import { expect, test } from 'vitest';
import { checkSchema } from './check-schema.ts';
import { examples } from './examples.ts';

test.each(examples.map((example) => [example.name, example.schema]))(
  'the example “%s” is sound',
  (_name, schema) => {
    expect(checkSchema(schema)).toEqual([]);
  },
);

test('booleans and references inside the schema are sound', () => {
  const schema = {
    $defs: { 'a/b': { type: 'string' } },
    type: 'object',
    properties: { x: true, y: { $ref: '#/$defs/a~1b' }, z: { $ref: '#' } },
  };
  expect(checkSchema(schema)).toEqual([]);
});

test.each([
  [[], '', /object/],
  [{ type: 'strnig' }, '/type', /no type "strnig"/],
  [{ type: [] }, '/type', /at least one/],
  [{ properties: { a: { type: 'object', required: 'b' } } }, '/properties/a/required', /list/],
  [
    { properties: { a: {} }, required: ['b'], additionalProperties: false },
    '/required',
    /“b” is required, but not among/,
  ],
  [{ enum: [] }, '/enum', /at least one/],
  [{ pattern: '(' }, '/pattern', /no regular expression/],
  [{ $ref: 'https://example.org/x' }, '/$ref', /inside the schema/],
  [{ $ref: '#/$defs/none' }, '/$ref', /leads nowhere/],
  [{ minItems: -1 }, '/minItems', /whole number/],
  [{ minLength: 3, maxLength: 2 }, '/maxLength', /nothing can fit/],
  [{ minimum: 3, maximum: 2 }, '/maximum', /nothing can fit/],
  [{ anyOf: [] }, '/anyOf', /at least one schema/],
  [{ items: 3 }, '/items', /A schema is an object/],
  [{ properties: [] }, '/properties', /by name/],
])('%j: the problem is found at "%s"', (schema, path, message) => {
  const problems = checkSchema(schema);
  expect(problems).toHaveLength(1);
  expect(problems[0]?.path).toBe(path);
  expect(problems[0]?.message).toMatch(message);
});

test('nesting without end is stopped', () => {
  let schema: unknown = {};
  for (let depth = 0; depth < 5000; depth += 1) schema = { items: schema };
  expect(checkSchema(schema)[0]?.message).toMatch(/levels deep/);
});
