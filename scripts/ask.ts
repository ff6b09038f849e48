/** `npm run ask -- "question"`: one answer from the built site in a headless browser. `--help` lists the options. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { WireError } from '../src/base/errors.ts';
import type { ChatChunk, ChatRequest, LoadedModel, Progress } from '../src/engine/api.ts';
import { createProgressLine, runCommand, UsageError } from './lib/command-line.ts';
import { type CommandPage, type PageSource, runInSite } from './lib/headless.ts';
import { resolveModel } from './lib/model-argument.ts';

const HELP = `Usage: npm run ask -- [options] "question"

Asks a model, running in a headless Chrome or Chromium on this machine's GPU (on the processor where there is none). The
answer goes to stdout as it is generated; progress and statistics go to stderr.

  --model ID|FOLDER|FILE.gguf  a model of the site, an imported folder, or a GGUF. Default: the built-in model
  --system TEXT                system prompt
  --json-schema FILE           hold the answer to this JSON schema
  --max-tokens N               at most N tokens
  --temperature T              0 is greedy. Default: what the model's makers recommend
  --top-p P                    in (0, 1]
  --seed S                     same seed, same answer
  --context N                  tokens of context to load the model with
  --format text|json           json prints one object: text, tokens, finish_reason, usage, timings, model, adapter
  --help

Exit codes: 0 answered, 1 failed (the reason and a next step are on stderr), 2 wrong usage, 130 interrupted.`;

interface Answer {
  text: string;
  last: ChatChunk;
  model: LoadedModel;
}

type PageEvent = { progress: Progress } | { text: string };

function parseNumber(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() === '' || Number.isNaN(number))
    throw new UsageError(`--${name} must be a number, got "${value}".`);
  return number;
}

async function main(signal: AbortSignal): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string' },
      system: { type: 'string' },
      'json-schema': { type: 'string' },
      'max-tokens': { type: 'string' },
      temperature: { type: 'string' },
      'top-p': { type: 'string' },
      seed: { type: 'string' },
      context: { type: 'string' },
      format: { type: 'string', default: 'text' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const question = positionals.join(' ');
  if (question === '') throw new UsageError('Ask a question: npm run ask -- "Say hello."');
  if (values.format !== 'text' && values.format !== 'json') {
    throw new UsageError(`--format must be text or json, got "${values.format}".`);
  }
  const request: ChatRequest = {
    messages: [
      ...(values.system === undefined ? [] : [{ role: 'system' as const, content: values.system }]),
      { role: 'user', content: question },
    ],
    ...(await readSchema(values['json-schema'])),
  };
  const options = {
    max_completion_tokens: parseNumber('max-tokens', values['max-tokens']),
    temperature: parseNumber('temperature', values.temperature),
    top_p: parseNumber('top-p', values['top-p']),
    seed: parseNumber('seed', values.seed),
  };
  for (const [name, value] of Object.entries(options))
    if (value !== undefined) Object.assign(request, { [name]: value });
  const contextLength = parseNumber('context', values.context);

  const line = createProgressLine();
  const model = await resolveModel(values.model, { signal, onProgress: line.show });
  line.end();
  try {
    const answer = await runInSite(
      model,
      askInPage,
      { contextLength: contextLength ?? null, request },
      {
        signal,
        onEvent(event: PageEvent) {
          if ('progress' in event) return line.show(event.progress);
          line.end();
          if (values.format === 'text') process.stdout.write(event.text);
        },
      },
    );
    line.end();
    report(answer, values.format);
  } finally {
    line.end();
  }
}

async function askInPage(input: {
  source: PageSource;
  contextLength: number | null;
  request: ChatRequest;
}): Promise<Answer | { error: WireError }> {
  const page = globalThis as unknown as CommandPage<PageEvent>;
  const { engine, toWireError } = page.tramontane;
  try {
    const model = await engine.loadModel(input.source, {
      ...(input.contextLength === null ? {} : { contextLength: input.contextLength }),
      onProgress: (progress) => void page.tramontaneEmit({ progress }),
    });
    let text = '';
    let last: ChatChunk | null = null;
    for await (const chunk of engine.streamChat(input.request)) {
      last = chunk;
      const delta = chunk.choices[0]?.delta.content ?? '';
      text += delta;
      if (delta !== '') await page.tramontaneEmit({ text: delta });
    }
    if (last === null) throw new Error('the answer had no end');
    return { text, last, model };
  } catch (error) {
    return { error: toWireError(error) };
  }
}

function report({ text, last, model }: Answer, format: string): void {
  const { usage, timings } = last;
  if (format === 'json') {
    const object = {
      text,
      tokens: last.token_ids ?? [],
      finish_reason: last.choices[0]?.finish_reason ?? null,
      usage,
      timings,
      model: model.id,
      adapter: model.adapter,
    };
    process.stdout.write(`${JSON.stringify(object, null, 2)}\n`);
    return;
  }
  process.stdout.write('\n');
  if (usage === undefined || timings === undefined) return;
  const rate = (tokens: number, ms: number) =>
    ms > 0 ? `${((tokens / ms) * 1000).toFixed(1)} tokens/s` : '–';
  process.stderr.write(
    `\n${model.id} · ${model.library} · ${model.adapter.description || model.adapter.vendor}\n` +
      `prompt ${usage.prompt_tokens} tokens, ${rate(timings.prefillTokens, timings.prefillMs)} · ` +
      `first token after ${(timings.timeToFirstTokenMs / 1000).toFixed(2)} s · ` +
      `answer ${usage.completion_tokens} tokens, ${rate(timings.decodeTokens, timings.decodeMs)}\n`,
  );
}

async function readSchema(file: string | undefined): Promise<Partial<ChatRequest>> {
  if (file === undefined) return {};
  const text = await readFile(file, 'utf8').catch(() => {
    throw new UsageError(`Cannot read the schema ${file}.`);
  });
  try {
    const schema = JSON.parse(text) as Record<string, unknown>;
    return { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } } };
  } catch (error) {
    throw new UsageError(`${file} is not JSON: ${(error as Error).message}`);
  }
}

await runCommand(main);
