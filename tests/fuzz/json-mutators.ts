/** Makes hostile JSON from good JSON: values of the tree are replaced, dropped, doubled, moved and wrapped. */
import type { Choice } from './random-choice.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const NUMBERS = [
  0,
  -0,
  1,
  -1,
  0.5,
  2,
  31,
  33,
  64,
  255,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1e21,
  1e308,
  -1e308,
];
const STRINGS = [
  ...[
    '',
    ' ',
    'f32',
    'uint32',
    'q4_0',
    '../escape',
    '/absolute',
    'a/b',
    '.',
    '\0',
    '\ud800',
    '\u00011\u0002',
  ],
  ...[
    'constructor',
    '__proto__',
    'toString',
    'https://',
    'http://[',
    'javascript:alert(1)',
    'file:///etc/passwd',
  ],
  ...['hf:', 'hf:a/b', 'hf:a/../../b', 'x'.repeat(100_000)],
];
const KEYS = [
  '',
  '__proto__',
  'constructor',
  'length',
  'toString',
  'hasOwnProperty',
  '0',
  '\ud800',
  'k'.repeat(10_000),
];

/** What JSON.parse reads, and what functions that call themselves do not survive. */
function deep(choice: Choice): Json {
  const depth = choice.of([3, 1000, 20_000]);
  const [open, close] = choice.of([
    ['[', ']'],
    ['{"a":', '}'],
  ]) as [string, string];
  return JSON.parse(`${open.repeat(depth)}1${close.repeat(depth)}`) as Json;
}

function randomValue(choice: Choice): Json {
  switch (choice.below(8)) {
    case 0:
      return null;
    case 1:
      return choice.oneIn(2);
    case 2:
      return choice.of(STRINGS);
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return [choice.of(NUMBERS), choice.of(STRINGS)];
    default:
      return choice.of(NUMBERS);
  }
}

/** A place in the tree: `set(undefined)` removes what is there. */
interface Place {
  value: Json;
  set(value: Json | undefined): void;
}

function childrenOf(value: Json): Place[] {
  if (Array.isArray(value)) {
    return value.map((item, index) => ({
      value: item,
      set(next) {
        if (next === undefined) value.splice(index, 1);
        else value[index] = next;
      },
    }));
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).map(([key, item]) => ({
    value: item,
    set(next) {
      if (next === undefined) delete value[key];
      else define(value, key, next);
    },
  }));
}

/** Also where the key is `__proto__`, as JSON.parse does it. */
function define(object: { [key: string]: Json }, key: string, value: Json): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

/** A place found by walking down at random: near the root as often as far from it. */
function randomPlace(root: Place, choice: Choice): Place {
  let place = root;
  for (;;) {
    const children = childrenOf(place.value);
    if (children.length === 0 || (place !== root && choice.oneIn(4))) return place;
    place = choice.of(children);
  }
}

/** A changed copy of `seed`; `others` are taken apart for spare parts. */
export function mutateJson(seed: Json, others: readonly Json[], choice: Choice): Json {
  let copy = structuredClone(seed);
  const root: Place = {
    get value() {
      return copy;
    },
    set(next) {
      copy = next ?? null;
    },
  };
  for (let count = choice.oneIn(4) ? 4 : 1; count > 0; count--) change(root, others, choice);
  // Last, because what changes trees here goes down into them by calls.
  if (choice.oneIn(20)) randomPlace(root, choice).set(deep(choice));
  return copy;
}

function change(root: Place, others: readonly Json[], choice: Choice): void {
  const place = randomPlace(root, choice);
  const { value } = place;
  switch (choice.below(8)) {
    case 0:
      place.set(undefined);
      break;
    case 1:
      place.set(structuredClone(randomPlace(root, choice).value));
      break;
    case 2: {
      const other = choice.of(others);
      place.set(structuredClone(randomPlace({ value: other, set: () => undefined }, choice).value));
      break;
    }
    case 3:
      if (Array.isArray(value)) value.push(...structuredClone(value));
      else place.set(choice.oneIn(2) ? [value] : { a: value });
      break;
    case 4:
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        define(value, choice.of(KEYS), randomValue(choice));
      } else place.set(randomValue(choice));
      break;
    case 5:
      if (typeof value === 'number')
        place.set(choice.of([value + 1, value - 1, -value, value * 2, value + 0.5]));
      else if (typeof value === 'string') place.set(value.slice(0, choice.below(value.length + 1)));
      else place.set(randomValue(choice));
      break;
    default:
      place.set(randomValue(choice));
  }
}

/** The text of `value` with a few characters changed, dropped or doubled, or cut off. */
export function mutateText(value: Json, choice: Choice): string {
  let text = JSON.stringify(value);
  for (let count = 1 + choice.below(3); count > 0; count--) {
    const at = choice.below(text.length + 1);
    const end = Math.min(text.length, at + choice.below(20));
    text =
      text.slice(0, at) +
      choice.of(['', text.slice(at, end).repeat(2), '"', '\\', '{', ']', ',', ':', '\ufeff', '9', 'null']) +
      text.slice(choice.oneIn(8) ? text.length : end);
  }
  return text;
}
