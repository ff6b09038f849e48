/** Values of Jinja expressions, in terms that hostile templates can do no harm with: no objects, no prototypes. */

import { JinjaError } from './jinja-error.ts';

export type Callable = (positional: readonly Value[], named: ReadonlyMap<string, Value>) => Value;

/** `undefined` is Jinja's Undefined, `null` its `none`. */
export type Value =
  | undefined
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | ReadonlyMap<string, Value>
  | Namespace
  | Callable;

/** What `namespace(…)` makes: the one thing that statements may change from within a loop. */
export class Namespace {
  readonly fields: Map<string, Value>;

  constructor(fields: ReadonlyMap<string, Value>) {
    this.fields = new Map(fields);
  }
}

/** Characters that count as one step. */
const STEP_CHARACTERS = 4;

/** Counts the work that a template does, by characters and items as well as by steps, and ends it at a limit. */
export class Budget {
  #left: number;

  constructor(limit: number) {
    this.#left = limit;
  }

  spend(amount: number): void {
    this.#left -= amount;
    // Also where `amount` was no number.
    if (!(this.#left >= 0)) throw new JinjaError('it does not come to an end');
  }

  /** For work on so many characters. */
  spendOnText(length: number): void {
    this.spend(1 + length / STEP_CHARACTERS);
  }

  /** For looking for one text in another: at worst, each place is compared as a whole. */
  spendOnSearch(text: string, pattern: string): void {
    this.spend(1 + (text.length * pattern.length) / 4096);
  }

  /** For work on a text or a list. */
  spendOn(value: Value): void {
    if (typeof value === 'string') this.spendOnText(value.length);
    else if (isList(value)) this.spend(1 + value.length);
    else if (isDict(value)) this.spend(1 + value.size);
  }
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isDict(value: Value): value is ReadonlyMap<string, Value> {
  return value instanceof Map;
}

export function isTrue(value: Value): boolean {
  if (isList(value)) return value.length > 0;
  if (isDict(value)) return value.size > 0;
  return Boolean(value);
}

/** As Python's `str` writes it. */
export function toText(value: Value): string {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
      return String(value);
    case 'boolean':
      return value ? 'True' : 'False';
    case 'undefined':
      return '';
    default:
      if (value === null) return 'None';
      throw new JinjaError('a list, a dictionary or a function stands where a text should');
  }
}

/** Of lists and dictionaries within each other: what goes through them takes the stack. */
const MAX_VALUE_DEPTH = 100;

function checkDepth(depth: number): void {
  if (depth > MAX_VALUE_DEPTH) throw new JinjaError('a value is nested too deeply');
}

/** As Python's `json.dumps` writes it. */
export function toJson(value: Value, budget: Budget, depth = 0): string {
  checkDepth(depth);
  budget.spendOn(value);
  if (isList(value)) return `[${value.map((item) => toJson(item, budget, depth + 1)).join(', ')}]`;
  if (isDict(value)) {
    const entries = [...value].map(
      ([key, item]) => `${JSON.stringify(key)}: ${toJson(item, budget, depth + 1)}`,
    );
    return `{${entries.join(', ')}}`;
  }
  if (value === undefined || typeof value === 'function' || value instanceof Namespace) {
    throw new JinjaError('tojson is given what has no JSON');
  }
  return JSON.stringify(value);
}

export function areEqual(left: Value, right: Value, budget: Budget, depth = 0): boolean {
  checkDepth(depth);
  budget.spend(1);
  if (typeof left === 'string' && typeof right === 'string') {
    if (left.length !== right.length) return false;
    budget.spendOn(left);
    return left === right;
  }
  const areItemsEqual = (a: Value, b: Value) => areEqual(a, b, budget, depth + 1);
  if (isList(left) && isList(right)) {
    return left.length === right.length && left.every((item, i) => areItemsEqual(item, right[i]));
  }
  if (isDict(left) && isDict(right)) {
    return (
      left.size === right.size &&
      [...left].every(([key, item]) => right.has(key) && areItemsEqual(item, right.get(key)))
    );
  }
  return left === right;
}

/** What a `for` goes through, and what `list` makes. */
export function toItems(value: Value): readonly Value[] {
  if (isList(value)) return value;
  if (isDict(value)) return [...value.keys()];
  if (typeof value === 'string') return [...value];
  if (value === undefined) return [];
  throw new JinjaError('what is no list cannot be gone through');
}
