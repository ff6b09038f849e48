import { FormatError, TramontaneError } from '../../base/errors.ts';
import { clip } from '../../base/shown.ts';

/** Data that contradict themselves, or are not there. `field` names what was read. */
export function invalidTokenizer(field: string, message: string): FormatError {
  return new FormatError(`${field}: ${message}`, { field }, { code: 'tokenizer-invalid' });
}

/** Data that mean something which we cannot do, by name. */
export function unsupportedTokenizer(
  field: string,
  found: string,
  supported: readonly string[],
): TramontaneError {
  return new TramontaneError(
    'tokenizer-unsupported',
    `${field} is "${clip(found)}"; supported: ${supported.join(', ')}`,
    {
      data: { field, found: clip(found), supported },
      nextStep: 'Choose a build of this model with another tokenizer.',
    },
  );
}
