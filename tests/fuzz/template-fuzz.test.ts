/** Hostile chat templates: texts that an import runs, on conversations of its own, to learn what they write. */
import { expect, test } from 'vitest';
import { isTramontaneError } from '../../src/base/errors.ts';
import { recogniseTemplate } from '../../src/models/recognise-template.ts';
import { MISTRAL_V11_JINJA } from '../tools/tiny-mistral.ts';
import { controlSurfaces } from '../tools/tiny-mistral-vocabulary.ts';
import { readFixture } from '../tools/tokenizer-fixtures.ts';
import { type Choice, createChoice } from './random-choice.ts';

const SEED = 733;
const INPUTS = process.env.TRAMONTANE_FULL === undefined ? 300 : 20_000;

const { cases } = readFixture<{ cases: { template: string }[] }>('jinja-goldens.json');
const templates = [...Array(40).fill(MISTRAL_V11_JINJA), ...cases.map(({ template }) => template)];

/** Where a text is cut: whole tags, names, numbers, strings and single characters. */
const PARTS = /\{[{%#].*?[}%#]\}|\w+|'[^']*'|\s+|./gs;
/** What makes work or depth, or what is no number. */
const BAITS = [
  '{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}',
  ...['{% for a in range(99999) %}', '{% endfor %}', '{{ m() }}', '{% macro m() %}', '{% endmacro %}'],
  ...['{% set ns = namespace(x=[1]) %}', '{% set ns.x = ns.x + ns.x %}', '{% set ns.x = [ns.x, ns.x] %}'],
  '{% for a in range(20000) %}{% set ns.x = [ns.x] %}{% endfor %}',
  ...['{% set t = "aaaaaaaa" %}', '{% set t = t ~ t %}', '{{ t | replace("a", t) }}', '{{ ns.x | tojson }}'],
  ...['{{ ns.x == [ns.x] }}', '{{ [ns.x] in ns.x }}'],
  ...['0 // 0', '1 // 0', '99999999999999999999', '-1', "''", '[', '(', 'messages', 'loop'],
  ...['strftime_now(ns.x)', ' | sort', ' | join(t)', '.strip(t)', ' in t', '[::2]', '[0:-1]'],
  ...['.__proto__', ' is defined', ' if true'],
];

function mutate(choice: Choice): string {
  const parts = [...(choice.of(templates).match(PARTS) ?? [])];
  for (let count = 1 + choice.below(6); count > 0; count--) {
    const at = choice.below(parts.length + 1);
    const part = choice.oneIn(3)
      ? choice.of(choice.of(templates).match(PARTS) ?? [''])
      : choice.oneIn(2)
        ? choice.of(BAITS)
        : (parts[choice.below(parts.length)] ?? '');
    parts.splice(at, choice.below(2), ...Array<string>(choice.oneIn(10) ? 30 : 1).fill(part));
  }
  return parts.join('');
}

const facts = {
  controlTokens: controlSurfaces(40).map((surface, id) => ({ id, surface })),
  bosId: 1,
  eosId: 2,
  addsSpacePrefix: false,
};

test(`${INPUTS} templates are recognised or refused by name`, () => {
  const kinds = new Map<string, number>();
  for (let index = 0; index < INPUTS; index++) {
    const template = mutate(createChoice(SEED, index));
    let kind: string;
    try {
      kind = recogniseTemplate(template, facts).id;
    } catch (error) {
      if (!isTramontaneError(error) || error.code !== 'template-unsupported') {
        throw new Error(`Input ${index} of seed ${SEED}: ${error}\n${template}`, { cause: error });
      }
      expect(error.data.field).toBe('tokenizer.chat_template');
      expect(error.message.length).toBeLessThan(1000);
      kind = error.message.slice(0, 90).replace(/\d+|".*/g, '');
    }
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  expect(kinds.get('mistral-v11')).toBeGreaterThan(INPUTS / 200);
  expect([...kinds.keys()].some((kind) => kind.includes('does not come'))).toBe(true);
  expect(kinds.size).toBeGreaterThan(15);
}, 1_200_000);
