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

/** Sets `ns.x` to a text of 8 * 2^times characters. */
const deepValue =
  '{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] %}{% endfor %}';
const longText = (times: number) =>
  `{% set ns = namespace(x='aaaaaaaa', l=[]) %}{% for i in range(${times}) %}{% set ns.x = ns.x + ns.x %}{% endfor %}`;

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
    [
      'a range of what is no number',
      `{% for a in range(0 // 0) %}{% endfor %}${'{% for a in range(3000) %}'.repeat(3)}${'{% endfor %}'.repeat(3)}`,
    ],
    ['a range as long as no list', '{{ range(0 // 0) | length }}{{ range(9999999999) | length }}'],
    ['a text replaced by a long one', `${longText(14)}{% set y = ns.x.replace('a', ns.x) %}`],
    ['a long text between many items', `${longText(14)}{{ range(50000) | join(ns.x) }}`],
    [
      'long texts put in order',
      `${longText(15)}{% set ns.l = [ns.x + 'b', ns.x + 'a'] %}{% for i in range(14) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | sort }}`,
    ],
    [
      'long texts compared',
      `${longText(15)}{% set a = ns.x + 'b' %}{% set b = ns.x + 'a' %}{% for i in range(200000) %}{{ a == b }}{% endfor %}`,
    ],
    [
      'many characters to strip',
      `${longText(15)}{% for i in range(99999) %}{{ 'b'.strip(ns.x) }}{% endfor %}`,
    ],
    [
      'a long text looked for in a longer one',
      `${longText(15)}{% for i in range(50) %}{{ ('b' + ns.x) in (ns.x + ns.x) }}{% endfor %}`,
    ],
    ['macros within long chains', `{% macro m() %}{{ m()${' ~ 1'.repeat(900)} }}{% endmacro %}{{ m() }}`],
    ['a long text written many times', `{% for i in range(90000) %}${'x'.repeat(100_000)}{% endfor %}`],
    ['a macro that calls itself', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'],
    ['deep brackets', `{{ ${'('.repeat(900)}1${')'.repeat(900)} }}`],
    ['deep lists', `{{ ${'['.repeat(900)}${']'.repeat(900)} }}`],
    ['a deep value in JSON', `${deepValue}{{ ns.x | tojson }}`],
    ['deep values compared', `${deepValue}{{ ns.x == ns.x }}`],
    ['a deep value looked for', `${deepValue}{{ ns.x in [ns.x] }}`],
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
    // A second at most; what grows with the square of the length takes minutes.
    expect(performance.now() - start).toBeLessThan(60_000);
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
