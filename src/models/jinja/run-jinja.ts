/**
 * Runs chat templates, to find out what they write: the part of Jinja that they use, on values that cannot reach
 * anything, with a limit on the work. What is not known here is refused, never guessed.
 */

import { JinjaError, JinjaRefusal } from './jinja-error.ts';
import { attributeOf, contains, type Given, methodOf, runFilter, runTest } from './jinja-library.ts';
import type { Argument, Expression, Parameter, Statement } from './jinja-parser.ts';
import {
  areEqual,
  Budget,
  type Callable,
  isList,
  isTrue,
  Namespace,
  toItems,
  toText,
  type Value,
} from './jinja-values.ts';

/** Far more than any template in use needs for a short conversation; reached in well under a second. */
const MAX_WORK = 1_000_000;
const MAX_CALL_DEPTH = 50;
/** A turn of a loop makes a scope, and what `loop` tells. */
const TURN_WORK = 10;
/** Of expressions and statements within each other, calls included: the stack is short in a worker. */
const MAX_DEPTH = 1000;

/** Names by frame: of the template, of a loop's turn, of a macro's call. Statements write to the innermost. */
class Scope {
  readonly #names = new Map<string, Value>();
  readonly #outer: Scope | null;

  constructor(outer: Scope | null, names: Iterable<[string, Value]> = []) {
    this.#outer = outer;
    for (const [name, value] of names) this.#names.set(name, value);
  }

  get(name: string): Value {
    return this.#names.has(name) ? this.#names.get(name) : this.#outer?.get(name);
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value);
  }
}

class Run {
  readonly budget = new Budget(MAX_WORK);
  readonly globals: Scope;
  #callDepth = 0;
  /** Of what is being evaluated and run. A failure ends the whole, so that nobody has to count back then. */
  #depth = 0;

  constructor(globals: Iterable<[string, Value]>) {
    this.globals = new Scope(null, [
      ['namespace', (_, named) => new Namespace(named)],
      ['range', (given) => this.#range(given)],
      [
        'raise_exception',
        ([message]) => {
          throw new JinjaRefusal(toText(message));
        },
      ],
      ...globals,
    ]);
  }

  #range(given: readonly Value[]): Value {
    const [start, end] = given.length === 1 ? [0, given[0]] : given;
    if (typeof start !== 'number' || typeof end !== 'number' || given.length > 2) {
      throw new JinjaError('range needs one or two numbers');
    }
    const length = Math.max(0, end - start);
    this.budget.spend(length);
    return Array.from({ length }, (_, i) => start + i);
  }

  render(statements: readonly Statement[], scope: Scope): string {
    const pieces: string[] = [];
    this.#run(statements, scope, pieces);
    return pieces.join('');
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) throw new JinjaError('it is nested too deeply');
  }

  #run(statements: readonly Statement[], scope: Scope, output: string[]): void {
    this.#enter();
    for (const statement of statements) {
      this.budget.spend(1);
      switch (statement.type) {
        case 'text':
          this.budget.spendOn(statement.text);
          output.push(statement.text);
          break;
        case 'output': {
          const text = toText(this.#evaluate(statement.value, scope));
          this.budget.spendOn(text);
          output.push(text);
          break;
        }
        case 'if': {
          const taken = statement.branches.find(({ condition }) => isTrue(this.#evaluate(condition, scope)));
          this.#run(taken?.body ?? statement.otherwise, scope, output);
          break;
        }
        case 'for':
          this.#runFor(statement, scope, output);
          break;
        case 'set':
          this.#set(statement, scope);
          break;
        case 'capture':
          scope.set(statement.name, this.render(statement.body, new Scope(scope)));
          break;
        case 'macro':
          scope.set(statement.name, this.#macro(statement.parameters, statement.body, scope));
          break;
        default:
          statement satisfies never;
      }
    }
    this.#depth--;
  }

  #set({ name, attribute, value }: Statement & { type: 'set' }, scope: Scope): void {
    const result = this.#evaluate(value, scope);
    if (attribute === null) {
      scope.set(name, result);
      return;
    }
    const target = scope.get(name);
    if (!(target instanceof Namespace)) throw new JinjaError(`"${name}" is no namespace`);
    target.fields.set(attribute, result);
  }

  #runFor(statement: Statement & { type: 'for' }, scope: Scope, output: string[]): void {
    const { targets, condition } = statement;
    const bind = (item: Value): [string, Value][] => {
      if (targets.length === 1) return [[targets[0]!, item]];
      const parts = toItems(item);
      if (parts.length !== targets.length)
        throw new JinjaError('a "for" has more names than values, or fewer');
      return targets.map((target, i) => [target, parts[i]]);
    };
    const list = this.#evaluate(statement.list, scope);
    this.budget.spendOn(list);
    const all = toItems(list);
    const items =
      condition === null
        ? all
        : all.filter((item) => isTrue(this.#evaluate(condition, new Scope(scope, bind(item)))));
    for (const [index, item] of items.entries()) {
      this.budget.spend(TURN_WORK);
      const loop = new Map<string, Value>([
        ['index', index + 1],
        ['index0', index],
        ['first', index === 0],
        ['last', index === items.length - 1],
        ['length', items.length],
        ['revindex', items.length - index],
        ['revindex0', items.length - index - 1],
        ['previtem', items[index - 1]],
        ['nextitem', items[index + 1]],
      ]);
      this.#run(statement.body, new Scope(scope, [...bind(item), ['loop', loop]]), output);
    }
    if (items.length === 0) this.#run(statement.otherwise, scope, output);
  }

  #macro(parameters: readonly Parameter[], body: readonly Statement[], scope: Scope): Callable {
    return (positional, named) => {
      const inner = new Scope(scope);
      for (const [i, { name, fallback }] of parameters.entries()) {
        let value = i < positional.length ? positional[i] : named.get(name);
        if (value === undefined && fallback !== null) value = this.#evaluate(fallback, scope);
        inner.set(name, value);
      }
      return this.render(body, inner);
    };
  }

  #evaluate(expression: Expression, scope: Scope): Value {
    this.budget.spend(1);
    this.#enter();
    const value = this.#compute(expression, scope);
    this.#depth--;
    return value;
  }

  #compute(expression: Expression, scope: Scope): Value {
    switch (expression.type) {
      case 'literal':
        return expression.value;
      case 'name':
        return scope.get(expression.name);
      case 'list':
        return expression.items.map((item) => this.#evaluate(item, scope));
      case 'dict':
        return new Map(
          expression.entries.map(([key, value]): [string, Value] => [
            toText(this.#evaluate(key, scope)),
            this.#evaluate(value, scope),
          ]),
        );
      case 'attribute':
        return this.#attribute(this.#evaluate(expression.object, scope), expression.name);
      case 'item':
        return this.#item(this.#evaluate(expression.object, scope), this.#evaluate(expression.key, scope));
      case 'slice':
        return this.#slice(expression, scope);
      case 'call':
        return this.#call(expression, scope);
      case 'filter': {
        const value = this.#evaluate(expression.object, scope);
        return runFilter(expression.name, value, this.#given(expression.arguments, scope), this.budget);
      }
      case 'test': {
        const value = this.#evaluate(expression.object, scope);
        const given = expression.arguments.map((argument) => this.#evaluate(argument, scope));
        return runTest(expression.name, value, given, this.budget);
      }
      case 'not':
        return !isTrue(this.#evaluate(expression.value, scope));
      case 'negative':
        return -requireNumber(this.#evaluate(expression.value, scope));
      case 'binary':
        return this.#binary(expression, scope);
      case 'choice': {
        if (isTrue(this.#evaluate(expression.condition, scope)))
          return this.#evaluate(expression.whenTrue, scope);
        return expression.whenFalse === null ? undefined : this.#evaluate(expression.whenFalse, scope);
      }
      default:
        expression satisfies never;
    }
  }

  #given(list: readonly Argument[], scope: Scope): Given {
    const positional: Value[] = [];
    const named = new Map<string, Value>();
    for (const { name, value } of list) {
      const result = this.#evaluate(value, scope);
      if (name === null) positional.push(result);
      else named.set(name, result);
    }
    return { positional, named };
  }

  #call({ callee, arguments: list }: Expression & { type: 'call' }, scope: Scope): Value {
    const called = this.#evaluate(callee, scope);
    if (typeof called !== 'function') throw new JinjaError('what is no function is called');
    const { positional, named } = this.#given(list, scope);
    if (++this.#callDepth > MAX_CALL_DEPTH) throw new JinjaError('calls are nested too deeply');
    const result = called(positional, named);
    this.#callDepth--;
    return result;
  }

  #attribute(object: Value, name: string): Value {
    if (object === undefined) throw new JinjaError(`"${name}" of something undefined`);
    return methodOf(object, name, this.budget) ?? attributeOf(object, name);
  }

  #item(object: Value, key: Value): Value {
    if (object === undefined) throw new JinjaError('an item of something undefined');
    if (typeof key === 'number' && (isList(object) || typeof object === 'string')) return object.at(key);
    return typeof key === 'string' ? attributeOf(object, key) : undefined;
  }

  #slice({ object, start, end }: Expression & { type: 'slice' }, scope: Scope): Value {
    const value = this.#evaluate(object, scope);
    if (!isList(value) && typeof value !== 'string') throw new JinjaError('only texts and lists have parts');
    this.budget.spendOn(value);
    const bound = (at: Expression | null) =>
      at === null ? undefined : requireNumber(this.#evaluate(at, scope));
    return value.slice(bound(start), bound(end));
  }

  #binary({ operator, left, right }: Expression & { type: 'binary' }, scope: Scope): Value {
    const a = this.#evaluate(left, scope);
    if (operator === 'and') return isTrue(a) ? this.#evaluate(right, scope) : a;
    if (operator === 'or') return isTrue(a) ? a : this.#evaluate(right, scope);
    const b = this.#evaluate(right, scope);
    switch (operator) {
      case '==':
        return areEqual(a, b, this.budget);
      case '!=':
        return !areEqual(a, b, this.budget);
      case 'in':
        return contains(b, a, this.budget);
      case '~':
        return this.#concatenate(toText(a), toText(b));
      case '+':
        if (typeof a === 'string' && typeof b === 'string') return this.#concatenate(a, b);
        if (isList(a) && isList(b)) {
          this.budget.spend(a.length + b.length);
          return [...a, ...b];
        }
        return requireNumber(a) + requireNumber(b);
      default:
        return calculate(operator, requireNumber(a), requireNumber(b));
    }
  }

  #concatenate(a: string, b: string): string {
    this.budget.spendOnText(a.length + b.length);
    return a + b;
  }
}

function requireNumber(value: Value): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  throw new JinjaError('a number was expected');
}

function calculate(operator: string, a: number, b: number): Value {
  switch (operator) {
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '//':
      return Math.floor(a / b);
    case '%':
      return a - b * Math.floor(a / b);
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '<=':
      return a <= b;
    case '>=':
      return a >= b;
    default:
      throw new JinjaError(`the operator "${operator}" is not known here`);
  }
}

/** Plain data as Jinja's values. */
function toValue(data: unknown): Value {
  if (Array.isArray(data)) return data.map(toValue);
  if (typeof data === 'object' && data !== null) {
    return new Map(Object.entries(data).map(([key, value]) => [key, toValue(value)]));
  }
  if (['string', 'number', 'boolean', 'function', 'undefined'].includes(typeof data) || data === null) {
    return data as Value;
  }
  throw new TypeError('no value for a template');
}

/**
 * What a template writes with these variables.
 * @throws JinjaRefusal where the template itself refuses them, JinjaError for what is not known here or does not end
 */
export function runJinja(statements: readonly Statement[], variables: Record<string, unknown>): string {
  const run = new Run(Object.entries(variables).map(([name, value]) => [name, toValue(value)]));
  return run.render(statements, new Scope(run.globals));
}
