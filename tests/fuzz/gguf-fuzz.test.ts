/** Hostile GGUF files. `TRAMONTANE_FULL` runs a million of them; see judge.ts for what must hold of each. */
import { spawn } from 'node:child_process';
import { cpus } from 'node:os';
import { join as joinPath } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import { isTramontaneError } from '../../src/base/errors.ts';
import { importGguf, type ModelSink } from '../../src/engine/import/import-model.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import { parseGguf } from '../../src/formats/gguf/parse-gguf.ts';
import { TOKENIZER_FILE } from '../../src/models/model-files.ts';
import { loadWebLlmTokenizer } from '../tools/webllm-tokenizer.ts';
import { fuzzGguf, readCorpus, readSeeds, type Tally } from './gguf-fuzz.ts';
import { mutate } from './gguf-mutators.ts';
import { join, takeApart } from './gguf-pieces.ts';
import { judge } from './judge.ts';
import { createChoice } from './random-choice.ts';

const isFull = process.env.TRAMONTANE_FULL !== undefined;
const SEED = 20_261_122;
const QUICK_INPUTS = 12_000;
const FULL_INPUTS = 1_000_000;
/** A process that is silent for so long hangs: a thousand inputs take a second. */
const SILENCE_MS = 60_000;

describe('the corpus', () => {
  test.each([
    ['every-type.gguf', /^architecture-unsupported: The model's architecture is not named/],
    ['llama-chatml-tied-v2.gguf', /^imported$/],
    ['llama-k-quants.gguf', /^imported$/],
    ['llama-sentencepiece.gguf', /^imported$/],
    ['llama-v7.gguf', /^imported$/],
    ['mistral3-v11-mixed.gguf', /^imported$/],
    ['reference-arrays.gguf', /^format-unsupported: .* is an array of arrays/],
    ['reference-llama.gguf', /^imported$/],
    ['split-00001-of-00002.gguf', /^format-invalid: .* files are missing/],
    ['split-00002-of-00002.gguf', /^format-invalid: .* files are missing/],
  ])('%s', async (name, outcome) => {
    const file = readCorpus().find((candidate) => candidate.name === name);
    expect(await judge(file?.bytes ?? new Uint8Array(0))).toMatch(outcome);
  });

  test('is taken apart and joined to the same bytes', () => {
    for (const { name, bytes } of readCorpus()) {
      expect(Buffer.compare(join(takeApart(bytes)).bytes, bytes), name).toBe(0);
    }
  });

  test('cut at any byte of the header, and where tensors begin and end, each file is refused', async () => {
    for (const { bytes, name } of readCorpus()) {
      const { headerBytes } = join(takeApart(bytes));
      // One file is of the kind that is refused whole.
      const tensors = await parseGguf(memorySource(bytes)).then(
        (gguf) => gguf.tensors,
        () => [],
      );
      const cuts = Array.from({ length: headerBytes + 1 }, (_, at) => at);
      for (const { offsetBytes, byteLength } of tensors) {
        cuts.push(offsetBytes, offsetBytes + 1, offsetBytes + byteLength - 1);
      }
      for (const cut of cuts) {
        expect(await judge(bytes.slice(0, cut)), `${name} cut at ${cut}`).toMatch(/^format-/);
      }
    }
  });
});

test('inputs that once went wrong', async () => {
  for (const { bytes } of readCorpus('failures/')) await judge(bytes);
});

/** That a run got everywhere: into every check, and through to whole imports. */
function expectReach(tally: Tally, inputs: number): void {
  const outcomes = [...tally.keys()];
  expect([...tally.values()].reduce((sum, count) => sum + count, 0)).toBe(inputs);
  expect(tally.get('imported')).toBeGreaterThan(inputs / 100);
  expect(tally.get('splits: imported')).toBeGreaterThan(inputs / 1000);
  expect(outcomes.length).toBeGreaterThan(200);
  for (const code of [
    'format-invalid',
    'format-unsupported',
    'architecture-unsupported',
    'tokenizer-invalid',
    'tokenizer-unsupported',
    'template-unsupported',
  ]) {
    expect(
      outcomes.some((outcome) => outcome.includes(code)),
      code,
    ).toBe(true);
  }
}

test(`${QUICK_INPUTS} seeded inputs`, async () => {
  expectReach(await fuzzGguf(readSeeds(), { seed: SEED, from: 0, to: QUICK_INPUTS }), QUICK_INPUTS);
});

const TOKENIZERS = isFull ? 500 : 8;

test(`${TOKENIZERS} tokenizers that were let pass are read by WebLLM's tokenizer`, async () => {
  const { seeds } = readSeeds();
  let read = 0;
  for (let index = 0; read < TOKENIZERS; index++) {
    const bytes = mutate(seeds, createChoice(SEED + 1, index));
    const text = await importTokenizer(bytes);
    if (text === null) continue;
    read++;
    const tokenizer = await loadWebLlmTokenizer(text);
    expect(tokenizer.decode(tokenizer.encode('ab a')), `input ${index}`).toMatch(/^[ab ]*$/);
    tokenizer.dispose();
  }
}, 1_200_000);

/** @returns tokenizer.json, or null where the file is refused */
async function importTokenizer(bytes: Uint8Array): Promise<string | null> {
  let text: string | null = null;
  const sink: ModelSink = {
    writeShard: async () => undefined,
    complete: async (files) => {
      text = files.get(TOKENIZER_FILE) ?? null;
    },
  };
  await importGguf(memorySource(bytes), sink).catch((error) => {
    if (!isTramontaneError(error)) throw error;
  });
  return text;
}

test.skipIf(!isFull)(
  `${FULL_INPUTS} seeded inputs, in processes of 96 MiB of heap`,
  async () => {
    const processes = Math.min(8, cpus().length);
    const share = Math.ceil(FULL_INPUTS / processes);
    const startMs = performance.now();
    const tallies = await Promise.all(
      Array.from({ length: processes }, (_, index) =>
        runProcess(index * share, Math.min(FULL_INPUTS, (index + 1) * share)),
      ),
    );
    const seconds = (performance.now() - startMs) / 1000;
    const total: Tally = new Map();
    for (const tally of tallies) {
      for (const [outcome, count] of tally) total.set(outcome, (total.get(outcome) ?? 0) + count);
    }
    console.log(
      `${FULL_INPUTS} inputs in ${seconds.toFixed(0)} s (${(FULL_INPUTS / seconds).toFixed(0)}/s), ${total.size} outcomes`,
    );
    expectReach(total, FULL_INPUTS);
  },
  3_600_000,
);

function runProcess(from: number, to: number): Promise<Tally> {
  const script = joinPath(ROOT, 'tests/fuzz/gguf-fuzz-run.ts');
  const child = spawn(
    process.execPath,
    ['--max-old-space-size=96', '--import', 'tsx', script, ...[SEED, from, to].map(String)],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  return new Promise((resolve, reject) => {
    let output = '';
    let errors = '';
    let last = 'the start';
    const giveUp = () => {
      child.kill('SIGKILL');
      reject(new Error(`Seed ${SEED}: no thousand inputs in ${SILENCE_MS / 1000} s after ${last}`));
    };
    let watch = setTimeout(giveUp, SILENCE_MS);
    child.stdout.on('data', (chunk) => {
      output += chunk;
      last = output.trimEnd().split('\n').at(-1) ?? last;
      clearTimeout(watch);
      watch = setTimeout(giveUp, SILENCE_MS);
    });
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      clearTimeout(watch);
      if (code === 0) resolve(new Map(JSON.parse(last)));
      else reject(new Error(`Seed ${SEED}, after ${last}: ended with status ${code}\n${errors}`));
    });
  });
}
