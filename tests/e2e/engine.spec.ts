/**
 * The real engine in the built site, under a sub-path, with tiny-mistral: what a visitor's browser does, without the
 * page's chrome. ask.html holds the same client and worker as the chat page.
 */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, expect, type Page, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import type { ChatChunk, ChatRequest, LoadOptions } from '../../src/engine/api.ts';
import { planCaps } from '../tools/plan-caps.ts';
import { createPrebuiltFolder, LIBRARY_NAME } from '../tools/prebuilt-folder.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

const SMOLLM2 = join(ROOT, 'public/models/smollm2-135m-instruct');

type CommandApi = typeof import('../../src/app/ask-page.ts').commandApi;
declare const tramontane: CommandApi;

let server: StaticServer;
let page: Page;
let context: BrowserContext;
const origins = new Set<string>();
const consoleErrors: string[] = [];

test.describe.configure({ mode: 'serial' });

test.beforeAll(async ({ browser }) => {
  const { folder } = await ensureTinyMistral('plain');
  server = await startStaticServer({
    mounts: {
      '/some/path/': SITE,
      '/some/path/models/tiny-mistral/': folder,
      '/some/path/models/smollm2/': SMOLLM2,
      '/some/path/prebuilt/': await savePrebuilt(folder),
    },
  });
  context = await browser.newContext();
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith('http')) origins.add(url.origin);
  });
  page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') consoleErrors.push(message.text());
  });
  // The chat page installs the service worker, which keeps the worker's code for when the network is gone.
  await page.goto(`${server.url}some/path/?engine=fake`);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await openPage();
});

test.afterAll(async () => {
  await context?.close();
  await server?.close();
});

/** A model as published for a prebuilt library, which is one of ours. @returns its folder */
async function savePrebuilt(model: string): Promise<string> {
  const caps = { ...planCaps.software, isSoftware: true };
  const files = await createPrebuiltFolder((name) => readFile(join(model, name)), caps);
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-prebuilt-'));
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
  return folder;
}

async function openPage(): Promise<void> {
  await page.goto(`${server.url}some/path/ask.html`);
  await page.waitForFunction(() => 'tramontane' in globalThis);
}

async function load(options: LoadOptions = {}): Promise<{ library: string; contextLength: number }> {
  return page.evaluate(
    (input) =>
      tramontane.engine.loadModel(
        { id: 'tiny-mistral', url: new URL('models/tiny-mistral/', document.baseURI).href },
        input,
      ),
    { prefillChunkLength: 64, ...options },
  );
}

interface Outcome {
  text: string;
  last: ChatChunk | null;
  error: { name: string; code: string | null; message: string } | null;
  chunks: number;
}

/** Streams an answer; it is stopped after so many chunks, or by {@link stopAnswer}. */
function ask(request: ChatRequest, stop: { afterChunks?: number } = {}): Promise<Outcome> {
  return page.evaluate(
    async ([input, { afterChunks }]) => {
      const outcome: Outcome = { text: '', last: null, error: null, chunks: 0 };
      const controller = new AbortController();
      Object.assign(globalThis, { stopAnswer: () => controller.abort() });
      try {
        for await (const chunk of tramontane.engine.streamChat(input, { signal: controller.signal })) {
          outcome.text += chunk.choices[0]?.delta.content ?? '';
          outcome.last = chunk;
          if (++outcome.chunks === afterChunks) controller.abort();
        }
      } catch (error) {
        outcome.error = tramontane.toWireError(error);
      }
      return outcome;
    },
    [request, stop] as const,
  );
}

/** Stops the answer that was asked for last. */
const stopAnswer = () => page.evaluate(() => (globalThis as unknown as { stopAnswer(): void }).stopAnswer());

interface GpuWaits {
  count(): Promise<number>;
  /** Lets the last of so many more wait until {@link GpuWaits.release}. */
  holdAfter(count: number): Promise<void>;
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** Counts how often the engine's worker waits for the GPU, which it does after each chunk of a prefill. */
async function watchGpuWaits(): Promise<GpuWaits> {
  interface Scope {
    gpuWaits: { count: number; heldAt: number; release: (() => void) | null };
  }
  const worker = page.workers()[0]!;
  await worker.evaluate(() => {
    const waits: Scope['gpuWaits'] = { count: 0, heldAt: Number.POSITIVE_INFINITY, release: null };
    Object.assign(globalThis, { gpuWaits: waits });
    const { onSubmittedWorkDone } = GPUQueue.prototype;
    GPUQueue.prototype.onSubmittedWorkDone = async function () {
      await onSubmittedWorkDone.call(this);
      if (++waits.count < waits.heldAt) return;
      waits.heldAt = Number.POSITIVE_INFINITY;
      await new Promise<void>((resolve) => {
        waits.release = resolve;
      });
    };
  });
  return {
    count: () => worker.evaluate(() => (globalThis as unknown as Scope).gpuWaits.count),
    holdAfter: (count) =>
      worker.evaluate((more) => {
        const waits = (globalThis as unknown as Scope).gpuWaits;
        waits.heldAt = waits.count + more;
      }, count),
    isHeld: () => worker.evaluate(() => (globalThis as unknown as Scope).gpuWaits.release !== null),
    release: () => worker.evaluate(() => (globalThis as unknown as Scope).gpuWaits.release?.()),
  };
}

const user = (content: string) => ({ role: 'user' as const, content });
const assistant = (content: string) => ({ role: 'assistant' as const, content });
/** Makes the model end its answer soon, by itself. */
const endSoon = { logit_bias: { '2': 5 }, temperature: 0, max_completion_tokens: 200 };

test('loads, and streams an answer', async () => {
  const model = await load();
  expect(model.library).toMatch(/^generated:f32/);
  const answer = await ask({
    messages: [user('Where does the wind come from?')],
    seed: 1,
    max_completion_tokens: 24,
  });
  expect(answer.error).toBeNull();
  expect(answer.chunks).toBeGreaterThan(5);
  expect(answer.last?.usage?.completion_tokens).toBeLessThanOrEqual(24);
  expect(answer.last?.timings?.prefillTokens).toBeGreaterThan(0);
});

test('the same seed gives the same text, other seeds others', async () => {
  const request = (seed: number): ChatRequest => ({
    messages: [user('Tell me something.')],
    temperature: 1,
    seed,
    max_completion_tokens: 12,
  });
  const first = await ask(request(7));
  const again = await ask(request(7));
  expect(again.text).toBe(first.text);
  const others = [await ask(request(8)), await ask(request(9)), await ask(request(10))];
  expect(others.some(({ text }) => text !== first.text)).toBe(true);
});

test('a second turn prefills only what is new, and its ids equal those of a cold run', async () => {
  const question = user('What is a river?');
  const first = await ask({ messages: [question], ...endSoon, return_token_ids: true });
  expect(first.last?.choices[0]?.finish_reason).toBe('stop');
  const messages = [question, assistant(first.text), user('And the sea?')];
  const warm = await ask({ messages, ...endSoon, return_token_ids: true });
  expect(warm.last?.usage?.prompt_tokens_details.cached_tokens).toBeGreaterThan(
    (first.last?.usage?.prompt_tokens ?? Infinity) - 1,
  );
  expect(warm.last?.timings?.prefillTokens).toBeLessThan(warm.last?.usage?.prompt_tokens ?? 0);
  const cold = await ask({ messages, ...endSoon, return_token_ids: true, cache_prompt: false });
  expect(cold.last?.usage?.prompt_tokens_details.cached_tokens).toBe(0);
  expect(warm.last?.prompt_token_ids).toEqual(cold.last?.prompt_token_ids);
  expect(warm.text).toBe(cold.text);
});

test('text arrives as typed: no placeholder of a template, no control token', async () => {
  const text = "$& $$ $' {function_string} {user_message} [INST] </s> [/INST] \u00011\u0002 é 🌬️";
  const [ids, plain] = await page.evaluate(async (content) => {
    const { engine } = tramontane;
    return [
      await engine.tokenizeChat([{ role: 'user', content }]),
      await engine.tokenizeChat([{ role: 'user', content: 'x' }]),
    ];
  }, text);
  // Control tokens of the frame, and none from the text.
  const control = (list: number[]) => list.filter((id) => id < 40);
  expect(control(ids)).toEqual(control(plain));
  const answer = await ask({ messages: [user(text)], max_completion_tokens: 1, return_token_ids: true });
  expect(answer.last?.prompt_token_ids).toEqual(ids);
});

test('stop during decode: within one token, the model stays, the next question is answered', async () => {
  const stopped = await ask(
    { messages: [user('Count.')], max_completion_tokens: 500, logit_bias: { '2': -100 } },
    { afterChunks: 3 },
  );
  expect(stopped.last?.choices[0]?.finish_reason).toBe('abort');
  expect(stopped.last?.usage?.completion_tokens).toBeLessThanOrEqual(5);
  const next = await ask({ messages: [user('Go on.')], max_completion_tokens: 3 });
  expect(next.error).toBeNull();
});

test('stop during a long prefill: within one chunk, and the next question is answered', async () => {
  const long = 'wind over the sea '.repeat(260);
  const length = await page.evaluate(
    (content) => tramontane.engine.tokenizeChat([{ role: 'user', content }]),
    long,
  );
  expect(length.length).toBeGreaterThan(1000);
  const gpuWaits = await watchGpuWaits();
  const request = { max_completion_tokens: 1, cache_prompt: false };
  await ask({ messages: [user(long)], ...request });
  const wholeCount = await gpuWaits.count();
  // Chunks of at most 64 tokens, of over 1,000.
  expect(wholeCount).toBeGreaterThan(15);
  const quarter = Math.floor(wholeCount / 4);
  await gpuWaits.holdAfter(quarter);
  const stopping = ask({ messages: [user(`${long} again`)], ...request });
  await expect.poll(() => gpuWaits.isHeld()).toBe(true);
  await stopAnswer();
  await gpuWaits.release();
  expect((await stopping).error?.name).toBe('AbortError');
  expect((await gpuWaits.count()) - wholeCount).toBeLessThanOrEqual(quarter + 1);
  const next = await ask({ messages: [user('Short.')], max_completion_tokens: 2 });
  expect(next.error).toBeNull();
});

test('requests of several callers are answered in order, and one that leaves the queue is not missed', async () => {
  const order = await page.evaluate(async () => {
    const { engine } = tramontane;
    const done: string[] = [];
    const leaving = new AbortController();
    const one = async (name: string, signal?: AbortSignal) => {
      try {
        const request = {
          messages: [{ role: 'user' as const, content: name }],
          max_completion_tokens: 4,
          logit_bias: { '2': -100 },
        };
        for await (const _ of engine.streamChat(request, signal === undefined ? {} : { signal })) {
          // `a` is being answered, and `b` and `c` wait.
          leaving.abort();
        }
        done.push(name);
      } catch {
        done.push(`${name} left`);
      }
    };
    const all = [one('a'), one('b', leaving.signal), one('c')];
    await Promise.all(all);
    return done;
  });
  expect(order.filter((name) => !name.includes('left'))).toEqual(['a', 'c']);
  expect(order).toContain('b left');
});

const NAME = { type: 'string', maxLength: 12 };
const SCHEMAS: Record<string, Record<string, unknown>> = {
  flag: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
  integer: {
    type: 'object',
    properties: { n: { type: 'integer', minimum: 0, maximum: 99 } },
    required: ['n'],
  },
  choice: { type: 'object', properties: { size: { enum: ['S', 'M', 'L'] } }, required: ['size'] },
  text: { type: 'object', properties: { name: NAME }, required: ['name'] },
  nested: {
    type: 'object',
    properties: {
      a: {
        type: 'object',
        properties: { b: { type: 'object', properties: { c: { type: 'null' } }, required: ['c'] } },
        required: ['b'],
      },
    },
    required: ['a'],
  },
  union: {
    type: 'object',
    properties: { value: { anyOf: [{ type: 'boolean' }, { type: 'null' }, { enum: ['auto'] }] } },
    required: ['value'],
  },
  array: {
    type: 'object',
    properties: { list: { type: 'array', items: { enum: [1, 2, 3] }, minItems: 2, maxItems: 4 } },
    required: ['list'],
  },
  pattern: {
    type: 'object',
    properties: { date: { type: 'string', pattern: '^20[0-9]{2}-[01][0-9]$' } },
    required: ['date'],
  },
  unicode: {
    type: 'object',
    properties: { città: { enum: ['Genève', '東京', 'São Paulo', '🌬'] } },
    required: ['città'],
  },
  reference: {
    $defs: { leaf: { type: 'object', properties: { id: { enum: ['x', 'y'] } }, required: ['id'] } },
    type: 'object',
    properties: {
      left: { $ref: '#/$defs/leaf' },
      right: { type: 'array', items: { $ref: '#/$defs/leaf' }, maxItems: 2 },
    },
    required: ['left', 'right'],
  },
};

for (const [name, schema] of Object.entries(SCHEMAS)) {
  test(`JSON is valid: ${name}`, async () => {
    const { Validator } = await import('@cfworker/json-schema');
    const answer = await ask({
      messages: [user(`Give me a ${name} as JSON.`)],
      response_format: { type: 'json_schema', json_schema: { name, schema } },
      temperature: 1,
      seed: 3,
      max_completion_tokens: 160,
    });
    expect(answer.error).toBeNull();
    expect(answer.last?.choices[0]?.finish_reason, answer.text).toBe('stop');
    const value: unknown = JSON.parse(answer.text);
    // The grammar compiler adds nothing that the schema does not name.
    const result = new Validator({ ...schema, additionalProperties: false } as never, '2020-12').validate(
      value,
    );
    expect(result.errors, answer.text).toEqual([]);
  });
}

test('JSON that is cut off is reported as length', async () => {
  const answer = await ask({
    messages: [user('List.')],
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'list', schema: { type: 'array', items: { type: 'integer' }, minItems: 100 } },
    },
    max_completion_tokens: 10,
  });
  expect(answer.last?.choices[0]?.finish_reason).toBe('length');
  expect(() => JSON.parse(answer.text)).toThrow();
});

test('bad requests get typed errors, and the engine goes on', async () => {
  const wrong = async (request: ChatRequest) => (await ask(request)).error?.code;
  expect(await wrong({ messages: [] })).toBe('request-invalid');
  expect(await wrong({ messages: [user('x')], temperature: -1 })).toBe('request-invalid');
  expect(await wrong({ messages: [assistant('x')] })).toBe('request-invalid');
  expect(
    await wrong({
      messages: [user('x')],
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'nonsense' } } },
    }),
  ).toBe('schema-invalid');
  expect(await wrong({ messages: [user('wind over the sea '.repeat(2000))] })).toBe('context-exceeded');
  expect((await ask({ messages: [user('x')], max_completion_tokens: 1 })).error).toBeNull();
});

test('sampling options that WebLLM does not know arrive: top_k 1 is greedy at any temperature', async () => {
  const base = { messages: [user('Once upon a time')], max_completion_tokens: 8 };
  const greedy = await ask({ ...base, temperature: 0 });
  for (const seed of [1, 2, 3]) {
    expect((await ask({ ...base, temperature: 5, top_k: 1, seed })).text).toBe(greedy.text);
    expect((await ask({ ...base, temperature: 5, min_p: 1, seed })).text).toBe(greedy.text);
  }
});

test('log-probabilities are those of the distribution, whatever the temperature', async () => {
  const request = (temperature: number): ChatRequest => ({
    messages: [user('One word.')],
    temperature,
    top_k: 1,
    logprobs: true,
    top_logprobs: 3,
    max_completion_tokens: 1,
  });
  const read = async (temperature: number) => {
    const outcome = await page.evaluate(
      (input) => tramontane.engine.completeChat(input),
      request(temperature),
    );
    return outcome.choices[0]?.logprobs?.content[0];
  };
  const cool = await read(0.2);
  const hot = await read(5);
  expect(cool?.top_logprobs).toHaveLength(3);
  expect(hot?.logprob).toBeCloseTo(cool?.logprob ?? Number.NaN, 4);
});

test('score agrees with itself: prefill and decode steps see the same', async () => {
  const [byPrefill, byDecode] = await page.evaluate(async () => {
    const tokens = Array.from({ length: 90 }, (_, i) => 40 + ((i * 37) % 700));
    const { engine } = tramontane;
    return [
      await engine.score({ input: { tokens } }),
      await engine.score({ input: { tokens }, decodeFrom: 70 }),
    ];
  });
  expect(byPrefill.positions[0]).toBeNull();
  expect(byPrefill.positions).toHaveLength(90);
  for (let i = 1; i < 90; i++) {
    expect(byDecode.positions[i]?.logprob).toBeCloseTo(byPrefill.positions[i]?.logprob ?? Number.NaN, 3);
  }
  expect(byDecode.perplexity).toBeCloseTo(byPrefill.perplexity, 1);
});

test('a stop string ends the answer, its beginning never shows, and the next turn holds what was said', async () => {
  const base = {
    messages: [user('Tell me a story.')],
    temperature: 0,
    max_completion_tokens: 12,
    logit_bias: { '2': -100 },
  };
  const whole = await ask(base);
  const stop = whole.text.slice(10, 16);
  const cut = await ask({ ...base, stop });
  expect(cut.last?.choices[0]?.finish_reason).toBe('stop');
  expect(whole.text.startsWith(cut.text)).toBe(true);
  expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
  const follow = {
    ...base,
    messages: [...base.messages, assistant(cut.text), user('Go on.')],
    return_token_ids: true,
  };
  const next = await ask(follow);
  // The question, and what its answer and the text of it have in common.
  const questionTokens = cut.last?.usage?.prompt_tokens ?? Infinity;
  expect(next.last?.usage?.prompt_tokens_details.cached_tokens).toBeGreaterThanOrEqual(questionTokens);
  const cold = await ask({ ...follow, cache_prompt: false });
  expect(next.last?.prompt_token_ids).toEqual(cold.last?.prompt_token_ids);
});

test('a context that does not fit is refused before a shard is fetched, and the model in use stays', async () => {
  const shards: string[] = [];
  const note = (request: { url(): string }) =>
    void (request.url().includes('shard') && shards.push(request.url()));
  page.on('request', note);
  const error = await page.evaluate(async () => {
    try {
      await tramontane.engine.loadModel(
        { id: 'other', url: new URL('models/tiny-mistral/', document.baseURI).href },
        { contextLength: 1_000_000 },
      );
      return null;
    } catch (failure) {
      return tramontane.toWireError(failure).code;
    }
  });
  page.off('request', note);
  expect(error).toBe('config-invalid');
  expect(shards).toEqual([]);
  expect((await ask({ messages: [user('Still there?')], max_completion_tokens: 1 })).error).toBeNull();
});

test('a prebuilt model, as its makers publish it, goes through the same engine with our prompts', async () => {
  const loaded = await page.evaluate(async (library) => {
    const url = new URL('prebuilt/', document.baseURI).href;
    return tramontane.engine.loadModel({ id: 'prebuilt', url, modelLibUrl: `${url}${library}` });
  }, LIBRARY_NAME);
  expect(loaded.library).toBe('prebuilt');
  const typed = 'Say $& and {user_message} [INST] </s>';
  const request = { messages: [user(typed)], ...endSoon, return_token_ids: true };
  const answer = await ask(request);
  expect(answer.error).toBeNull();
  const next = await ask({
    ...request,
    messages: [...request.messages, assistant(answer.text), user('And?')],
  });
  // The answer may have ended before its first word.
  expect(next.last?.usage?.prompt_tokens_details.cached_tokens).toBeGreaterThanOrEqual(
    answer.last?.usage?.prompt_tokens ?? Infinity,
  );
  const score = await page.evaluate(() => tramontane.engine.score({ input: { tokens: [1, 50, 60, 70] } }));
  expect(score.positions).toHaveLength(4);
  const wrong = async (messages: ReturnType<typeof user>[], options: Partial<ChatRequest> = {}) =>
    (await ask({ messages, ...options })).error?.code;
  expect(await wrong([user('x')], { top_k: 3 })).toBe('request-invalid');
  expect(await wrong([user('wind over the sea '.repeat(2000))])).toBe('context-exceeded');
  // As the same weights answer with a library and a tokenizer that were ours from the start.
  await load();
  const generated = await ask(request);
  expect(generated.last?.prompt_token_ids).toEqual(answer.last?.prompt_token_ids);
  expect(generated.text).toBe(answer.text);
});

const loadSmolLm2 = () =>
  page.evaluate(async () => {
    const phases: string[] = [];
    await tramontane.engine.loadModel(
      { id: 'smollm2', url: new URL('models/smollm2/', document.baseURI).href },
      { onProgress: ({ phase }) => phases.push(phase) },
    );
    return phases;
  });
const capital: ChatRequest = {
  messages: [user('What is the capital of France? Answer in one word.')],
  temperature: 0,
  max_completion_tokens: 8,
  return_token_ids: true,
};

test('SmolLM2, the built-in model, streams an answer', async () => {
  expect(await loadSmolLm2()).toContain('download');
  const first = await ask(capital);
  expect(first.text).toContain('Paris');
  expect(first.chunks).toBeGreaterThan(2);
  expect(first.last?.choices[0]?.finish_reason).toBe('stop');
});

test('SmolLM2: a second turn, a stop, JSON', async () => {
  test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
  const first = await ask(capital);
  const messages = [...capital.messages, assistant(first.text), user('And of Italy?')];
  const second = await ask({ ...capital, messages });
  expect(second.last?.usage?.prompt_tokens_details.cached_tokens).toBeGreaterThan(
    (first.last?.usage?.prompt_tokens ?? Infinity) - 1,
  );
  expect(second.text).toContain('Rome');

  const stopped = await ask(
    { messages: [user('Tell me a story.')], max_completion_tokens: 200 },
    { afterChunks: 3 },
  );
  expect(stopped.last?.choices[0]?.finish_reason).toBe('abort');
  expect(stopped.last?.usage?.completion_tokens).toBeLessThanOrEqual(5);

  const schema = {
    type: 'object',
    properties: { capital: { enum: ['Rome', 'Paris'] } },
    required: ['capital'],
  };
  const json = await ask({
    ...capital,
    max_completion_tokens: 24,
    response_format: { type: 'json_schema', json_schema: { name: 'capital', schema } },
  });
  expect(json.last?.choices[0]?.finish_reason).toBe('stop');
  expect(JSON.parse(json.text)).toEqual({ capital: 'Paris' });
});

test('after a reload with the network gone both models load from IndexedDB and answer', async () => {
  await load();
  const again: ChatRequest = { messages: [user('Again?')], temperature: 0, max_completion_tokens: 6 };
  const before = await ask(again);
  await openPage();
  await server.close();
  expect(await loadSmolLm2()).not.toContain('download');
  expect((await ask(capital)).text).toContain('Paris');
  const progress = await page.evaluate(async () => {
    const phases: string[] = [];
    await tramontane.engine.loadModel(
      { id: 'tiny-mistral', url: new URL('models/tiny-mistral/', document.baseURI).href },
      { prefillChunkLength: 64, onProgress: ({ phase }) => phases.push(phase) },
    );
    return phases;
  });
  expect(progress).not.toContain('download');
  expect((await ask(again)).text).toBe(before.text);
});

test('nothing was asked of another origin, and nothing was reported as an error', () => {
  expect([...origins]).toEqual([new URL(server.url).origin]);
  // Chromium reports the requests that the last test let fail.
  expect(consoleErrors.filter((text) => !/ERR_CONNECTION/.test(text))).toEqual([]);
});
