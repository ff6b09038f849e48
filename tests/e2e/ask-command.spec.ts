/** `npm run ask`, as a person calls it: SmolLM2's public GGUF from its file, against the built-in model. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'playwright/test';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import { ensureSmolLm2File } from '../tools/smollm2.ts';

interface Answer {
  text: string;
  tokens: number[];
  finish_reason: string;
  model: string;
}

async function ask(...options: string[]): Promise<Answer> {
  const greedy = ['--temperature', '0', '--max-tokens', '24', '--format', 'json'];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'scripts/ask.ts', ...options, ...greedy, 'Where does the wind come from?'],
    { cwd: ROOT },
  );
  return JSON.parse(stdout);
}

test('a GGUF answers as the built-in model made of it does, token for token', async () => {
  test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
  const builtIn = await ask();
  expect(builtIn.model).toBe('smollm2-135m-instruct');
  expect(builtIn.tokens.length).toBeGreaterThan(8);
  const own = await ask('--model', await ensureSmolLm2File());
  expect(own.model).not.toBe(builtIn.model);
  const { text, tokens, finish_reason } = builtIn;
  expect(own).toMatchObject({ text, tokens, finish_reason });
});
