/** What the fake engine says. */
import type { ChatMessage } from './api.ts';

const answers: readonly string[] = [
  `The **tramontane** is a cold, dry wind from the north. It is born when air piles up behind the Pyrenees and the Massif Central, then pours through the gap between them toward the sea.

Three things to know:

1. It often blows for *three, six or nine days*, or so people say in Roussillon.
2. It sweeps the sky clean: bright light, deep blue, long views.
3. Gusts over 100 km/h are not rare in winter.

> "Vent du nord, ciel d'azur."

It is a cousin of the mistral, which follows the valley of the Rhône.`,
  `Here is a small function that groups the items of a list by a key:

\`\`\`ts
export function groupBy<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
\`\`\`

How it compares:

| Approach | Order kept | Keys of any type |
| :-- | :-: | :-: |
| \`Map\` as above | yes | yes |
| Plain object | partly | no |
| \`Object.groupBy\` | partly | no |

Each item is looked at **once**, so it takes linear time. The [MDN page on Map](https://developer.mozilla.org/docs/Web/JavaScript/Reference/Global_Objects/Map) tells more about key equality.`,
  `## A quiet weekend plan

- **Saturday**
  - Morning: walk along the coast, with the wind at your back
  - Afternoon: a book and a pot of tea
- **Sunday**
  - Market, then a slow lunch
  - Nothing at all after three o'clock

Shall I make it more adventurous?`,
];

const paragraph =
  'The wind came down from the hills before dawn and found every gap in the shutters. By noon the sky was so clear that the far ridge looked close enough to touch, and the sea had turned the colour of slate. ';

/**
 * An answer: the text after `echo `; about N tokens of prose for `long N`; otherwise a piece chosen by what the
 * question is about, or by the seed.
 */
export function fakeAnswer(messages: readonly ChatMessage[], seed: number): string {
  const question = messages.findLast((message) => message.role === 'user')?.content ?? '';
  if (question.startsWith('echo ')) return question.slice('echo '.length);
  const long = /^long (\d+)$/.exec(question);
  if (long) return longAnswer(Number(long[1]));
  if (/code|function|table/i.test(question)) return answers[1]!;
  if (/wind|tramontane/i.test(question)) return answers[0]!;
  if (/plan|weekend/i.test(question)) return answers[2]!;
  return answers[Math.abs(Math.trunc(seed)) % answers.length]!;
}

/** Prose, lists and code in turn, cut to a number of tokens. */
function longAnswer(count: number): string {
  const section = (index: number) =>
    [
      `### Part ${index + 1}`,
      paragraph.repeat(3).trim(),
      `- first of part ${index + 1}\n- **second**, with \`code\`\n- third`,
      `\`\`\`js\nfor (let i = 0; i < ${index + 10}; i += 1) {\n  console.log('gust', i);\n}\n\`\`\``,
      '',
    ].join('\n\n');
  let text = '';
  for (let index = 0; splitTokens(text).length < count; index += 1) text += section(index);
  return splitTokens(text).slice(0, count).join('');
}

/** Cuts text into pieces about as long as tokens; joined, they are the text. */
export function splitTokens(text: string): string[] {
  return text.match(/\s?[^\s]{1,5}|\s/gu) ?? [];
}

/** A value of the given schema, simple-minded; or, on demand, one that does not fit. */
export function fakeJson(schema: Record<string, unknown>, kind: 'valid' | 'invalid'): string {
  const value = sample(schema);
  if (kind === 'invalid') {
    return JSON.stringify({ unexpected: true, instead_of: value }, null, 2);
  }
  return JSON.stringify(value, null, 2);
}

function sample(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return null;
  const {
    const: constant,
    enum: choices,
    type,
    properties,
    items,
    anyOf,
    oneOf,
  } = schema as Record<string, unknown>;
  if (constant !== undefined) return constant;
  if (Array.isArray(choices)) return choices[0];
  const alternatives = anyOf ?? oneOf;
  if (Array.isArray(alternatives)) return sample(alternatives[0]);
  const limits = schema as { minItems?: number; minimum?: number; minLength?: number; format?: string };
  switch (Array.isArray(type) ? type[0] : type) {
    case 'object':
      return Object.fromEntries(
        Object.entries((properties ?? {}) as Record<string, unknown>).map(([key, value]) => [
          key,
          sample(value),
        ]),
      );
    case 'array':
      return Array.from({ length: Math.max(limits.minItems ?? 2, 1) }, () => sample(items));
    case 'integer':
    case 'number':
      return Math.max(limits.minimum ?? 1, 42);
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return limits.format === 'date' ? '2026-03-21' : 'north wind'.padEnd(limits.minLength ?? 0, '.');
  }
}
