/**
 * The whole of tiny-mistral through unmodified WebLLM: logits against the float64 reference, and against what PyTorch
 * computed from the same file. Prefill lengths at and around the chunk of 64, then decode steps.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { sha256Hex } from '../../src/base/sha256.ts';
import type {
  ChatChunk,
  ChatCompletion,
  ChatMessage,
  ChatRequest,
  LoadOptions,
} from '../../src/engine/api.ts';
import { WebLlmEngine } from '../../src/engine/webllm-engine.ts';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import fixture from '../fixtures/tiny-mistral-logits.json' with { type: 'json' };
import { expectClose } from '../gpu/close-to.ts';
import { getTestDevice } from '../gpu/gpu-device.ts';
import { type ServedModel, serveModel, TINY_MISTRAL_FOLDER } from '../tools/test-models.ts';
import { loadReferenceModel } from './load-reference.ts';
import { tinyMistralGoldens } from './tiny-mistral-goldens.ts';

const goldens = tinyMistralGoldens(fixture);
const { vocabularySize, tokens } = goldens;
const everyId = Array.from({ length: vocabularySize }, (_, id) => id);

const { caps } = await getTestDevice();
const isNode = typeof process !== 'undefined';
// SwiftShader takes a minute to compile this model's kernels; once, in the browser, has to do.
const slow = isNode && !caps.shaderF16 && process.env.TRAMONTANE_FULL === undefined;
const families: { name: string; disable: NonNullable<LoadOptions['disable']> }[] = [
  { name: 'as the device is', disable: [] },
];
// lavapipe compiles quickly: the kernels that real GPUs get are tested there, in all their variants.
if (isNode && caps.shaderF16) {
  families.push({ name: 'with kernels for a GPU', disable: ['software-kernels'] });
  families.push({ name: 'the same without f16', disable: ['software-kernels', 'shader-f16'] });
  families.push({ name: 'the same without subgroups', disable: ['software-kernels', 'subgroups'] });
  families.push({ name: 'the same with neither', disable: ['software-kernels', 'shader-f16', 'subgroups'] });
}

describe.skipIf(slow).each(families)('tiny-mistral $name', ({ disable }) => {
  const tolerance = caps.shaderF16 && !disable.includes('shader-f16') ? 2e-2 : 1e-3;
  let served: ServedModel;
  let engine: WebLlmEngine;
  let expected: readonly Float64Array[];

  beforeAll(async () => {
    served = await serveModel(TINY_MISTRAL_FOLDER);
    const { model } = await loadReferenceModel(served.readFile);
    expected = model.forward(tokens, model.createCache());
    engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: served.url });
    await engine.loadModel({ id: 'tiny-mistral', url: served.url }, { prefillChunkLength: 64, disable });
  }, 400_000);

  afterAll(async () => {
    await engine?.dispose();
    await served?.close();
  });

  /** Logits after each of `inputs`, by forced decoding: one token more is given than is looked at. */
  async function logitsOf(inputs: readonly number[], decodeFrom?: number): Promise<Float32Array[]> {
    const { positions } = await engine.score({
      input: { tokens: [...inputs, 0] },
      top: 0,
      logitsOf: everyId,
      ...(decodeFrom === undefined ? {} : { decodeFrom }),
    });
    return positions.slice(1).map((position) => Float32Array.from(position?.logits ?? []));
  }

  test.each([1, 7, 63, 64, 65, 128, 129])('prefill of %d tokens', async (length) => {
    const logits = await logitsOf(tokens.slice(0, length));
    expect(logits).toHaveLength(length);
    for (const [i, row] of logits.entries()) {
      expectClose(row, expected[i]!, tolerance, `position ${i} against float64`);
      expectClose(row, goldens.row(i), tolerance, `position ${i} against PyTorch`);
    }
  });

  test('32 decode steps', async () => {
    const start = goldens.promptLength;
    const logits = await logitsOf(tokens.slice(0, start + 32), start);
    for (let i = start; i < start + 32; i++) {
      expectClose(logits[i]!, expected[i]!, tolerance, `step ${i - start} against float64`);
      expectClose(logits[i]!, goldens.row(i), tolerance, `step ${i - start} against PyTorch`);
    }
  });

  test('a chat prefills to the same logits, of its last token only', async () => {
    for (const length of [50, 118]) {
      const answer = await engine.completeChat({
        messages: [{ role: 'user', content: 'wind '.repeat(length) }],
        max_completion_tokens: 2,
        temperature: 0,
        logprobs: true,
        top_logprobs: 5,
        return_token_ids: true,
      });
      const { positions } = await engine.score({
        input: { tokens: [...(answer.prompt_token_ids ?? []), ...answer.token_ids] },
        top: 5,
      });
      const scored = positions.slice(-answer.token_ids.length);
      const reported = answer.choices[0]?.logprobs?.content ?? [];
      expect(reported).toHaveLength(answer.token_ids.length);
      for (const [i, { logprob }] of reported.entries()) {
        expect(logprob).toBeCloseTo(scored[i]?.logprob ?? Number.NaN, 2);
      }
    }
  });

  test('nothing is allocated per token, and objects do not pile up over 50 chats', async () => {
    const chat = (i: number) =>
      engine.completeChat({
        messages: [{ role: 'user', content: `Question ${i % 7}` }],
        max_completion_tokens: 3,
        temperature: 1,
        top_k: 20,
        frequency_penalty: 0.1,
        seed: i,
      });
    for (let i = 0; i < 7; i++) await chat(i);
    const before = await engine.readCounters();
    for (let i = 0; i < 50; i++) await chat(i);
    const after = await engine.readCounters();
    expect(after.liveObjects).toBe(before.liveObjects);
    expect(after.gpuBuffers).toBe(before.gpuBuffers);
    expect(after.gpuAllocations).toBe(before.gpuAllocations);
    expect(after.dispatches).toBeGreaterThan(before.dispatches ?? Infinity);
  });

  test('cut back to where it was, the KV cache is as it was', async () => {
    const depth = 70;
    const firstToken = tokens[depth]!;
    const decode = async () => (await engine.timeDecode({ firstToken, count: 12 })).tokens;
    await engine.fillContext(tokens.slice(0, depth));
    const cold = await decode();
    await engine.timePrefill(tokens.slice(0, 65));
    await engine.cutContext(depth);
    expect(await decode()).toEqual(cold);
    // Most probable by the prefill kernels too, but for near ties.
    const { positions } = await engine.score({
      input: { tokens: [...tokens.slice(0, depth + 1), ...cold] },
      top: 1,
    });
    const scored = positions.slice(-cold.length).map((position) => position?.top[0]?.token);
    expect(scored.filter((token, i) => token === cold[i]).length).toBeGreaterThanOrEqual(11);
    await engine.fillContext([]);
    await engine.timePrefill(tokens.slice(0, depth));
    expect(await decode()).toEqual(cold);
  });

  // Which kernels compute it makes no difference: two families will do.
  const few = test.skipIf(disable.length > 1);

  few(
    'a prompt computes only what the KV cache does not begin with, and is answered as from cold',
    async () => {
      const user = (content: string) => ({ role: 'user' as const, content });
      const assistant = (content: string) => ({ role: 'assistant' as const, content });
      const greedy = { temperature: 0, logit_bias: { '2': -100 }, return_token_ids: true };
      const ask = (messages: ChatMessage[], options: Partial<ChatRequest> = {}) =>
        engine.completeChat({ messages, ...greedy, max_completion_tokens: 8, ...options });
      /** Asks, and then asks again from nothing. @returns how many tokens were computed, and of how many */
      const askTwice = async (messages: ChatMessage[]) => {
        const warm = await ask(messages);
        const cold = await ask(messages, { cache_prompt: false });
        expect(cold.usage.prompt_tokens_details.cached_tokens).toBe(0);
        expect(warm.prompt_token_ids).toEqual(cold.prompt_token_ids);
        expect(warm.token_ids).toEqual(cold.token_ids);
        const { prompt_tokens, prompt_tokens_details } = warm.usage;
        expect(warm.timings.prefillTokens).toBe(prompt_tokens - prompt_tokens_details.cached_tokens);
        return { computed: warm.timings.prefillTokens, whole: prompt_tokens, text: textOf(warm) };
      };
      const textOf = (answer: ChatCompletion) => answer.choices[0]!.message.content;
      const question = user('wind and sea '.repeat(20));
      const turnTokens = (text: string) => engine.tokenizeChat([user(text)]).then((ids) => ids.length);
      // What a next question adds: the last token of the cut answer, which nobody computed, and its own turn.
      const follow = 'Go on.';
      const added = 1 + (await turnTokens(follow));

      // An answer cut at its length, then a second question.
      const cut = await ask([question], { cache_prompt: false });
      expect(cut.choices[0]?.finish_reason).toBe('length');
      const conversation = [question, assistant(textOf(cut)), user(follow)];
      const second = await askTwice(conversation);
      expect(second.computed).toBe(added);
      // Regenerate: the very same prompt.
      expect((await askTwice(conversation)).computed).toBe(1);
      // The last question changed, then the first.
      const changed = await askTwice([...conversation.slice(0, 2), user('Stop.')]);
      expect(changed.computed).toBeLessThan(added);
      const other = await askTwice([user(`${question.content}?`)]);
      expect(other.computed).toBeLessThan(12);
      expect(other.whole).toBeGreaterThan(60);

      // Stop while the answer is written.
      const stop = new AbortController();
      let written = '';
      let last: ChatChunk | null = null;
      const long = { messages: [question], ...greedy, max_completion_tokens: 200 };
      for await (const chunk of engine.streamChat(long, { signal: stop.signal })) {
        written += chunk.choices[0]?.delta.content ?? '';
        if (written.length > 12) stop.abort();
        last = chunk;
      }
      expect(last?.choices[0]?.finish_reason).toBe('abort');
      expect((await askTwice([question, assistant(written), user(follow)])).computed).toBe(added);

      // Stop while the question is read: its chunks stay.
      const stopReading = new AbortController();
      const reading = engine.completeChat(
        { messages: [user('sea '.repeat(500))], ...greedy, cache_prompt: false },
        {
          signal: stopReading.signal,
          onProgress: ({ bytes }) => bytes > 0 && stopReading.abort(new Error('enough')),
        },
      );
      await expect(reading).rejects.toThrow('enough');
      const again = await ask([user('sea '.repeat(500))], { max_completion_tokens: 1 });
      const { cached_tokens } = again.usage.prompt_tokens_details;
      expect(cached_tokens).toBeGreaterThan(0);
      expect(cached_tokens % 64).toBe(0);
    },
  );

  few('tells how much of a prompt is read, chunk by chunk, and how many tokens are written', async () => {
    const read: number[] = [];
    const written: number[] = [];
    const stream = engine.streamChat(
      {
        messages: [{ role: 'user', content: 'sea '.repeat(150) }],
        temperature: 0,
        logit_bias: { '2': -100 },
        max_completion_tokens: 5,
        cache_prompt: false,
      },
      {
        onProgress: ({ phase, bytes, totalBytes }) => {
          expect(phase).toBe('prefill');
          expect(written).toEqual([]);
          read.push(bytes, totalBytes);
        },
      },
    );
    let promptTokens = 0;
    for await (const { completion_tokens, usage } of stream) {
      written.push(completion_tokens);
      promptTokens = usage?.prompt_tokens ?? 0;
    }
    const chunks = Array.from({ length: Math.ceil(promptTokens / 64) }, (_, i) => 64 * (i + 1));
    expect(read).toEqual([0, ...chunks].flatMap((end) => [Math.min(end, promptTokens), promptTokens]));
    expect(written.at(-1)).toBe(5);
    expect(written).toEqual([...written].sort((a, b) => a - b));
  });

  test('an answer spelled in unusual tokens stays as it was said', async () => {
    const messages = [{ role: 'user' as const, content: 'Name it.' }];
    // Control tokens and single bytes come first; without the words after them it spells letter by letter.
    const wordStart = 40 + 256;
    const words = Array.from({ length: vocabularySize - wordStart }, (_, i) => [String(wordStart + i), -100]);
    const held = await engine.completeChat({
      messages,
      temperature: 0,
      max_completion_tokens: 40,
      logit_bias: Object.fromEntries(words),
      return_token_ids: true,
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'fixed', schema: { const: 'the wind and the sea' } },
      },
    });
    const next = await engine.completeChat({
      messages: [
        ...messages,
        { role: 'assistant', content: held.choices[0]!.message.content },
        { role: 'user', content: 'Go on.' },
      ],
      max_completion_tokens: 1,
      return_token_ids: true,
    });
    expect(held.token_ids).toHaveLength('"the wind and the sea"'.length);
    const said = [...(held.prompt_token_ids ?? []), ...held.token_ids];
    expect(next.prompt_token_ids?.slice(0, said.length)).toEqual(said);
    expect(next.usage.prompt_tokens_details.cached_tokens).toBe(said.length);
  });

  test('what is measured is timed where it runs, and leaves no trace in the next chat', async () => {
    const request = { messages: [{ role: 'user' as const, content: 'Wind?' }], temperature: 0 };
    const chat = () => engine.completeChat({ ...request, max_completion_tokens: 4, return_token_ids: true });
    const before = await chat();
    const { ms, chunkMs } = await engine.fillContext(tokens.slice(0, 129));
    expect(chunkMs).toHaveLength(3);
    expect(chunkMs.every((time) => time > 0)).toBe(true);
    expect(chunkMs.reduce((sum, time) => sum + time, 0)).toBeCloseTo(ms, 3);
    const decoded = await engine.timeDecode({ firstToken: 5, count: 3 });
    expect(decoded.stepMs).toHaveLength(3);
    const after = await chat();
    expect(after.prompt_token_ids).toEqual(before.prompt_token_ids);
    expect(after.token_ids).toEqual(before.token_ids);
    await expect(engine.timePrefill([1])).rejects.toMatchObject({ code: 'request-invalid' });
    await engine.fillContext([]);
    await expect(engine.timePrefill([vocabularySize])).rejects.toMatchObject({ code: 'request-invalid' });
    await expect(engine.cutContext(1)).rejects.toMatchObject({ code: 'request-invalid' });
    await expect(engine.fillContext(new Array(2049).fill(1))).rejects.toMatchObject({
      code: 'context-exceeded',
    });
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 1);
    await expect(engine.fillContext(new Array(1000).fill(7), { signal: stop.signal })).rejects.toThrow(
      'enough',
    );
  });

  test('the model in use is described, with hashes that others can compare', async () => {
    const facts = await engine.describeModel();
    const tensorCache = await served.readFile('tensor-cache.json');
    expect(facts).toMatchObject({ name: 'Tiny Mistral', stopTokenIds: [2] });
    expect(facts.tensorCacheSha256).toBe(await sha256Hex(new Uint8Array(tensorCache)));
    expect(facts.library.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.deviceLimits.maxBufferSize).toBeGreaterThan(0);
    expect(facts.deviceFeatures.includes('shader-f16')).toBe(caps.shaderF16);
  });

  test('an answer that may not end goes on past its end', async () => {
    const answer = await engine.completeChat({
      messages: [{ role: 'user', content: 'Wind?' }],
      temperature: 0,
      max_completion_tokens: 6,
      logit_bias: { '2': 100 },
      ignore_eos: true,
    });
    expect(answer.usage.completion_tokens).toBe(6);
    expect(answer.choices[0]?.finish_reason).toBe('length');
    expect(answer.choices[0]?.message.content).toBe('');
  });

  /** Reads of GPU memory, and bytes copied for them, while `work` runs. */
  async function countReads(work: () => Promise<unknown>): Promise<{ reads: number; bytes: number }> {
    const count = { reads: 0, bytes: 0 };
    const { mapAsync } = GPUBuffer.prototype;
    const { copyBufferToBuffer } = GPUCommandEncoder.prototype;
    const map = vi.spyOn(GPUBuffer.prototype, 'mapAsync').mockImplementation(function (
      this: GPUBuffer,
      ...args
    ) {
      if (args[0] === GPUMapMode.READ) count.reads++;
      return mapAsync.apply(this, args);
    });
    const copy = vi.spyOn(GPUCommandEncoder.prototype, 'copyBufferToBuffer').mockImplementation(function (
      this: GPUCommandEncoder,
      ...args: unknown[]
    ) {
      const [, , target, , bytes] = args as [GPUBuffer, number, GPUBuffer, number, number];
      if (target.usage & GPUBufferUsage.MAP_READ) count.bytes += bytes;
      return copyBufferToBuffer.apply(this, args as Parameters<typeof copyBufferToBuffer>);
    });
    try {
      await work();
      return count;
    } finally {
      map.mockRestore();
      copy.mockRestore();
    }
  }

  test('a decoded token is read back once, in 4 bytes; only log-probabilities take more', async () => {
    const count = (tokenCount: number, request: Partial<ChatRequest>) =>
      countReads(async () => {
        const { usage } = await engine.completeChat({
          messages: [{ role: 'user', content: 'Count reads.' }],
          max_completion_tokens: tokenCount,
          logit_bias: { '2': -100 },
          ...request,
        });
        expect(usage.completion_tokens).toBe(tokenCount);
      });
    const perToken = async (request: Partial<ChatRequest>) => {
      const [more, less] = [await count(14, request), await count(4, request)];
      return { reads: (more.reads - less.reads) / 10, bytes: (more.bytes - less.bytes) / 10 };
    };
    for (const request of [
      { temperature: 0 },
      { temperature: 1, top_p: 0.9, top_k: 20, min_p: 0.01, seed: 5 },
      { temperature: 1, frequency_penalty: 0.5, presence_penalty: 0.5, seed: 5 },
    ]) {
      expect(await perToken(request), JSON.stringify(request)).toEqual({ reads: 1, bytes: 4 });
    }
    expect((await perToken({ temperature: 0, logprobs: true })).bytes).toBeGreaterThan(4);
  });

  test('a decoded token is 7 dispatches a layer, and at most 10 outside the layers', async () => {
    const request = { messages: [{ role: 'user' as const, content: 'Count dispatches.' }], temperature: 0 };
    const count = async (tokenCount: number) => {
      const before = (await engine.readCounters()).dispatches ?? 0;
      const { usage } = await engine.completeChat({
        ...request,
        cache_prompt: false,
        max_completion_tokens: tokenCount,
        logit_bias: { '2': -100 },
        frequency_penalty: 0.5,
      });
      expect(usage.completion_tokens).toBe(tokenCount);
      return ((await engine.readCounters()).dispatches ?? 0) - before;
    };
    const perToken = (await count(12)) - (await count(11));
    expect(perToken).toBeLessThanOrEqual(3 * 7 + 10);
  });
});
