/** Checks of numbers and tokens in requests, whatever the request. All throw TramontaneError `request-invalid`. */
import { TramontaneError } from '../base/errors.ts';

export function refuse(field: string, expected: string, found: unknown): never {
  throw new TramontaneError(
    'request-invalid',
    `${field} must be ${expected}; got ${JSON.stringify(found) ?? 'nothing'}.`,
    {
      nextStep: 'Correct the request.',
      data: { field },
    },
  );
}

/** @param open true where `least` itself is not allowed */
export function requireNumber(
  field: string,
  value: number | undefined,
  least: number,
  most: number,
  open = false,
): void {
  if (value === undefined) return;
  const inRange = typeof value === 'number' && value <= most && (open ? value > least : value >= least);
  if (!inRange) refuse(field, `a number ${open ? 'above' : 'from'} ${least} to ${most}`, value);
}

export function requireInteger(field: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < least || value > most) {
    refuse(field, `a whole number from ${least} to ${most}`, value);
  }
}

export function requireTokenIds(field: string, ids: readonly number[], vocabularySize: number): void {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
  if (wrong !== undefined) refuse(field, `ids from 0 to ${vocabularySize - 1}`, wrong);
}
