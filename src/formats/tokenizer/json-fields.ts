/** Reads parsed JSON of tokenizers. Each failure names the field. */
import { shown } from '../../base/shown.ts';
import { invalidTokenizer as invalid } from './tokenizer-errors.ts';

export type Json = Readonly<Record<string, unknown>>;

/** @throws FormatError `tokenizer-invalid` */
export function readObject(value: unknown, field: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw unexpected(value, field, 'an object');
}

/** @throws FormatError `tokenizer-invalid` */
export function readArray(value: unknown, field: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw unexpected(value, field, 'a list');
}

function unexpected(value: unknown, field: string, expected: string) {
  return invalid(field, value === undefined ? 'missing' : `expected ${expected}, found ${shown(value)}`);
}
