/**
 * Values that nobody has vouched for, as error messages show them: short, on one line, whatever their size or depth.
 * (JSON.stringify fails on a deep value, and writes the whole of a large one.)
 */

const MAX_LENGTH = 80;
const MAX_DEPTH = 4;

/** The text itself where it is short, else its beginning. */
export function clip(text: string, maxLength = MAX_LENGTH): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

/** The value in JSON, cut off where it is long; what has no JSON, such as `undefined`, as `String` gives it. */
export function shown(value: unknown, maxLength = MAX_LENGTH): string {
  return clip(toJson(value, maxLength + 1, MAX_DEPTH), maxLength);
}

/** JSON of which at least the first `budget` characters are right. */
function toJson(value: unknown, budget: number, depth: number): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, budget));
  if (typeof value !== 'object' || value === null) return String(value);
  const isArray = Array.isArray(value);
  if (depth === 0) return isArray ? '[…]' : '{…}';
  let json = '';
  const add = (name: string, item: unknown): boolean => {
    if (json.length > budget) return false;
    json += `${json === '' ? '' : ','}${name}${toJson(item, budget - json.length, depth - 1)}`;
    return true;
  };
  if (isArray) {
    // Not `for in`, which makes names of all indices before the first turn.
    for (const item of value) if (!add('', item)) break;
    return `[${json}]`;
  }
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue;
    const name = `${JSON.stringify(key.slice(0, budget))}:`;
    if (!add(name, (value as Record<string, unknown>)[key])) break;
  }
  return `{${json}}`;
}
