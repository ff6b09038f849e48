/** `npm run score`, as a person calls it: both runtimes against the float64 reference, on tiny-mistral. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'playwright/test';
import type { ScoreResult } from '../../src/engine/api.ts';
import { loadReferenceModel } from '../conformance/load-reference.ts';
import { runScript, type ScriptOptions } from '../tools/run-script.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';
import { softwareVulkan } from '../tools/vulkan.ts';

const TOP = 3;
const TOKENS = [1, 50, 570, 613, 60, 700, 604, 88];

let folder: string;
let model: string;

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tramontane-score-'));
  model = (await ensureTinyMistral('plain')).folder;
});
test.afterAll(() => rm(folder, { recursive: true, force: true }));

async function score(args: readonly string[], options?: ScriptOptions): Promise<ScoreResult> {
  const { code, stdout, stderr } = await runScript('score.ts', ['--model', model, ...args], options);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as ScoreResult;
}

/** All that a result says, against the reference's logits for the same tokens. */
async function expectRight(result: ScoreResult): Promise<void> {
  const { tokens, positions } = result;
  expect(Object.keys(result)).toEqual(['model', 'adapter', 'tokens', 'positions', 'perplexity']);
  expect(result.model).toBe('model');
  expect(result.adapter.vendor).not.toBe('');
  expect(positions).toHaveLength(tokens.length);
  expect(positions[0]).toBeNull();

  const { model: reference } = await loadReferenceModel((name) => readFile(join(model, name)));
  const logits = reference.forward(tokens, reference.createCache());
  for (let i = 1; i < tokens.length; i++) {
    const row = logits[i - 1]!;
    const most = Math.max(...row);
    const logSum = most + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
    // A logit's error and the sum's: see tests/conformance.
    const share = result.adapter.shaderF16 ? 2e-2 : 1e-3;
    const tolerance = 2 * share * Math.max(...row.map(Math.abs));
    const { token, logprob, top } = positions[i]!;
    expect(token).toBe(tokens[i]);
    expect(top).toHaveLength(TOP);
    for (const entry of [{ token, logprob }, ...top]) {
      expect(Math.abs(entry.logprob - (row[entry.token]! - logSum)), `position ${i}`).toBeLessThan(tolerance);
    }
    expect(Math.abs(top[0]!.logprob - (most - logSum)), `position ${i}`).toBeLessThan(tolerance);
    expect(top.map((entry) => entry.logprob)).toEqual(
      top.map((entry) => entry.logprob).sort((a, b) => b - a),
    );
  }
  const sum = positions.reduce((total, position) => total + (position?.logprob ?? 0), 0);
  expect(result.perplexity / Math.exp(-sum / (tokens.length - 1))).toBeCloseTo(1, 5);
}

test('in a browser: given tokens', async () => {
  const result = await score(['--tokens', TOKENS.join(', '), '--top', String(TOP)]);
  expect(result.tokens).toEqual(TOKENS);
  await expectRight(result);
});

test('on Dawn: a text, half of it by decode steps', async () => {
  const icd = softwareVulkan.f16() ?? softwareVulkan.f32();
  test.skip(icd === null, 'There is no Vulkan driver that WebGPU in Node could use.');
  const file = join(folder, 'text.txt');
  await writeFile(file, 'The wind comes from the sea, says [INST] the river.');
  const args = ['--runtime', 'dawn', '--text', file, '--top', String(TOP), '--decode-from', '6'];
  const result = await score(args, { env: { VK_ICD_FILENAMES: icd ?? '', LP_NUM_THREADS: '1' } });
  expect(result.tokens.length).toBeGreaterThan(12);
  await expectRight(result);
});

test('wrong usage: 2, and what is wrong', async () => {
  const cases: [args: string[], message: string][] = [
    [[], 'Give either --text or --tokens.'],
    [['--tokens', '1,x'], '"x" is none'],
    [['--tokens', '1,2', '--runtime', 'deno'], '--runtime must be browser or dawn, got "deno"'],
  ];
  const outcomes = await Promise.all(cases.map(([args]) => runScript('score.ts', args)));
  for (const [i, [, message]] of cases.entries()) {
    expect(outcomes[i]!.stderr).toContain(message);
    expect([outcomes[i]!.code, outcomes[i]!.stdout]).toEqual([2, '']);
  }
});
