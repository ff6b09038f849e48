import { describe, expect, test } from 'vitest';
import { readFixture } from '../../../tests/tools/tokenizer-fixtures.ts';
import { JinjaError, JinjaRefusal } from './jinja-error.ts';
import { parseJinja } from './jinja-parser.ts';
import { runJinja } from './run-jinja.ts';

interface Goldens {
  variables: Record<string, unknown>;
  /** What jinja2 writes; `error` where it refuses, or where the template does. */
  cases: { template: string; rendered?: string; error?: 'raised' | 'failed' }[];
}
const goldens = readFixture<Goldens>('jinja-goldens.json');
const render = (template: string, variables: Record<string, unknown> = {}) =>
  runJinja(parseJinja(template), variables);

test.each(goldens.cases)('as jinja2: $template', ({ template, rendered, error }) => {
  if (error === undefined) {
    expect(render(template, goldens.variables)).toBe(rendered);
    return;
  }
  const expected = error === 'raised' ? JinjaRefusal : JinjaError;
  expect(() => render(template, goldens.variables)).toThrow(expected);
});

describe('hostile templates', () => {
  test.each([
    [
      'a loop without end',
      '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}',
    ],
    ['a range beyond all', '{{ range(1000000000) | length }}'],
    [
      'a text that doubles',
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    ],
    [
      'a list that doubles',
      '{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}',
    ],
    [
      'a text that grows by replacement',
      "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x.replace('a', 'aaaa') %}{% endfor %}",
    ],
    ['a macro that calls itself', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'],
    ['deep brackets', `{{ ${'('.repeat(900)}1${')'.repeat(900)} }}`],
    ['deep lists', `{{ ${'['.repeat(900)}${']'.repeat(900)} }}`],
    ['deep statements', '{% if true %}'.repeat(5000)],
    ['a long chain', `{{ ${'1 + '.repeat(100_000)}1 }}`],
    ['many filters', `{{ 'a' ${'| upper '.repeat(100_000)} }}`],
    ['the constructor of a text', "{{ 'a'.constructor('b') }}"],
    ['the constructor of a function', "{{ namespace.constructor('b')() }}"],
    ['a prototype', '{{ messages.__proto__.x }}'],
    ['a test of Object', "{{ 'a' is constructor }}"],
    ['a filter of Object', "{{ 'a' | toString }}"],
  ])('%s is refused soon', (_, template) => {
    const start = performance.now();
    expect(() => render(template, { messages: [] })).toThrow(JinjaError);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test('names of Object mean nothing', () => {
    expect(
      render('{{ constructor }}{{ messages.constructor }}{{ dict.__proto__ }}|', { messages: [], dict: {} }),
    ).toBe('|');
  });

  test('variables stay as they are', () => {
    const variables = { messages: [{ role: 'user' }] };
    render('{% set messages = [] %}{% set ns = namespace(m=messages) %}{% set ns.m = 1 %}', variables);
    expect(variables).toEqual({ messages: [{ role: 'user' }] });
  });
});
