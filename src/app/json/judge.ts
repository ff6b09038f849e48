/** Judges what a model answered against the schema it was asked for. */
import { type Schema, Validator } from '@cfworker/json-schema';
import type { FinishReason } from '../../engine/api.ts';

export interface Misfit {
  /** JSON pointer into the answer; '' is all of it. */
  path: string;
  message: string;
}

export type Verdict =
  | { kind: 'valid' }
  | { kind: 'invalid'; misfits: Misfit[] }
  /** It is not JSON, though it ended by itself. */
  | { kind: 'not-json'; message: string }
  /** It ended before it was whole. */
  | { kind: 'cut-off'; reason: 'length' | 'abort' };

const MAX_MISFITS = 12;

/** Keywords that fail only because something inside does, which is told too. */
const containers = [
  'properties',
  'patternProperties',
  'additionalProperties',
  'items',
  'prefixItems',
  'allOf',
  '$ref',
];

export function judge(text: string, schema: unknown, finish: FinishReason): Verdict {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (finish !== 'stop') return { kind: 'cut-off', reason: finish };
    return { kind: 'not-json', message: error instanceof Error ? error.message : String(error) };
  }
  const { valid, errors } = new Validator(schema as Schema, '2020-12', false).validate(value);
  if (valid) return { kind: 'valid' };
  // An outer place fails because an inner one does: only the innermost say what is wrong.
  const misfits = errors
    .filter(
      (error) =>
        !containers.includes(error.keyword) &&
        !errors.some((other) => other.keywordLocation.startsWith(`${error.keywordLocation}/`)),
    )
    .map(({ keyword, instanceLocation, error }) => ({
      path: instanceLocation.replace(/^#/, ''),
      message: keyword === 'false' ? 'This is not allowed here.' : error,
    }));
  return { kind: 'invalid', misfits: misfits.slice(0, MAX_MISFITS) };
}
