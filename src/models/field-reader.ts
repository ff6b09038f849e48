/** Reads fields of parsed JSON that nobody has vouched for. Each failure names file, field, finding and expectation. */
import { TramontaneError } from '../base/errors.ts';
import { clip, shown } from '../base/shown.ts';

export class FieldReader {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #file: string;
  readonly #path: string;
  readonly #nextStep: string;

  /**
   * @param options.nextStep What the errors advise.
   * @throws TramontaneError `config-invalid` where `value` is not a JSON object
   */
  constructor(value: unknown, file: string, options: { path?: string; nextStep?: string } = {}) {
    this.#file = file;
    this.#path = options.path ?? '';
    this.#nextStep = options.nextStep ?? 'Import the model again.';
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#error(this.#path, value, 'an object');
    }
    this.#value = value as Record<string, unknown>;
  }

  /** Names of the fields there are. */
  keys(): string[] {
    return Object.keys(this.#value);
  }

  has(field: string): boolean {
    return Object.hasOwn(this.#value, field) && this.#value[field] !== undefined;
  }

  /** True where the field is there and says null. */
  isNull(field: string): boolean {
    return this.#get(field) === null;
  }

  isList(field: string): boolean {
    return Array.isArray(this.#get(field));
  }

  isObject(field: string): boolean {
    const value = this.#get(field);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  }

  integer(field: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#get(field);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max)
      return value;
    throw this.invalid(
      field,
      min === max
        ? String(min)
        : max === Number.MAX_SAFE_INTEGER
          ? `an integer of at least ${min}`
          : `an integer from ${min} to ${max}`,
    );
  }

  /** A number in [min, max]. */
  number(field: string, min: number, max: number): number {
    const value = this.#get(field);
    if (typeof value === 'number' && value >= min && value <= max) return value;
    throw this.invalid(field, `a number from ${min} to ${max}`);
  }

  boolean(field: string): boolean {
    const value = this.#get(field);
    if (typeof value === 'boolean') return value;
    throw this.invalid(field, 'true or false');
  }

  string(field: string, pattern: RegExp = /^/, expected = 'a string'): string {
    const value = this.#get(field);
    if (typeof value === 'string' && pattern.test(value)) return value;
    throw this.invalid(field, expected);
  }

  oneOf<T extends string>(field: string, choices: readonly T[]): T {
    const value = this.#get(field);
    if (typeof value === 'string' && (choices as readonly string[]).includes(value)) return value as T;
    throw this.invalid(field, choices.map((choice) => `"${choice}"`).join(' or '));
  }

  object(field: string): FieldReader {
    return this.#read(this.#get(field), this.#join(field));
  }

  objects(field: string): FieldReader[] {
    return this.#array(field, 'an array of objects').map((item, index) =>
      this.#read(item, `${this.#join(field)}[${index}]`),
    );
  }

  strings(field: string): string[] {
    const items = this.#array(field, 'an array of strings');
    for (const [index, item] of items.entries()) {
      if (typeof item !== 'string') throw this.#error(`${this.#join(field)}[${index}]`, item, 'a string');
    }
    return items as string[];
  }

  /** An array of integers in [min, max]. */
  integers(field: string, min: number, max: number): number[] {
    const items = this.#array(field, 'an array of integers');
    for (const [index, item] of items.entries()) {
      if (!Number.isSafeInteger(item) || (item as number) < min || (item as number) > max) {
        throw this.#error(`${this.#join(field)}[${index}]`, item, `an integer from ${min} to ${max}`);
      }
    }
    return items as number[];
  }

  /** The error for a field that holds something else than `expected`. */
  invalid(field: string, expected: string): TramontaneError {
    return this.#error(this.#join(field), this.#get(field), expected);
  }

  #array(field: string, expected: string): unknown[] {
    const value = this.#get(field);
    if (Array.isArray(value)) return value;
    throw this.invalid(field, expected);
  }

  #get(field: string): unknown {
    return Object.hasOwn(this.#value, field) ? this.#value[field] : undefined;
  }

  #join(field: string): string {
    return this.#path === '' ? field : `${this.#path}.${field}`;
  }

  #read(value: unknown, path: string): FieldReader {
    return new FieldReader(value, this.#file, { path, nextStep: this.#nextStep });
  }

  #error(path: string, value: unknown, expected: string): TramontaneError {
    const file = this.#file;
    const found = value === undefined ? 'missing' : shown(value);
    const field = clip(path);
    const where = field === '' ? file : `${file}: ${field}`;
    return new TramontaneError('config-invalid', `${where} is ${found}, expected ${clip(expected, 200)}`, {
      nextStep: this.#nextStep,
      data: { file, field, found, expected },
    });
  }
}
