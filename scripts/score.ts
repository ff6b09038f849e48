/** `npm run score`: forced decoding, as one JSON object. `--help` lists the options. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { WireError } from '../src/base/errors.ts';
import type { Progress, ScoreRequest, ScoreResult } from '../src/engine/api.ts';
import { createProgressLine, runCommand, UsageError } from './lib/command-line.ts';
import { type CommandPage, type PageSource, runInSite } from './lib/headless.ts';
import { type ResolvedModel, resolveModel } from './lib/model-argument.ts';

const HELP = `Usage: npm run score -- (--text FILE | --tokens 1,2,3) [options]

Runs given tokens through a model and prints how probable it found each, as one JSON object: model, adapter, tokens,
positions (entry i tells of the prediction of token i; entry 0 is null), perplexity.

  --text FILE                  a UTF-8 text, encoded without a chat template
  --tokens 1,2,3               token ids
  --model ID|FOLDER|FILE.gguf  Default: the built-in model
  --top N                      alternatives per position, 0 to 64. Default 5
  --decode-from N              compute positions from N on by decode steps instead of prefill
  --runtime browser|dawn       a headless Chrome or Chromium, or WebGPU in Node. Default: browser
  --help

Exit codes: 0 scored, 1 failed (the reason and a next step are on stderr), 2 wrong usage, 130 interrupted.`;

function parseInteger(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d+$/.test(value)) throw new UsageError(`--${name} must be a whole number, got "${value}".`);
  return Number(value);
}

async function main(signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    options: {
      text: { type: 'string' },
      tokens: { type: 'string' },
      model: { type: 'string' },
      top: { type: 'string' },
      'decode-from': { type: 'string' },
      runtime: { type: 'string', default: 'browser' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const request: ScoreRequest = { input: await readInput(values.text, values.tokens) };
  const top = parseInteger('top', values.top);
  if (top !== undefined) request.top = top;
  const decodeFrom = parseInteger('decode-from', values['decode-from']);
  if (decodeFrom !== undefined) request.decodeFrom = decodeFrom;
  if (values.runtime !== 'browser' && values.runtime !== 'dawn') {
    throw new UsageError(`--runtime must be browser or dawn, got "${values.runtime}".`);
  }

  const line = createProgressLine();
  const model = await resolveModel(values.model, { signal, onProgress: line.show });
  line.end();
  const score = values.runtime === 'browser' ? scoreInBrowser : scoreOnDawn;
  const result = await score(model, request, line.show, signal);
  line.end();
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function readInput(
  text: string | undefined,
  tokens: string | undefined,
): Promise<ScoreRequest['input']> {
  if ((text === undefined) === (tokens === undefined))
    throw new UsageError('Give either --text or --tokens.');
  if (text !== undefined) {
    const contents = await readFile(text, 'utf8').catch(() => {
      throw new UsageError(`Cannot read ${text}.`);
    });
    return { text: contents };
  }
  const ids = (tokens as string).split(',').map((id) => id.trim());
  const wrong = ids.find((id) => !/^\d+$/.test(id));
  if (wrong !== undefined)
    throw new UsageError(`--tokens must be ids with commas between them; "${wrong}" is none.`);
  return { tokens: ids.map(Number) };
}

function scoreInBrowser(
  model: ResolvedModel,
  request: ScoreRequest,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<ScoreResult> {
  return runInSite(model, scoreInPage, { request }, { signal, onEvent: onProgress });
}

async function scoreInPage(input: {
  source: PageSource;
  request: ScoreRequest;
}): Promise<ScoreResult | { error: WireError }> {
  const page = globalThis as unknown as CommandPage<Progress>;
  const { engine, toWireError } = page.tramontane;
  try {
    await engine.loadModel(input.source, { onProgress: (progress) => void page.tramontaneEmit(progress) });
    return await engine.score(input.request);
  } catch (error) {
    return { error: toWireError(error) };
  }
}

async function scoreOnDawn(
  model: ResolvedModel,
  request: ScoreRequest,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<ScoreResult> {
  const { createDawnEngine } = await import('./lib/dawn-engine.ts');
  const { engine, modelUrl, close } = await createDawnEngine(model.folder);
  try {
    await engine.loadModel({ id: model.id, url: modelUrl }, { onProgress, signal });
    return await engine.score(request, { signal });
  } finally {
    await close();
  }
}

await runCommand(main);
