/** Checks a chat request before anything runs. Every limit is that of the OpenAI API or of WebLLM. */
import { TramontaneError } from '../base/errors.ts';
import type { ChatRequest, ResponseFormat } from './api.ts';
import { refuse, requireInteger, requireNumber } from './request-checks.ts';

const MAX_STOP_STRINGS = 4;
/** Deeper schemas make grammars that take minutes to compile. */
const MAX_SCHEMA_DEPTH = 64;

/**
 * @param generated false for a prebuilt library, which cannot take `top_k` and `min_p`
 * @throws TramontaneError `request-invalid`, `schema-invalid`
 */
export function checkChatRequest(request: ChatRequest, vocabularySize: number, generated: boolean): void {
  requireNumber('temperature', request.temperature, 0, 100);
  requireNumber('top_p', request.top_p, 0, 1, true);
  requireInteger('top_k', request.top_k, 0, vocabularySize);
  requireNumber('min_p', request.min_p, 0, 1);
  requireNumber('frequency_penalty', request.frequency_penalty, -2, 2);
  requireNumber('presence_penalty', request.presence_penalty, -2, 2);
  requireNumber('repetition_penalty', request.repetition_penalty, 0, 100, true);
  requireInteger('max_completion_tokens', request.max_completion_tokens, 1, Number.MAX_SAFE_INTEGER);
  requireInteger('max_tokens', request.max_tokens, 1, Number.MAX_SAFE_INTEGER);
  requireInteger('seed', request.seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  requireInteger('top_logprobs', request.top_logprobs, 0, 5);
  if (request.top_logprobs !== undefined && request.logprobs !== true) {
    refuse('top_logprobs', 'used together with logprobs: true', request.top_logprobs);
  }
  for (const [id, bias] of Object.entries(request.logit_bias ?? {})) {
    const tokenId = /^\d+$/.test(id) ? Number(id) : Number.NaN;
    requireInteger(`logit_bias["${id}"]: the token id`, tokenId, 0, vocabularySize - 1);
    requireNumber(`logit_bias["${id}"]`, bias, -100, 100);
  }
  for (const stop of stopStrings(request)) {
    if (typeof stop !== 'string' || stop === '')
      refuse('stop', 'one to four texts, none of them empty', request.stop);
  }
  if (stopStrings(request).length > MAX_STOP_STRINGS) {
    refuse('stop', `at most ${MAX_STOP_STRINGS} texts`, request.stop);
  }
  if (request.cache_prompt !== undefined && typeof request.cache_prompt !== 'boolean') {
    refuse('cache_prompt', 'true or false', request.cache_prompt);
  }
  if (!generated && ((request.top_k ?? 0) > 0 || (request.min_p ?? 0) > 0)) {
    refuse('top_k and min_p', 'absent: this prebuilt model library does not know them', {
      top_k: request.top_k,
      min_p: request.min_p,
    });
  }
  if (request.response_format !== undefined) grammarSchema(request.response_format);
  if (!Array.isArray(request.messages) || request.messages.at(-1)?.role !== 'user') {
    refuse('messages', "a list that ends with the user's message", request.messages);
  }
}

export function stopStrings(request: ChatRequest): readonly string[] {
  const { stop } = request;
  return stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop;
}

/**
 * @returns the JSON schema, as text, that the answer is held to, or null for free text
 * @throws TramontaneError `schema-invalid`, `request-invalid`
 */
export function grammarSchema(format: ResponseFormat): string | null {
  switch (format.type) {
    case 'text':
      return null;
    case 'json_object':
      // WebLLM 0.2.86 hands `undefined` to its grammar compiler where there is no schema, and fails.
      return '{"type":"object"}';
    case 'json_schema': {
      const schema: unknown = format.json_schema?.schema;
      if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
        throw new TramontaneError('schema-invalid', 'json_schema.schema must be a JSON object.', {
          nextStep: 'Give a JSON schema, for example {"type": "object"}.',
        });
      }
      checkSchemaNode(schema as Record<string, unknown>, '#', 0);
      return JSON.stringify(schema);
    }
    default:
      return refuse(
        'response_format.type',
        '"text", "json_object" or "json_schema"',
        (format as { type: unknown }).type,
      );
  }
}

const TYPES = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']);
/** Keywords whose value is one schema, a list of schemas, or a map of schemas. */
const ONE = [
  'items',
  'additionalProperties',
  'additionalItems',
  'unevaluatedProperties',
  'propertyNames',
  'contains',
];
const LIST = ['anyOf', 'oneOf', 'allOf', 'prefixItems'];
const MAP = ['properties', 'patternProperties', '$defs', 'definitions'];

/** Finds what would make the grammar compiler fail late or answer wrongly, and says where. */
function checkSchemaNode(node: unknown, path: string, depth: number): void {
  if (typeof node === 'boolean') return;
  const wrong: (what: string) => never = (what) => {
    throw new TramontaneError('schema-invalid', `JSON schema at ${path}: ${what}.`, {
      nextStep: 'Correct the schema.',
      data: { path },
    });
  };
  if (typeof node !== 'object' || node === null || Array.isArray(node))
    wrong('a schema must be an object or a boolean');
  if (depth > MAX_SCHEMA_DEPTH) wrong(`nested deeper than ${MAX_SCHEMA_DEPTH} levels`);
  const schema = node as Record<string, unknown>;
  const types = Array.isArray(schema.type) ? schema.type : schema.type === undefined ? [] : [schema.type];
  for (const type of types) {
    if (typeof type !== 'string' || !TYPES.has(type))
      wrong(`type ${JSON.stringify(type)} is none of ${[...TYPES].join(', ')}`);
  }
  if (schema.enum !== undefined && (!Array.isArray(schema.enum) || schema.enum.length === 0)) {
    wrong('enum must be a list with at least one value');
  }
  if (schema.required !== undefined) {
    const names = schema.required;
    if (!Array.isArray(names) || names.some((name) => typeof name !== 'string'))
      wrong('required must be a list of names');
  }
  if (schema.pattern !== undefined) {
    try {
      new RegExp(schema.pattern as string, 'u');
    } catch {
      wrong(`pattern ${JSON.stringify(schema.pattern)} is not a regular expression`);
    }
  }
  if (schema.$ref !== undefined && (typeof schema.$ref !== 'string' || !schema.$ref.startsWith('#'))) {
    wrong('$ref must point into the schema itself');
  }
  for (const key of ONE) {
    if (schema[key] === undefined) continue;
    if (key === 'items' && Array.isArray(schema[key]))
      wrong('items must be one schema; use prefixItems for a list');
    checkSchemaNode(schema[key], `${path}/${key}`, depth + 1);
  }
  for (const key of LIST) {
    const list = schema[key];
    if (list === undefined) continue;
    if (!Array.isArray(list) || list.length === 0) wrong(`${key} must be a list with at least one schema`);
    for (const [i, item] of list.entries()) checkSchemaNode(item, `${path}/${key}/${i}`, depth + 1);
  }
  for (const key of MAP) {
    const map = schema[key];
    if (map === undefined) continue;
    if (typeof map !== 'object' || map === null || Array.isArray(map))
      wrong(`${key} must be an object of schemas`);
    for (const [name, item] of Object.entries(map))
      checkSchemaNode(item, `${path}/${key}/${name}`, depth + 1);
  }
}

/**
 * Spreads a seed over the generator's range. WebLLM's generator (x ← 48271·x mod 2³¹−1) returns a first draw in
 * proportion to its seed: small seeds would all begin with the likeliest token. The mixer is splitmix64's finaliser
 * (Steele, Lea, Flood 2014).
 * @returns an integer in [1, 2³¹ − 2]
 */
export function hashSeed(seed: number): number {
  const mask = (1n << 64n) - 1n;
  let z = (BigInt(seed) * 0x9e3779b97f4a7c15n + 0x9e3779b97f4a7c15n) & mask;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
  z ^= z >> 31n;
  return Number(z % 2147483646n) + 1;
}
