/**
 * Checks a JSON Schema before it is used: what a person gets wrong while typing one (a misspelt type, `required` that
 * is no list, a reference to nowhere). It does not judge what an engine can enforce; the engine tells that itself.
 */
export interface SchemaProblem {
  /** JSON pointer into the schema; '' is its root. */
  path: string;
  message: string;
}

const types = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'];
const schemaKeywords = [
  'items',
  'additionalProperties',
  'not',
  'contains',
  'propertyNames',
  'if',
  'then',
  'else',
];
const listKeywords = ['anyOf', 'oneOf', 'allOf', 'prefixItems'];
const mapKeywords = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas'];
const countKeywords = ['minItems', 'maxItems', 'minLength', 'maxLength', 'minProperties', 'maxProperties'];
const numberKeywords = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'];
const MAX_DEPTH = 100;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** Follows a JSON pointer; undefined where it leads nowhere. */
function resolvePointer(root: unknown, pointer: string): unknown {
  let value = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value)) value = value[Number(key)];
    else if (isRecord(value) && Object.hasOwn(value, key)) value = value[key];
    else return undefined;
  }
  return value;
}

/** @returns What is wrong, in the order of the schema; empty for a sound one. */
export function checkSchema(root: unknown): SchemaProblem[] {
  const problems: SchemaProblem[] = [];
  const report = (path: string, message: string) => problems.push({ path, message });

  const visit = (schema: unknown, path: string, depth: number): void => {
    if (typeof schema === 'boolean') return;
    if (!isRecord(schema)) {
      report(
        path,
        `A schema is an object, found ${Array.isArray(schema) ? 'a list' : JSON.stringify(schema)}.`,
      );
      return;
    }
    if (depth > MAX_DEPTH) {
      report(path, `The schema is nested more than ${MAX_DEPTH} levels deep.`);
      return;
    }
    for (const [key, value] of Object.entries(schema)) {
      visitKeyword(schema, key, value, `${path}/${escapePointer(key)}`, depth);
    }
  };

  const visitKeyword = (
    schema: Record<string, unknown>,
    key: string,
    value: unknown,
    path: string,
    depth: number,
  ): void => {
    if (key === 'type') {
      const names = Array.isArray(value) ? value : [value];
      const unknown = names.filter((name) => !types.includes(name));
      if (names.length === 0) report(path, 'A list of types needs at least one.');
      for (const name of unknown) {
        report(path, `There is no type ${JSON.stringify(name)}. Types are ${types.join(', ')}.`);
      }
    } else if (key === 'enum') {
      if (!Array.isArray(value) || value.length === 0)
        report(path, '“enum” is a list of at least one value.');
    } else if (key === 'required') {
      if (!Array.isArray(value) || !value.every((name) => typeof name === 'string')) {
        report(path, '“required” is a list of property names.');
      } else if (schema.additionalProperties === false && isRecord(schema.properties)) {
        for (const name of value) {
          if (!Object.hasOwn(schema.properties, name)) {
            report(path, `“${name}” is required, but not among the properties, and no others are allowed.`);
          }
        }
      }
    } else if (key === 'pattern') {
      checkPattern(value, path);
    } else if (key === '$ref') {
      if (typeof value !== 'string' || !value.startsWith('#')) {
        report(path, 'A reference stays inside the schema: it begins with “#”.');
      } else if (resolvePointer(root, value.slice(1)) === undefined) {
        report(path, `The reference ${JSON.stringify(value)} leads nowhere.`);
      }
    } else if (countKeywords.includes(key)) {
      if (!Number.isInteger(value) || (value as number) < 0)
        report(path, `“${key}” is a whole number from 0.`);
      else checkOrder(schema, key, path);
    } else if (numberKeywords.includes(key)) {
      if (typeof value !== 'number') report(path, `“${key}” is a number.`);
      else if (key === 'multipleOf' && value <= 0) report(path, '“multipleOf” is above 0.');
      else checkOrder(schema, key, path);
    } else if (key === 'items' && Array.isArray(value)) {
      for (const [index, item] of value.entries()) visit(item, `${path}/${index}`, depth + 1);
    } else if (schemaKeywords.includes(key)) {
      visit(value, path, depth + 1);
    } else if (listKeywords.includes(key)) {
      if (!Array.isArray(value) || value.length === 0)
        report(path, `“${key}” is a list of at least one schema.`);
      else for (const [index, item] of value.entries()) visit(item, `${path}/${index}`, depth + 1);
    } else if (mapKeywords.includes(key)) {
      if (!isRecord(value)) {
        report(path, `“${key}” is an object of schemas by name.`);
        return;
      }
      for (const [name, item] of Object.entries(value)) {
        if (key === 'patternProperties') checkPattern(name, path);
        visit(item, `${path}/${escapePointer(name)}`, depth + 1);
      }
    }
  };

  const checkPattern = (value: unknown, path: string): void => {
    if (typeof value !== 'string') {
      report(path, '“pattern” is a regular expression in quotes.');
      return;
    }
    try {
      new RegExp(value, 'u');
    } catch (error) {
      report(
        path,
        `This is no regular expression: ${error instanceof Error ? error.message : String(error)}.`,
      );
    }
  };

  /** A smallest above a largest: nothing could fit. Reported at the largest. */
  const checkOrder = (schema: Record<string, unknown>, key: string, path: string): void => {
    const smallest = key.startsWith('max') ? schema[key.replace('max', 'min')] : undefined;
    const largest = schema[key];
    if (typeof smallest === 'number' && typeof largest === 'number' && smallest > largest) {
      report(
        path,
        `“${key}” is ${largest}, below “${key.replace('max', 'min')}”, ${smallest}: nothing can fit.`,
      );
    }
  };

  visit(root, '', 0);
  return problems;
}
