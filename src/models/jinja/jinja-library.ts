/** Filters, tests and methods of Jinja's and Python's that chat templates use. */

import { JinjaError } from './jinja-error.ts';
import {
  areEqual,
  type Budget,
  type Callable,
  isDict,
  isList,
  isTrue,
  Namespace,
  toItems,
  toJson,
  toText,
  type Value,
} from './jinja-values.ts';

/** Arguments of a filter, by position or name. */
export interface Given {
  positional: readonly Value[];
  named: ReadonlyMap<string, Value>;
}

const argument = ({ positional, named }: Given, at: number, name: string): Value =>
  positional[at] ?? named.get(name);

function requireText(value: Value, what: string): string {
  if (typeof value === 'string') return value;
  throw new JinjaError(`${what} needs a text`);
}

export function attributeOf(value: Value, name: string): Value {
  if (value instanceof Namespace) return value.fields.get(name);
  if (isDict(value)) return value.get(name);
  return undefined;
}

function strip(text: string, characters: Value, sides: 'both' | 'left' | 'right', budget: Budget): string {
  budget.spendOn(characters);
  const set = typeof characters === 'string' ? new Set(characters) : null;
  const isOut = (character: string) => (set === null ? character.trim() === '' : set.has(character));
  let start = 0;
  let end = text.length;
  if (sides !== 'right') while (start < end && isOut(text[start]!)) start++;
  if (sides !== 'left') while (end > start && isOut(text[end - 1]!)) end--;
  return text.slice(start, end);
}

function replaceAll(text: string, from: Value, to: Value, budget: Budget): string {
  const pieces = splitText(text, requireText(from, 'replace'), budget);
  const replacement = requireText(to, 'replace');
  budget.spendOnText((pieces.length - 1) * replacement.length);
  return pieces.join(replacement);
}

function lengthOf(value: Value): number {
  if (typeof value === 'string') return [...value].length;
  if (isList(value)) return value.length;
  if (isDict(value)) return value.size;
  if (value === undefined) return 0;
  throw new JinjaError('length needs a text, a list or a dictionary');
}

/** Items of which an attribute passes a test. */
function select(value: Value, { positional }: Given, wanted: boolean, budget: Budget): Value {
  const [attribute, test, ...rest] = positional;
  const name = requireText(attribute, 'selectattr');
  return toItems(value).filter((item) => {
    const field = attributeOf(item, name);
    const passes =
      test === undefined ? isTrue(field) : runTest(requireText(test, 'selectattr'), field, rest, budget);
    return passes === wanted;
  });
}

function compare(left: Value, right: Value, budget: Budget): number {
  budget.spend(1);
  if (typeof left === 'string' && typeof right === 'string') {
    budget.spendOnText(Math.min(left.length, right.length));
    return left < right ? -1 : left > right ? 1 : 0;
  }
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  throw new JinjaError('only texts or only numbers have an order');
}

/** As Python's `int` of a text, decimals cut off. */
function toInteger(value: Value, fallback: Value): Value {
  if (typeof value === 'number') return Math.trunc(value);
  const text = typeof value === 'string' ? value.trim() : '';
  return /^[-+]?\d+(?:\.\d+)?$/.test(text) ? Math.trunc(Number(text)) : fallback;
}

type Filter = (value: Value, given: Given, budget: Budget) => Value;

const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ['length', lengthOf],
  ['count', lengthOf],
  ['list', (value) => [...toItems(value)]],
  ['string', toText],
  ['safe', toText],
  ['trim', (value, given, budget) => strip(toText(value), argument(given, 0, 'chars'), 'both', budget)],
  ['lower', (value) => toText(value).toLowerCase()],
  ['upper', (value) => toText(value).toUpperCase()],
  ['first', (value) => toItems(value)[0]],
  ['last', (value) => toItems(value).at(-1)],
  ['int', (value, given) => toInteger(value, argument(given, 0, 'default') ?? 0)],
  [
    'default',
    (value, given) => {
      const isAbsent = value === undefined || (isTrue(argument(given, 1, 'boolean')) && !isTrue(value));
      return isAbsent ? (argument(given, 0, 'default_value') ?? '') : value;
    },
  ],
  [
    'join',
    (value, given, budget) => {
      const between = argument(given, 0, 'd');
      const separator = between === undefined ? '' : toText(between);
      const texts = toItems(value).map(toText);
      budget.spendOnText(texts.reduce((sum, text) => sum + text.length + separator.length, 0));
      return texts.join(separator);
    },
  ],
  [
    'replace',
    (value, { positional }, budget) => replaceAll(toText(value), positional[0], positional[1], budget),
  ],
  ['tojson', (value, _, budget) => toJson(value, budget)],
  [
    'items',
    (value) => {
      if (!isDict(value)) throw new JinjaError('items needs a dictionary');
      return [...value].map(([key, item]) => [key, item]);
    },
  ],
  ['selectattr', (value, given, budget) => select(value, given, true, budget)],
  ['rejectattr', (value, given, budget) => select(value, given, false, budget)],
  [
    'map',
    (value, { named }) => {
      const name = requireText(named.get('attribute'), 'map');
      return toItems(value).map((item) => attributeOf(item, name));
    },
  ],
  [
    'sort',
    (value, { named }, budget) => {
      const attribute = named.get('attribute');
      const keyOf = (item: Value) => (typeof attribute === 'string' ? attributeOf(item, attribute) : item);
      return [...toItems(value)].sort((a, b) => compare(keyOf(a), keyOf(b), budget));
    },
  ],
]);

export function runFilter(name: string, value: Value, given: Given, budget: Budget): Value {
  const filter = FILTERS.get(name);
  if (filter === undefined) throw new JinjaError(`the filter "${name}" is not known here`);
  budget.spendOn(value);
  const result = filter(value, given, budget);
  budget.spendOn(result);
  return result;
}

type Test = (value: Value, given: readonly Value[], budget: Budget) => boolean;

const isText: Test = (value) => typeof value === 'string';
const isSequence: Test = (value) => typeof value === 'string' || isList(value) || isDict(value);
const isSame: Test = (value, [other], budget) => areEqual(value, other, budget);

const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['defined', (value) => value !== undefined],
  ['undefined', (value) => value === undefined],
  ['none', (value) => value === null],
  ['string', isText],
  ['mapping', isDict],
  ['sequence', isSequence],
  ['iterable', isSequence],
  ['number', (value) => typeof value === 'number'],
  ['integer', (value) => Number.isInteger(value)],
  ['boolean', (value) => typeof value === 'boolean'],
  ['true', (value) => value === true],
  ['false', (value) => value === false],
  ['equalto', isSame],
  ['eq', isSame],
  ['sameas', isSame],
  ['==', isSame],
  ['ne', (value, given, budget) => !isSame(value, given, budget)],
  ['in', (value, [list], budget) => contains(list, value, budget)],
]);

export function runTest(name: string, value: Value, given: readonly Value[], budget: Budget): boolean {
  const test = TESTS.get(name);
  if (test === undefined) throw new JinjaError(`the test "${name}" is not known here`);
  return test(value, given, budget);
}

/** `value in list`. */
export function contains(list: Value, value: Value, budget: Budget): boolean {
  budget.spendOn(list);
  if (typeof list === 'string') {
    if (typeof value !== 'string') return false;
    budget.spendOnSearch(list, value);
    return list.includes(value);
  }
  if (isList(list)) return list.some((item) => areEqual(item, value, budget));
  if (isDict(list)) return typeof value === 'string' && list.has(value);
  throw new JinjaError('"in" needs a text, a list or a dictionary');
}

function splitText(text: string, separator: string, budget: Budget): string[] {
  if (separator === '') throw new JinjaError('what texts are cut at must not be empty');
  budget.spendOnSearch(text, separator);
  return text.split(separator);
}

function splitWords(text: string): Value {
  return text.split(/\s+/).filter((word) => word !== '');
}

type Method<T> = (self: T, given: readonly Value[], budget: Budget) => Value;

const TEXT_METHODS: ReadonlyMap<string, Method<string>> = new Map<string, Method<string>>([
  ['strip', (text, [characters], budget) => strip(text, characters, 'both', budget)],
  ['lstrip', (text, [characters], budget) => strip(text, characters, 'left', budget)],
  ['rstrip', (text, [characters], budget) => strip(text, characters, 'right', budget)],
  ['lower', (text) => text.toLowerCase()],
  ['upper', (text) => text.toUpperCase()],
  ['startswith', (text, [start]) => text.startsWith(requireText(start, 'startswith'))],
  ['endswith', (text, [end]) => text.endsWith(requireText(end, 'endswith'))],
  ['replace', (text, [from, to], budget) => replaceAll(text, from, to, budget)],
  [
    'split',
    (text, [separator], budget) =>
      separator === undefined || separator === null
        ? splitWords(text)
        : splitText(text, requireText(separator, 'split'), budget),
  ],
]);

const DICT_METHODS: ReadonlyMap<string, Method<ReadonlyMap<string, Value>>> = new Map<
  string,
  Method<ReadonlyMap<string, Value>>
>([
  ['get', (dict, [key, fallback]) => dict.get(requireText(key, 'get')) ?? fallback ?? null],
  ['keys', (dict) => [...dict.keys()]],
  ['values', (dict) => [...dict.values()]],
  ['items', (dict) => [...dict].map(([key, item]) => [key, item])],
]);

/** @returns null where the value has no such method */
export function methodOf(value: Value, name: string, budget: Budget): Callable | null {
  const bind = <T extends Value>(self: T, method: Method<T> | undefined): Callable | null =>
    method === undefined
      ? null
      : (positional) => {
          budget.spendOn(self);
          const result = method(self, positional, budget);
          budget.spendOn(result);
          return result;
        };
  if (typeof value === 'string') return bind(value, TEXT_METHODS.get(name));
  if (isDict(value)) return bind(value, DICT_METHODS.get(name));
  return null;
}
