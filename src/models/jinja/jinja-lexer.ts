/**
 * Cuts Jinja text into output, expressions and statements, with whitespace handled as chat templates expect it
 * (`trim_blocks` and `lstrip_blocks`, which transformers sets). Syntax: https://jinja.palletsprojects.com/templates/
 */

import { JinjaError } from './jinja-error.ts';

export interface Token {
  type: 'name' | 'number' | 'string' | 'operator';
  text: string;
}

export type Segment =
  | { type: 'text'; text: string }
  | { type: 'output'; tokens: Token[] }
  | { type: 'statement'; tokens: Token[] };

/** More in one tag are in no template, and a chain of so many operations would exhaust the stack. */
const MAX_TOKENS = 2000;

const SPACES = /\s+/y;
const NAME = /[A-Za-z_]\w*/y;
const NUMBER = /\d+(?:\.\d+)?/y;
const OPERATOR = /==|!=|<=|>=|\/\/|[-+*/%~<>=|.,:()[\]{}]/y;
const OPENING = /\{[{%#]/g;
const CLOSINGS: Readonly<Record<string, string>> = { '{{': '}}', '{%': '%}', '{#': '#}' };
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\n': '' };

function matchAt(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

/** A string literal from its quote on: its value, and where it ends. */
function readString(text: string, start: number): { value: string; end: number } {
  const quote = text[start]!;
  const pieces: string[] = [];
  let at = start + 1;
  for (;;) {
    let next = at;
    while (next < text.length && text[next] !== quote && text[next] !== '\\') next++;
    if (next >= text.length) throw new JinjaError('a string does not end');
    pieces.push(text.slice(at, next));
    if (text[next] === quote) return { value: pieces.join(''), end: next + 1 };
    const escaped = text[next + 1] ?? '';
    pieces.push(ESCAPES[escaped] ?? (/[\\'"]/.test(escaped) ? escaped : `\\${escaped}`));
    at = next + 2;
  }
}

/** Tokens from `start` to the closing mark, which may have a `-` or `+` before it. */
function readTokens(text: string, start: number, closing: string): { tokens: Token[]; end: number } {
  const tokens: Token[] = [];
  let depth = 0;
  let at = start;
  for (;;) {
    at += matchAt(SPACES, text, at)?.length ?? 0;
    if (at >= text.length) throw new JinjaError(`"${closing}" is missing`);
    if (tokens.length >= MAX_TOKENS) throw new JinjaError('a tag is too long');
    const mark = /[-+]/.test(text[at]!) ? 1 : 0;
    if (depth === 0 && text.startsWith(closing, at + mark)) return { tokens, end: at };
    const first = text[at]!;
    if (first === "'" || first === '"') {
      const { value, end } = readString(text, at);
      tokens.push({ type: 'string', text: value });
      at = end;
      continue;
    }
    const name = matchAt(NAME, text, at);
    const number = name === null ? matchAt(NUMBER, text, at) : null;
    const found = name ?? number ?? matchAt(OPERATOR, text, at);
    if (found === null) throw new JinjaError(`"${first}" has no meaning here`);
    if (found === '{' || found === '[' || found === '(') depth++;
    if (found === '}' || found === ']' || found === ')') depth--;
    tokens.push({ type: name !== null ? 'name' : number !== null ? 'number' : 'operator', text: found });
    at += found.length;
  }
}

/** @throws JinjaError for text that is no Jinja */
export function readSegments(source: string): Segment[] {
  const text = source.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const segments: Segment[] = [];
  let at = 0;
  /** The tag before took the whitespace after it. */
  let stripNext = false;
  /** The tag before ended its line. */
  let startsLine = true;
  const putText = (end: number, opening: string | null) => {
    let piece = text.slice(at, end);
    if (stripNext) piece = piece.replace(/^\s+/, '');
    if (opening !== null) {
      if (text[end + 2] === '-') piece = piece.trimEnd();
      else if (opening !== '{{' && text[end + 2] !== '+') {
        const line = piece.lastIndexOf('\n') + 1;
        if ((line > 0 || startsLine) && /^[^\S\n]*$/.test(piece.slice(line))) piece = piece.slice(0, line);
      }
    }
    if (piece !== '') segments.push({ type: 'text', text: piece });
  };
  for (;;) {
    OPENING.lastIndex = at;
    const opening = OPENING.exec(text);
    if (opening === null) break;
    const mark = opening[0];
    putText(opening.index, mark);
    const closing = CLOSINGS[mark]!;
    const inner = opening.index + 2 + (/[-+]/.test(text[opening.index + 2] ?? '') ? 1 : 0);
    let end: number;
    if (mark === '{#') {
      end = text.indexOf(closing, opening.index + 2);
      if (end < 0) throw new JinjaError('a comment does not end');
      if (end > inner && /[-+]/.test(text[end - 1]!)) end--;
    } else {
      const read = readTokens(text, inner, closing);
      segments.push({ type: mark === '{{' ? 'output' : 'statement', tokens: read.tokens });
      end = read.end;
    }
    const sign = /[-+]/.test(text[end]!) ? text[end]! : '';
    at = end + sign.length + 2;
    stripNext = sign === '-';
    startsLine = false;
    if (mark !== '{{' && sign === '' && text[at] === '\n') {
      at++;
      startsLine = true;
    }
  }
  putText(text.length, null);
  return segments;
}
