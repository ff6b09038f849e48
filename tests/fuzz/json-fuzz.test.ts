/** Hostile JSON: what lies beside the weights, and lists of models. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isTramontaneError } from '../../src/base/errors.ts';
import { importGguf } from '../../src/engine/import/import-model.ts';
import { checkTokenizer } from '../../src/engine/tokenizer-check.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import { TEKKEN_PATTERN } from '../../src/formats/tokenizer/pre-tokenizers.ts';
import { buildTokenizerFromTekken } from '../../src/formats/tokenizer/tekken.ts';
import { parseCatalogue } from '../../src/models/catalogue.ts';
import { partByteLength } from '../../src/models/model-description.ts';
import {
  CONFIG_FILE,
  type ModelFiles,
  parseModelFiles,
  TENSOR_CACHE_FILE,
  TOKENIZER_FILE,
} from '../../src/models/model-files.ts';
import { readCorpus } from './gguf-fuzz.ts';
import { type Json, mutateJson, mutateText } from './json-mutators.ts';
import { type Choice, createChoice } from './random-choice.ts';

const SEED = 4_112_026;
const INPUTS = process.env.TRAMONTANE_FULL === undefined ? 1000 : 100_000;

/** Texts that an import of a small GGUF writes. */
async function importTexts(): Promise<ReadonlyMap<string, string>> {
  const seed = readCorpus().find(({ name }) => name === 'llama-chatml-tied-v2.gguf');
  let texts: ReadonlyMap<string, string> = new Map();
  await importGguf(
    memorySource(seed?.bytes ?? new Uint8Array(0)),
    {
      writeShard: async () => undefined,
      complete: async (files) => {
        texts = files;
      },
    },
    { maxRecordBytes: 3000, maxShardBytes: 8000 },
  );
  return texts;
}

const texts = await importTexts();
const json = (name: string): Json => JSON.parse(texts.get(name) ?? '');
const modelFiles: Json = { config: json(CONFIG_FILE), cache: json(TENSOR_CACHE_FILE) };
const catalogue = JSON.parse(readFileSync(new URL('../../models/models.json', import.meta.url), 'utf8'));
const tokenizer = json(TOKENIZER_FILE);
const tekken: Json = {
  config: {
    version: 'v11',
    pattern: TEKKEN_PATTERN,
    default_vocab_size: 262,
    default_num_special_tokens: 4,
  },
  vocab: Array.from({ length: 260 }, (_, rank) => ({
    rank,
    token_bytes: btoa(rank < 256 ? String.fromCharCode(rank) : 'abcdef'.slice(0, rank - 254)),
  })),
  special_tokens: ['<unk>', '<s>', '</s>'].map((token_str, rank) => ({ rank, token_str, is_control: true })),
};
const seeds = [modelFiles, catalogue, tokenizer, tekken];

/** @returns whether the input was accepted */
function attempt(read: () => void, codes: readonly string[]): boolean {
  try {
    read();
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    expect(codes).toContain(error.code);
    expect(typeof error.data.field).toBe('string');
    expect(error.message.length).toBeLessThan(2000);
    return false;
  }
  return true;
}

/** @returns how many inputs were accepted, and different messages */
function fuzz(read: (choice: Choice) => () => void, codes: readonly string[]) {
  let accepted = 0;
  for (let index = 0; index < INPUTS; index++) {
    try {
      if (attempt(read(createChoice(SEED, index)), codes)) accepted++;
    } catch (cause) {
      throw new Error(`Input ${index} of seed ${SEED}: ${cause}`, { cause });
    }
  }
  expect(accepted).toBeGreaterThan(0);
  expect(accepted).toBeLessThan(INPUTS * 0.8);
}

test(`model files: ${INPUTS} inputs`, () => {
  fuzz(
    (choice) => {
      const { config, cache } = (mutateJson(modelFiles, seeds, choice) ?? {}) as {
        config?: Json;
        cache?: Json;
      };
      return () => checkModelFiles(parseModelFiles(config, cache), cache as unknown as TensorCache);
    },
    ['config-invalid', 'architecture-unsupported'],
  );
}, 600_000);

interface TensorCache {
  records: {
    dataPath: string;
    nbytes: number;
    records: { name: string; nbytes: number; byteOffset: number }[];
  }[];
}

/** What holders of ModelFiles rely on. */
function checkModelFiles({ description, shards }: ModelFiles, { records }: TensorCache): void {
  const { architecture, tensors } = description;
  expect(shards.map(({ name }) => name)).toEqual(records.map(({ dataPath }) => dataPath));
  expect(tensors.layers).toHaveLength(architecture.layerCount);
  const known = new Map(
    records.flatMap((shard) => shard.records.map((record) => [record.name, { record, shard }] as const)),
  );
  const matrices = tensors.layers.flatMap(({ query, key, value, output, gate, up, down }) => [
    ...[query, key, value, output],
    ...[gate, up, down],
  ]);
  for (const { rows, columns, format, parts } of [tensors.embedding, tensors.head, ...matrices]) {
    let next = 0;
    for (const part of parts) {
      expect(part.rowStart).toBe(next);
      next += part.rows;
      const bytes = partByteLength(format, part.rows, columns);
      for (const [index, name] of [part.quants, part.scales].entries()) {
        if (name === null) continue;
        const { record, shard } = known.get(name) ?? expect.unreachable(name);
        expect(record.nbytes).toBe(bytes[index]);
        expect(record.byteOffset + record.nbytes).toBeLessThanOrEqual(shard.nbytes);
      }
    }
    expect(next).toBe(rows);
  }
}

test(`lists of models: ${INPUTS} inputs`, () => {
  fuzz(
    (choice) => {
      const value = mutateJson(catalogue, seeds, choice);
      return () => {
        for (const { source } of parseCatalogue(value, 'https://example.org/models/models.json')) {
          if (source.kind === 'site') expect(source.url).toMatch(/^https?:/);
        }
      };
    },
    ['config-invalid'],
  );
}, 600_000);

test(`tokenizers: ${INPUTS} inputs`, () => {
  fuzz(
    (choice) => {
      const text = choice.oneIn(3)
        ? mutateText(tokenizer, choice)
        : toText(mutateJson(tokenizer, seeds, choice));
      return () => checkTokenizer(text);
    },
    ['tokenizer-invalid'],
  );
}, 600_000);

test(`tekken.json: ${INPUTS} inputs`, () => {
  fuzz(
    (choice) => {
      const text = choice.oneIn(3) ? mutateText(tekken, choice) : toText(mutateJson(tekken, seeds, choice));
      return () => checkTokenizer(buildTokenizerFromTekken(text).tokenizerJson);
    },
    ['tokenizer-invalid', 'tokenizer-unsupported'],
  );
}, 600_000);

/** JSON.stringify, which fails on deep values: those become empty. */
function toText(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch {
    return '';
  }
}
