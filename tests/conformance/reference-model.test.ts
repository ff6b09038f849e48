import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { float16ToNumber, numberToFloat16 } from '../../src/base/float16.ts';
import { createRandom } from '../tools/random.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';
import { readFixture } from '../tools/tokenizer-fixtures.ts';
import { loadReferenceModel } from './load-reference.ts';
import { argmax, type ReferenceModel, relativeError, toF16 } from './reference-model.ts';
import { tinyMistralGoldens } from './tiny-mistral-goldens.ts';

test('toF16 rounds to the nearest half, ties to even', () => {
  const cases: [number, number][] = [
    [0, 0],
    [1 + 2 ** -11, 1],
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    [1 + 2 ** -11 + 2 ** -40, 1 + 2 ** -10],
    [65519.99, 65504],
    [65520, Number.POSITIVE_INFINITY],
    [2 ** -25, 0],
    [2 ** -25 * 1.001, 2 ** -24],
    [3 * 2 ** -25, 2 ** -23],
    [2 ** -14 * 0.99999, 2 ** -14],
    [4095.9999, 4096],
  ];
  for (const [value, expected] of cases) {
    expect(toF16(value)).toBe(expected);
    expect(toF16(-value)).toBe(-expected);
  }
  const random = createRandom(1);
  for (let i = 0; i < 20_000; i++) {
    const value = Math.fround((random() - 0.5) * 2 ** (40 * random() - 24));
    expect(toF16(value)).toBe(float16ToNumber(numberToFloat16(value)));
  }
});

describe('tiny-mistral, against transformers in float64', () => {
  const goldens = tinyMistralGoldens(readFixture('tiny-mistral-logits.json'));
  const { tokens, promptLength } = goldens;
  let exact: ReferenceModel;
  let rounded: ReferenceModel;

  beforeAll(async () => {
    const { gguf, folder } = await ensureTinyMistral();
    const digest = createHash('sha256').update(readFileSync(gguf)).digest('hex');
    expect(digest, 'tiny-mistral has changed: run scripts/oracle/tiny_mistral.py').toBe(goldens.ggufSha256);
    const read = async (name: string) => new Uint8Array(await readFile(join(folder, name)));
    exact = (await loadReferenceModel(read, { roundKvToF16: false })).model;
    rounded = (await loadReferenceModel(read)).model;
  });

  test('logits of the prompt and of 32 steps', () => {
    const logits = exact.forward(tokens, exact.createCache());
    // The goldens are stored as f32.
    expect(
      relativeError(
        logits.flatMap((row) => [...row]),
        goldens.logits,
      ),
    ).toBeLessThanOrEqual(1e-6);
    expect(logits.slice(promptLength - 1, -1).map(argmax)).toEqual(tokens.slice(promptLength));
  });

  test('a prompt in chunks gives the very same logits as the prompt at once', () => {
    const cache = exact.createCache();
    const chunks = [tokens.slice(0, 64), tokens.slice(64, 65), tokens.slice(65, 70)];
    const inChunks = chunks.flatMap((chunk) => exact.forward(chunk, cache));
    expect(inChunks).toEqual(exact.forward(tokens.slice(0, 70), exact.createCache()));
    expect(cache.length).toBe(70);
  });

  test('K and V in f16 move the logits a little, and only a little', () => {
    const error = relativeError(
      rounded.forward(tokens, rounded.createCache()).flatMap((row) => [...row]),
      goldens.logits,
    );
    expect(error).toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(2e-3);
  });
});
