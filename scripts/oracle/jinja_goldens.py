#!/usr/bin/env python3
"""What jinja2 writes for small templates, with the settings that transformers uses for chat templates.

usage: jinja_goldens.py > tests/fixtures/jinja-goldens.json

A case that jinja2 refuses has an `error`: "raised" where the template itself raises, "failed" otherwise.
"""
import json

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

VARIABLES = {
    "word": "Hello",
    "empty": "",
    "spaced": "  a b\n",
    "three": 3,
    "numbers": [1, 2, 3],
    "nothing": None,
    "yes": True,
    "dict": {"a": 1, "b": "two", "items_": [1]},
    "messages": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U1"},
        {"role": "assistant", "content": "A1", "tool_calls": [{"id": "abcdefghi", "function": {"name": "f", "arguments": {"x": [1, 2.5, "é"]}}}]},
        {"role": "user", "content": "U2"},
    ],
}

TEMPLATES = [
    # Whitespace
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \n  b\n  {% endif %}\nc",
    "a  {% if true %}  b  {% endif %}  c",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "a\n{%+ if true %}\nb{% endif +%}\nc",
    "a\n  {%+ if true +%}\n  b\n{% endif %}",
    "a \n {{- word -}} \n b",
    "a \n {{ word }} \n b",
    "x\n  {# note #}\ny {# more #} z",
    "x\n{#- note -#}\ny",
    "{% set a = 1 %}\n\n{{ a }}\n\n",
    "{{ '\\n' }}{% if true %}\n\n{{ 1 }}{% endif %}",
    "line one\r\n{% if true %}\r\ntwo\r\n{% endif %}",
    "{% if true %}a{% endif %}\n  {% if true %}b{% endif %}",
    # Literals
    "{{ 'it''s' }}",
    "{{ 'a' 'b' \"c\" }}",
    "{{ 'q\\'q' }}|{{ \"d\\\"d\" }}|{{ 'back\\\\slash' }}|{{ 'tab\\tx' }}|{{ 'nl\\nx' }}",
    "{{ '{{ not }} {% tags %}' }}",
    "{{ 12 }} {{ 1.5 }} {{ -3 }} {{ true }} {{ False }} {{ none }} {{ None }}",
    "{{ [1, 'a', none] | tojson }} {{ {'k': [1, {'n': true}]} | tojson }} {{ ('a', 'b') | tojson }}",
    "{{ {'a': {'b': 1}} | tojson }}",
    "{{ {'a': {'b': 'c'}}['a']['b'] }}",
    # Operators
    "{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 * 1.5 + 0.25 }}",
    "{{ 'a' + 'b' ~ 1 ~ none ~ true ~ missing ~ 2 * 3 }}",
    "{{ 1 < 2 }} {{ 2 <= 1 }} {{ 'a' == 'a' }} {{ 'a' != 'b' }} {{ [1] == [1] }} {{ {'a': 1} == {'a': 1} }}",
    "{{ 'a' in 'cat' }} {{ 4 in numbers }} {{ 2 not in numbers }} {{ 'a' in dict }} {{ not 1 in numbers }}",
    "{{ word and 'x' }}|{{ empty and 'x' }}|{{ empty or 'y' }}|{{ not empty }}|{{ nothing or missing or 5 }}",
    "{{ not true or true }} {{ not (true or true) }} {{ true or false and false }}",
    "{{ 'a' if yes else 'b' }} {{ 'a' if not yes else 'b' }} {{ 'a' if empty }}|{{ 1 if false else 2 if false else 3 }}",
    "{{ (1 == 1) != (2 == 3) }} {{ (three % 2 == 0) }}",
    "{{ ([1] + [2, 3] | list) | tojson }}",
    "{{ 1 + 'a' }}",
    "{{ missing + 'a' }}",
    "{{ none + 'a' }}",
    # Access
    "{{ dict.a }} {{ dict['b'] }} {{ dict.missing }}| {{ dict['missing'] }}|",
    "{{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages[1:] | length }} {{ messages[:-1] | length }} {{ messages[1:2] | length }}",
    "{{ word[0] }} {{ word[-1] }} {{ word[1:3] }} {{ word[-3:] }} {{ word[:2] }}",
    "{{ messages[9] }}|{{ missing }}|",
    "{{ missing.attribute }}",
    "{{ missing['item'] }}",
    "{{ nothing.attribute }}|",
    "{{ messages[2].tool_calls[0].function.name }}",
    # Tests
    "{{ missing is defined }} {{ word is defined }} {{ dict.c is defined }} {{ missing is undefined }} {{ word is not defined }}",
    "{{ nothing is none }} {{ word is none }} {{ nothing is not none }} {{ missing is none }}",
    "{{ word is string }} {{ numbers is string }} {{ dict is mapping }} {{ numbers is iterable }} {{ word is iterable }} {{ three is iterable }} {{ numbers is sequence }}",
    "{{ three is number }} {{ yes is boolean }} {{ yes is true }} {{ three is integer }} {{ three is equalto 3 }} {{ three is eq(3) }} {{ 'a' is in ['a'] }}",
    "{{ not word is string }} {{ word is string and three is number }} {{ messages[0].content is string }}",
    "{{ 3 is odd_thing }}",
    # Filters
    "{{ spaced | trim }}| {{ spaced|length }} {{ numbers|count }} {{ '' | length }} {{ dict | length }}",
    "{{ word | upper }} {{ word | lower }} {{ numbers | join }} {{ numbers | join(', ') }} {{ numbers | first }} {{ numbers | last }}",
    "{{ missing | default('d') }} {{ empty | default('d') }} {{ empty | default('d', true) }} {{ missing | default }}|",
    "{{ '42' | int }} {{ 'x' | int }} {{ '4.9' | int }} {{ 'x' | int(7) }} {{ 3.7 | int }}",
    "{{ 5 | string + 'a' }} {{ 'abcabc' | replace('b', '$&') }} {{ word | list | length }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='content') | join('-') }}",
    "{{ messages | selectattr('tool_calls') | list | length }} {{ messages | selectattr('tool_calls', 'defined') | list | length }}",
    "{{ (messages | selectattr('role', 'equalto', 'user') | list)[-1].content }}",
    "{{ messages | sort(attribute='content') | map(attribute='content') | join(' ') }} {{ ['b', 'a'] | sort | join }}",
    "{% for k, v in dict | items %}{{ k }}={{ v if v is not iterable or v is string else 'list' }};{% endfor %}",
    "{{ messages[2].tool_calls | tojson }} {{ 'q\"\\n' | tojson }} {{ numbers | tojson | safe }}",
    "{{ -3 | string }} {{ word | trim | upper | length }}",
    "{{ word | no_such_filter }}",
    # Methods
    "{{ spaced.strip() }}| {{ spaced.lstrip() }}| {{ spaced.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'a,b'.split(',') | join('+') }} {{ ' a  b '.split() | join('+') }}",
    "{{ word.startswith('He') }} {{ word.endswith('x') }} {{ word.upper() }} {{ word.lower() }} {{ word.replace('l', 'L') }}",
    "{{ messages[0].get('role') }} {{ messages[0].get('none') }} {{ messages[0].get('none', 'd') }} {{ dict.keys() | list | join }} {{ dict.values() | list | length }}",
    "{% for key, val in messages[2].tool_calls[0].function.items() if key != 'name' %}{{ key }}:{{ val | tojson }}{% endfor %}",
    "{{ word.no_such_method() }}",
    # Statements
    "{% if three == 1 %}one{% elif three == 3 %}three{% else %}other{% endif %}{% if empty %}x{% elif nothing %}y{% else %}z{% endif %}",
    "{% for n in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }};{% endfor %}",
    "{% for n in numbers %}{{ loop.previtem }}<{{ n }}>{{ loop.nextitem }} {% endfor %}",
    "{% for n in [] %}x{% else %}none{% endfor %}{% for n in missing %}x{% else %}missing{% endfor %}",
    "{% for n in numbers if n != 2 %}{{ n }}{{ loop.last }}{% endfor %}",
    "{% for c in 'abc' %}{{ c }}.{% endfor %}{% for k in dict %}{{ k }}.{% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(1, 3) %}{{ i }}{% endfor %}",
    "{% set x = 1 %}{% for n in numbers %}{% set x = n %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set ns = namespace(x=1, l=[]) %}{% for n in numbers %}{% set ns.x = ns.x + n %}{% set ns.l = ns.l + [n] %}{% endfor %}{{ ns.x }} {{ ns.l | join }} {{ ns.missing is defined }}",
    "{% set text %}a{{ word }}b{% endset %}{{ text | upper }}",
    "{% set x = 'a' %}{% for n in numbers %}{% if loop.first %}{% set x = 'b' %}{% endif %}{{ x }}{% endfor %}{{ x }}",
    "{% macro m(a, b='B') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', 'y') }}{{ m(b='1', a='2') }}{{ m() }}",
    "{%- macro block(content) -%}\n  {{- content -}}\n{%- endmacro -%}\n[{{ block(word) }}]",
    "{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n }}*{{ fact(n - 1) }}{% endif %}{% endmacro %}{{ fact(4) }}",
    "{% for a in numbers %}{% for b in numbers %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ loop_messages | length }}",
    "{% if word == 'Hello' %}{{ raise_exception('No: ' + word) }}{% endif %}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 1) %}{{ raise_exception('order') }}{% endif %}{{ m.content }}{% endfor %}",
    # Broken
    "{% if true %}",
    "{% endif %}",
    "{% for %}{% endfor %}",
    "{{ }}",
    "{{ 1 + }}",
    "{{ 'open }}",
    "{{ word ",
    "{# open",
    "{% no_such_statement %}",
    "{{ (1, }}",
    "{{ word | }}",
    "{{ 3() }}",
    "{{ namespace_x(1) }}",
    "{% set word.x = 1 %}",
]


def raise_exception(message):
    raise TemplateError(message)


def main() -> None:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    cases = []
    for text in TEMPLATES:
        try:
            cases.append({"template": text, "rendered": environment.from_string(text).render(**VARIABLES)})
        except TemplateError as error:
            cases.append({"template": text, "error": "raised" if type(error) is TemplateError else "failed"})
        except Exception:
            cases.append({"template": text, "error": "failed"})
    print(json.dumps({"variables": VARIABLES, "cases": cases}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
