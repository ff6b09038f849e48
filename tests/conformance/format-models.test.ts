/**
 * Files that the `gguf` package wrote, imported and computed in float64, against PyTorch on what `gguf` dequantises: so
 * the reference that formats.gpu.test.ts measures against is right.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import { FORMAT_MODELS, FORMAT_MODELS_FOLDER } from '../tools/test-models.ts';
import { readFixture } from '../tools/tokenizer-fixtures.ts';
import { loadReferenceModel } from './load-reference.ts';
import { relativeError } from './reference-model.ts';
import { decodeFloats } from './tiny-mistral-goldens.ts';

const goldens = readFixture<Record<string, { tokens: number[]; logits: string }>>('format-logits.json');

test.each(FORMAT_MODELS)('%s, imported, has the logits that PyTorch finds in the file', async (name) => {
  const { tokens, logits } = goldens[name]!;
  const read = async (file: string) =>
    new Uint8Array(await readFile(join(ROOT, FORMAT_MODELS_FOLDER, name, 'model', file)));
  const { model } = await loadReferenceModel(read, { roundKvToF16: false });
  const rows = model.forward(tokens, model.createCache());
  const found = rows.flatMap((row) => [...row]);
  // The goldens are stored as f32.
  expect(relativeError(found, decodeFloats(logits))).toBeLessThan(1e-6);
});
