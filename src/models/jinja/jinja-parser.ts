/** From the segments of a Jinja text to a tree. The part of the language that chat templates use. */

import { JinjaError } from './jinja-error.ts';
import { readSegments, type Segment, type Token } from './jinja-lexer.ts';

export interface Argument {
  /** Null for a positional one. */
  name: string | null;
  value: Expression;
}

export type Expression =
  | { type: 'literal'; value: string | number | boolean | null }
  | { type: 'name'; name: string }
  | { type: 'list'; items: Expression[] }
  | { type: 'dict'; entries: [Expression, Expression][] }
  | { type: 'attribute'; object: Expression; name: string }
  | { type: 'item'; object: Expression; key: Expression }
  | { type: 'slice'; object: Expression; start: Expression | null; end: Expression | null }
  | { type: 'call'; callee: Expression; arguments: Argument[] }
  | { type: 'filter'; object: Expression; name: string; arguments: Argument[] }
  | { type: 'test'; object: Expression; name: string; arguments: Expression[] }
  | { type: 'not'; value: Expression }
  | { type: 'negative'; value: Expression }
  | { type: 'binary'; operator: string; left: Expression; right: Expression }
  | { type: 'choice'; condition: Expression; whenTrue: Expression; whenFalse: Expression | null };

export interface Parameter {
  name: string;
  fallback: Expression | null;
}

export type Statement =
  | { type: 'text'; text: string }
  | { type: 'output'; value: Expression }
  | { type: 'if'; branches: { condition: Expression; body: Statement[] }[]; otherwise: Statement[] }
  | {
      type: 'for';
      targets: string[];
      list: Expression;
      condition: Expression | null;
      body: Statement[];
      otherwise: Statement[];
    }
  | { type: 'set'; name: string; attribute: string | null; value: Expression }
  | { type: 'capture'; name: string; body: Statement[] }
  | { type: 'macro'; name: string; parameters: Parameter[]; body: Statement[] };

/** Deeper nesting is in no template, and would exhaust the stack. */
const MAX_DEPTH = 100;

const COMPARISONS = new Set(['==', '!=', '<', '>', '<=', '>=']);
const CONSTANTS = new Map<string, boolean | null>([
  ...(['true', 'True'] as const).map((name): [string, boolean] => [name, true]),
  ...(['false', 'False'] as const).map((name): [string, boolean] => [name, false]),
  ...(['none', 'None'] as const).map((name): [string, null] => [name, null]),
]);

/** The tokens of one tag. */
class TokenReader {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get isDone(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#at + ahead];
    return token !== undefined && token.type !== 'string' && token.text === text;
  }

  take(text: string): boolean {
    const found = this.peek(text);
    if (found) this.#at++;
    return found;
  }

  expect(text: string): void {
    if (!this.take(text)) throw new JinjaError(`"${text}" was expected, found ${this.#shown()}`);
  }

  name(): string {
    const token = this.#tokens[this.#at];
    if (token?.type !== 'name') throw new JinjaError(`a name was expected, found ${this.#shown()}`);
    this.#at++;
    return token.text;
  }

  end(): void {
    if (!this.isDone) throw new JinjaError(`${this.#shown()} was not expected`);
  }

  #shown(): string {
    const token = this.#tokens[this.#at];
    return token === undefined ? 'the end of the tag' : JSON.stringify(token.text.slice(0, 40));
  }

  expression(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new JinjaError('an expression is nested too deeply');
    let value = this.#or();
    while (this.take('if')) {
      const condition = this.#or();
      value = {
        type: 'choice',
        condition,
        whenTrue: value,
        whenFalse: this.take('else') ? this.expression() : null,
      };
    }
    this.#depth--;
    return value;
  }

  /** The list of a `for`, whose own `if` is not part of it. */
  listExpression(): Expression {
    return this.#or();
  }

  #or(): Expression {
    let left = this.#and();
    while (this.take('or')) left = { type: 'binary', operator: 'or', left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.take('and')) left = { type: 'binary', operator: 'and', left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    let count = 0;
    while (this.take('not')) count++;
    let value = this.#comparison();
    for (; count > 0; count--) value = { type: 'not', value };
    return value;
  }

  #comparison(): Expression {
    let left = this.#sum();
    for (;;) {
      const operator = this.#tokens[this.#at]?.text ?? '';
      if (COMPARISONS.has(operator) && this.take(operator)) {
        left = { type: 'binary', operator, left, right: this.#sum() };
      } else if (this.take('in')) {
        left = { type: 'binary', operator: 'in', left, right: this.#sum() };
      } else if (this.peek('not') && this.peek('in', 1)) {
        this.#at += 2;
        left = { type: 'not', value: { type: 'binary', operator: 'in', left, right: this.#sum() } };
      } else return left;
    }
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((candidate) => this.take(candidate));
      if (operator === undefined) return left;
      left = { type: 'binary', operator, left, right: operand() };
    }
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#binary(['~'], () => this.#product()));
  }

  #product(): Expression {
    return this.#binary(['*', '//', '%'], () => this.#unary());
  }

  #unary(): Expression {
    // The sign binds before filters.
    const isNegative = this.take('-');
    let value = this.#postfix(this.#primary());
    if (isNegative) value = { type: 'negative', value };
    for (;;) {
      if (this.take('|')) {
        const name = this.name();
        value = { type: 'filter', object: value, name, arguments: this.peek('(') ? this.#arguments() : [] };
      } else if (this.take('is')) {
        value = this.#test(value);
      } else break;
    }
    return value;
  }

  #test(object: Expression): Expression {
    const isNegated = this.take('not');
    const name = this.name();
    let given: Expression[] = [];
    if (this.peek('(')) given = this.#arguments().map(({ value }) => value);
    else if (['equalto', 'eq', 'ne', 'in', 'sameas', 'divisibleby'].includes(name)) {
      given = [this.#postfix(this.#primary())];
    }
    const test: Expression = { type: 'test', object, name, arguments: given };
    return isNegated ? { type: 'not', value: test } : test;
  }

  #primary(): Expression {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new JinjaError('an expression ends too early');
    if (this.take('(')) {
      const value = this.expression();
      if (this.take(',')) return { type: 'list', items: [value, ...this.#items(')')] };
      this.expect(')');
      return value;
    }
    if (this.take('[')) return { type: 'list', items: this.#items(']') };
    if (this.take('{')) {
      const entries: [Expression, Expression][] = [];
      while (!this.take('}')) {
        const key = this.expression();
        this.expect(':');
        entries.push([key, this.expression()]);
        if (!this.peek('}')) this.expect(',');
      }
      return { type: 'dict', entries };
    }
    this.#at++;
    switch (token.type) {
      case 'string':
        return this.#joinStrings(token.text);
      case 'number':
        return { type: 'literal', value: Number(token.text) };
      case 'name': {
        const constant = CONSTANTS.get(token.text);
        return constant === undefined
          ? { type: 'name', name: token.text }
          : { type: 'literal', value: constant };
      }
      default:
        this.#at--;
        throw new JinjaError(`${this.#shown()} begins no expression`);
    }
  }

  /** Neighbouring literals are one. */
  #joinStrings(first: string): Expression {
    const pieces = [first];
    for (; this.#tokens[this.#at]?.type === 'string'; this.#at++) pieces.push(this.#tokens[this.#at]!.text);
    return { type: 'literal', value: pieces.join('') };
  }

  #postfix(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.take('.')) value = { type: 'attribute', object: value, name: this.name() };
      else if (this.take('[')) value = this.#subscript(value);
      else if (this.peek('(')) value = { type: 'call', callee: value, arguments: this.#arguments() };
      else return value;
    }
  }

  #subscript(object: Expression): Expression {
    const start = this.peek(':') ? null : this.expression();
    if (!this.take(':')) {
      this.expect(']');
      return { type: 'item', object, key: start! };
    }
    const end = this.peek(']') ? null : this.expression();
    this.expect(']');
    return { type: 'slice', object, start, end };
  }

  #items(closing: string): Expression[] {
    const items: Expression[] = [];
    while (!this.take(closing)) {
      items.push(this.expression());
      if (!this.peek(closing)) this.expect(',');
    }
    return items;
  }

  #arguments(): Argument[] {
    const list: Argument[] = [];
    this.expect('(');
    while (!this.take(')')) {
      const isNamed = this.#tokens[this.#at]?.type === 'name' && this.peek('=', 1);
      const name = isNamed ? this.name() : null;
      if (isNamed) this.expect('=');
      list.push({ name, value: this.expression() });
      if (!this.peek(')')) this.expect(',');
    }
    return list;
  }
}

class Parser {
  readonly #segments: readonly Segment[];
  #at = 0;

  constructor(segments: readonly Segment[]) {
    this.#segments = segments;
  }

  parse(): Statement[] {
    const { body } = this.#body([], 0);
    return body;
  }

  /** Statements up to one of `ends`, which is taken; without ends, to the end of the text. */
  #body(ends: readonly string[], depth: number): { body: Statement[]; end: string; rest: TokenReader } {
    if (depth > MAX_DEPTH) throw new JinjaError('statements are nested too deeply');
    const body: Statement[] = [];
    while (this.#at < this.#segments.length) {
      const segment = this.#segments[this.#at++]!;
      if (segment.type === 'text') {
        body.push(segment);
        continue;
      }
      const reader = new TokenReader(segment.tokens);
      if (segment.type === 'output') {
        body.push({ type: 'output', value: reader.expression() });
        reader.end();
        continue;
      }
      const keyword = reader.name();
      if (ends.includes(keyword)) return { body, end: keyword, rest: reader };
      body.push(this.#statement(keyword, reader, depth + 1));
    }
    if (ends.length > 0) throw new JinjaError(`"${ends.at(-1)}" is missing`);
    return { body, end: '', rest: new TokenReader([]) };
  }

  #statement(keyword: string, reader: TokenReader, depth: number): Statement {
    switch (keyword) {
      case 'if':
        return this.#if(reader, depth);
      case 'for':
        return this.#for(reader, depth);
      case 'set':
        return this.#set(reader, depth);
      case 'macro':
        return this.#macro(reader, depth);
      default:
        throw new JinjaError(`the statement "${keyword.slice(0, 40)}" is not known here`);
    }
  }

  #if(reader: TokenReader, depth: number): Statement {
    const branches: { condition: Expression; body: Statement[] }[] = [];
    let condition = reader.expression();
    reader.end();
    for (;;) {
      const { body, end, rest } = this.#body(['elif', 'else', 'endif'], depth);
      branches.push({ condition, body });
      if (end === 'elif') {
        condition = rest.expression();
        rest.end();
        continue;
      }
      const otherwise = end === 'else' ? this.#body(['endif'], depth).body : [];
      return { type: 'if', branches, otherwise };
    }
  }

  #for(reader: TokenReader, depth: number): Statement {
    const targets = [reader.name()];
    while (reader.take(',')) targets.push(reader.name());
    reader.expect('in');
    const list = reader.listExpression();
    const condition = reader.take('if') ? reader.expression() : null;
    reader.end();
    const { body, end } = this.#body(['else', 'endfor'], depth);
    const otherwise = end === 'else' ? this.#body(['endfor'], depth).body : [];
    return { type: 'for', targets, list, condition, body, otherwise };
  }

  #set(reader: TokenReader, depth: number): Statement {
    const name = reader.name();
    const attribute = reader.take('.') ? reader.name() : null;
    if (attribute === null && reader.isDone) {
      return { type: 'capture', name, body: this.#body(['endset'], depth).body };
    }
    reader.expect('=');
    const value = reader.expression();
    reader.end();
    return { type: 'set', name, attribute, value };
  }

  #macro(reader: TokenReader, depth: number): Statement {
    const name = reader.name();
    const parameters: Parameter[] = [];
    reader.expect('(');
    while (!reader.take(')')) {
      const parameter = reader.name();
      parameters.push({ name: parameter, fallback: reader.take('=') ? reader.expression() : null });
      if (!reader.peek(')')) reader.expect(',');
    }
    reader.end();
    return { type: 'macro', name, parameters, body: this.#body(['endmacro'], depth).body };
  }
}

/** @throws JinjaError for text that is no Jinja, or uses of it what is not known here */
export function parseJinja(source: string): Statement[] {
  return new Parser(readSegments(source)).parse();
}
