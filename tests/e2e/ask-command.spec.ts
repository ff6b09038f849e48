/** `npm run ask`, as a person calls it, on tiny-mistral; and SmolLM2's public GGUF against the built-in model. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Validator } from '@cfworker/json-schema';
import { expect, test } from 'playwright/test';
import { findChromium } from '../../scripts/lib/chromium.ts';
import type { AdapterReport, Timings, Usage } from '../../src/engine/api.ts';
import { interrupt, runScript, type ScriptOptions } from '../tools/run-script.ts';
import { ensureSmolLm2File } from '../tools/smollm2.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

interface Answer {
  text: string;
  tokens: number[];
  finish_reason: string;
  usage: Usage;
  timings: Timings;
  model: string;
  adapter: AdapterReport;
}

const QUESTION = 'Where does the wind come from?';
const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 12 }, size: { enum: ['S', 'M', 'L'] } },
  required: ['name', 'size'],
  additionalProperties: false,
};
/** As statistics have it. */
const RATE = '(?:[\\d.]+ tokens/s|–)';

let folder: string;
let model: { gguf: string; folder: string };

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tramontane-ask-'));
  model = await ensureTinyMistral('plain');
});
test.afterAll(() => rm(folder, { recursive: true, force: true }));

const ask = (args: readonly string[], options?: ScriptOptions) => runScript('ask.ts', args, options);

async function writeSchema(name: string, schema: unknown): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, JSON.stringify(schema));
  return file;
}

test('an answer on stdout, everything else on stderr; from a folder and from the GGUF, as text and as JSON', async () => {
  const schema = await writeSchema('schema.json', SCHEMA);
  const options = ['--json-schema', schema, '--system', 'Answer briefly.', '--max-tokens', '160'];
  const sampling = ['--temperature', '1', '--top-p', '0.9', '--seed', '3', '--context', '512'];
  const asText = await ask(['--model', model.folder, ...options, ...sampling, QUESTION]);
  expect(asText.code, asText.stderr).toBe(0);
  expect(new Validator(SCHEMA as never, '2020-12').validate(JSON.parse(asText.stdout)).errors).toEqual([]);

  // Without a Vulkan driver: on Linux the browser that was to have the GPU offers no WebGPU at all then.
  const asJson = await ask(['--model', model.gguf, '--format', 'json', ...options, ...sampling, QUESTION], {
    env: { VK_ICD_FILENAMES: join(folder, 'absent.json') },
  });
  expect(asJson.code, asJson.stderr).toBe(0);
  const answer = JSON.parse(asJson.stdout) as Answer;
  expect(Object.keys(answer)).toEqual([
    'text',
    'tokens',
    'finish_reason',
    'usage',
    'timings',
    'model',
    'adapter',
  ]);
  if (process.platform === 'linux') {
    expect(answer.adapter).toMatchObject({ isSoftware: true, vendor: expect.stringMatching(/./) });
    expect(asJson.stderr.match(/No GPU was found/g)).toHaveLength(1);
    expect(answer.text).toBe(asText.stdout.replace(/\n$/, ''));
  }
  expect(answer.finish_reason).toBe('stop');
  const { usage, timings } = answer;
  expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
  expect(answer.tokens.every((id) => Number.isInteger(id))).toBe(true);
  // The end-of-turn token is counted, and is no part of the answer.
  expect(answer.tokens).toHaveLength(usage.completion_tokens - 1);
  expect(timings).toMatchObject({
    prefillTokens: usage.prompt_tokens,
    decodeTokens: usage.completion_tokens - 1,
  });
  expect(timings.timeToFirstTokenMs).toBeGreaterThan(0);
  expect(answer.model).toBe('tiny-mistral-q4_0');

  expect(asText.stderr).toMatch(
    new RegExp(
      `\nmodel · generated:.* · .+\nprompt ${usage.prompt_tokens} tokens, ${RATE} · first token after [\\d.]+ s · ` +
        `answer \\d+ tokens, ${RATE}\n$`,
    ),
  );
  expect(asText.stderr).toMatch(/^(read|upload|compile) …$/m);
});

test('the answer shows while it is written, and an interruption ends it with 130', async () => {
  // Long whatever the model would say.
  const schema = await writeSchema('long.json', { type: 'array', items: { enum: [1, 2, 3] }, minItems: 200 });
  let interrupted = false;
  const { code, stdout, stderr } = await ask(['--model', model.folder, '--json-schema', schema, QUESTION], {
    onOutput(output, child) {
      if (interrupted || output.stdout === '') return;
      interrupted = true;
      interrupt(child);
    },
  });
  expect(code, stderr).toBe(130);
  expect(stdout).toMatch(/^\[/);
  expect(stdout).not.toMatch(/\]\s*$/);
  expect(stderr).toMatch(/\nInterrupted\.\n$/);
});

test('without a browser, and without WebGPU: 1, and what to do', async () => {
  const { code, stdout, stderr } = await ask(['--model', model.folder, QUESTION], {
    env: { TRAMONTANE_CHROMIUM: join(folder, 'absent') },
  });
  expect(stderr).toContain('set TRAMONTANE_CHROMIUM to its path');
  expect([code, stdout]).toEqual([1, '']);

  test.skip(process.platform === 'win32', 'the browser without WebGPU is a shell script');
  const browser = join(folder, 'browser.sh');
  await writeFile(
    browser,
    `#!/bin/sh\nexec "${findChromium()}" "$@" --disable-gpu --disable-software-rasterizer\n`,
  );
  await chmod(browser, 0o755);
  const without = await ask(['--model', model.folder, QUESTION], { env: { TRAMONTANE_CHROMIUM: browser } });
  expect(without.stderr).toMatch(/Error \(webgpu-unavailable\): .+\n.+\n/);
  expect([without.code, without.stdout]).toEqual([1, '']);
});

test('wrong usage: 2, and what is wrong; --help: 0', async () => {
  const notJson = join(folder, 'not.json');
  await writeFile(notJson, '{');
  const cases: [args: string[], message: string][] = [
    [['--colour', 'x'], "Unknown option '--colour'"],
    [['--max-tokens', 'many', 'x'], '--max-tokens must be a number, got "many"'],
    [['--json-schema', notJson, 'x'], 'is not JSON'],
    [['--model', 'nobody', 'x'], 'There is no model or file nobody. The site has: smollm2-135m-instruct'],
  ];
  const outcomes = await Promise.all([ask(['--help']), ...cases.map(([args]) => ask(args))]);
  const [help, ...refused] = outcomes;
  expect(help).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('--json-schema FILE') });
  for (const [i, [, message]] of cases.entries()) {
    const { code, stdout, stderr } = refused[i]!;
    expect(stderr).toContain(message);
    expect(stderr).toContain('Try --help.');
    expect([code, stdout]).toEqual([2, '']);
  }
});

test('a GGUF answers as the built-in model made of it does, token for token', async () => {
  test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
  const answer = async (...options: string[]): Promise<Answer> => {
    const greedy = ['--temperature', '0', '--max-tokens', '24', '--format', 'json'];
    const { code, stdout, stderr } = await ask([...options, ...greedy, QUESTION]);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const builtIn = await answer();
  expect(builtIn.model).toBe('smollm2-135m-instruct');
  expect(builtIn.tokens.length).toBeGreaterThan(8);
  const own = await answer('--model', await ensureSmolLm2File());
  expect(own.model).not.toBe(builtIn.model);
  const { text, tokens, finish_reason } = builtIn;
  expect(own).toMatchObject({ text, tokens, finish_reason });
});
