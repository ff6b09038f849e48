/**
 * The linker and the runtime under the real, unmodified WebLLM engine, in Node on Dawn, with a toy model.
 * In a browser the same is covered end to end, so there these tests are skipped.
 */
import type { MLCEngine } from '@mlc-ai/web-llm';
import { afterEach, describe, expect, test } from 'vitest';
import type { LibrarySpec } from '../../src/modellib/library-spec.ts';
import { link } from '../../src/modellib/link.ts';
import {
  toyAnswer,
  toyByteId,
  toyContextLength,
  toyEmbeddingStart,
  toyEndId,
  toyForcingId,
  toyModelFiles,
  toyPrefillChunkLength,
  toyProbeId,
  toySpec,
  toyVocabularySize,
  toyWordIds,
} from '../tools/toy-library.ts';

const inNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
const modelUrl = 'http://toy.invalid/resolve/main/';

/** What these tests use of the loaded pipeline. */
interface Tensor {
  shape: number[];
  view(shape: number[]): Tensor;
  copyFrom(source: Tensor | ArrayLike<number>): Tensor;
  toArray(): Float32Array;
}
// biome-ignore lint/suspicious/noExplicitAny: packed functions take and return anything.
type PackedFunction = (...args: any[]) => any;
interface Pipeline {
  tvm: {
    beginScope(): void;
    endScope(): void;
    makeShapeTuple(shape: number[]): unknown;
    empty(shape: number[], dtype: string, device: unknown): Tensor;
    cpu(): unknown;
    getGlobalFunc(name: string): PackedFunction;
    concatEmbeddings(parts: Tensor[]): Tensor;
    lib: { exports: Record<string, () => number>; webGPUContext: { device: GPUDevice } };
    memory: { memory: WebAssembly.Memory };
  };
  vm: { getFunction(name: string): PackedFunction };
  device: { sync(): Promise<void> };
  kvCache: unknown;
  params: unknown;
  filledKVCacheLength: number;
}

let engines: MLCEngine[] = [];

afterEach(async () => {
  for (const engine of engines) await engine.unload();
  engines = [];
});

/** WebLLM's Cache API, over the files of one model. */
function cachesOf(files: Record<string, Uint8Array<ArrayBuffer>>): Pick<CacheStorage, 'open'> {
  const urlOf = (request: RequestInfo | URL) => (request instanceof Request ? request.url : String(request));
  const cache: Pick<Cache, 'match' | 'keys' | 'add' | 'delete'> = {
    async match(request) {
      const file = files[urlOf(request).slice(modelUrl.length)];
      return file && new Response(file);
    },
    keys: async () => Object.keys(files).map((name) => new Request(modelUrl + name)),
    add: async (request) => {
      throw new Error(`no file ${urlOf(request)}`);
    },
    delete: async () => false,
  };
  return { open: async () => cache as Cache };
}

async function load(
  spec: LibrarySpec = toySpec(),
  files = toyModelFiles(),
  options: Record<string, unknown> = {},
): Promise<{ engine: MLCEngine; pipeline: Pipeline }> {
  const { installDawn } = await import('../../scripts/lib/dawn.ts');
  await installDawn();
  const webllm = await import('@mlc-ai/web-llm');
  Object.defineProperty(globalThis, 'caches', { value: cachesOf(files), configurable: true, writable: true });
  const libraryUrl = URL.createObjectURL(new Blob([link(spec)], { type: 'application/wasm' }));
  const engine = new webllm.MLCEngine({
    appConfig: {
      cacheBackend: 'cache',
      model_list: [{ model: modelUrl, model_id: 'toy', model_lib: libraryUrl }],
    },
    logLevel: 'SILENT',
  });
  engines.push(engine);
  try {
    await engine.reload('toy', options);
  } finally {
    URL.revokeObjectURL(libraryUrl);
  }
  return { engine, pipeline: pipelineOf(engine) };
}

function pipelineOf(engine: MLCEngine): Pipeline {
  const pipelines = (engine as unknown as { loadedModelIdToPipeline: Map<string, Pipeline> })
    .loadedModelIdToPipeline;
  return pipelines.get('toy')!;
}

const user = (content: string) => ({ role: 'user' as const, content });
const assistant = (content: string) => ({ role: 'assistant' as const, content });

async function ask(engine: MLCEngine, request: object = {}) {
  const reply = await engine.chat.completions.create({
    messages: [user('Hi there')],
    ...request,
    stream: false,
  });
  return {
    text: reply.choices[0]!.message.content,
    reason: reply.choices[0]!.finish_reason,
    logprobs: reply.choices[0]!.logprobs?.content ?? null,
    usage: reply.usage!,
  };
}

function counters(pipeline: Pipeline) {
  const { exports } = pipeline.tvm.lib;
  return {
    objects: exports.tramontane_live_objects!(),
    gpuBuffers: exports.tramontane_gpu_buffer_count!(),
    gpuAllocations: exports.tramontane_gpu_allocation_total!(),
    memoryBytes: pipeline.tvm.memory.memory.buffer.byteLength,
  };
}

function kvLength(pipeline: Pipeline): number {
  pipeline.tvm.beginScope();
  const length = pipeline.tvm.getGlobalFunc('vm.builtin.attention_kv_cache_get_sequence_length');
  const tokens = length(pipeline.kvCache, 0);
  pipeline.tvm.endScope();
  return tokens;
}

/** Runs ids through `name` ("prefill", "decode" or "score") at the KV cache's position. @returns the logits, by rows. */
async function forward(pipeline: Pipeline, name: string, ids: readonly number[]): Promise<Float32Array[]> {
  const { tvm, vm, device } = pipeline;
  tvm.beginScope();
  try {
    const gpu = pipeline.device;
    const tokens = tvm.empty([ids.length], 'int32', gpu).copyFrom(ids);
    const x: Tensor = vm.getFunction('embed')(tokens, pipeline.params);
    const lengths = tvm.makeShapeTuple([ids.length]);
    const begin = tvm.getGlobalFunc('vm.builtin.kv_state_begin_forward');
    begin(pipeline.kvCache, tvm.makeShapeTuple([0]), lengths);
    const input = x.view([1, ...x.shape]);
    const logits: Tensor = vm.getFunction(name)(input, pipeline.kvCache, pipeline.params).get(0);
    tvm.getGlobalFunc('vm.builtin.kv_state_end_forward')(pipeline.kvCache);
    const host = tvm.empty(logits.shape, 'float32', tvm.cpu()).copyFrom(logits);
    await device.sync();
    const values = host.toArray();
    return Array.from({ length: logits.shape[1]! }, (_, row) =>
      values.slice(row * toyVocabularySize, (row + 1) * toyVocabularySize),
    );
  } finally {
    tvm.endScope();
  }
}

/** What the probing logit must be when the KV cache holds these ids. */
const probeOf = (ids: readonly number[]) =>
  -1000 + ids.reduce((sum, id) => sum + toyEmbeddingStart(id) / 100, 0);

function callGlobal(pipeline: Pipeline, name: string, ...args: unknown[]): void {
  pipeline.tvm.beginScope();
  try {
    pipeline.tvm.getGlobalFunc(name)(...args);
  } finally {
    pipeline.tvm.endScope();
  }
}

function startSequence(pipeline: Pipeline): void {
  callGlobal(pipeline, 'vm.builtin.kv_state_clear', pipeline.kvCache);
  callGlobal(pipeline, 'vm.builtin.kv_state_add_sequence', pipeline.kvCache, 0);
}

describe.skipIf(!inNode)('chat', () => {
  test('answers, streamed and at once, also to a prompt of several chunks', async () => {
    const { engine } = await load();
    expect(await ask(engine)).toMatchObject({ text: toyAnswer, reason: 'stop' });
    const stream = await engine.chat.completions.create({
      stream: true,
      messages: [
        user('A prompt that is longer than one chunk of thirty-two tokens, since each byte is one.'),
      ],
    });
    const parts: string[] = [];
    for await (const chunk of stream) parts.push(chunk.choices[0]?.delta.content ?? '');
    expect(parts.join('')).toBe(toyAnswer);
    expect(parts.filter((part) => part !== '').length).toBeGreaterThan(3);
  });

  test('a second turn prefills only what is new', async () => {
    const { engine, pipeline } = await load();
    const first = await ask(engine);
    expect(kvLength(pipeline)).toBe(pipeline.filledKVCacheLength);
    const before = kvLength(pipeline);
    const second = await ask(engine, { messages: [user('Hi there'), assistant(first.text!), user('more')] });
    expect(second.text).toBe(toyAnswer);
    // Role, 4 bytes, separator, role; then the answer but for its last token.
    expect(second.usage.prompt_tokens).toBe(7);
    expect(kvLength(pipeline)).toBe(before + 7 + second.usage.completion_tokens - 1);
  });

  test('logit bias adds to logits, and ids beyond the vocabulary reach the sampler of that step only', async () => {
    const { engine } = await load();
    const biased = await ask(engine, {
      max_tokens: 2,
      logit_bias: { [toyByteId('x')]: 100, [toyEndId]: -100 },
    });
    expect(biased.text).toBe('Hello from');
    const strong = await ask(engine, {
      max_tokens: 1,
      logit_bias: { 256: -100, 259: -100, [toyByteId('{')]: 100 },
    });
    expect(strong.text).toBe('{');
    const forced = await ask(engine, { max_tokens: 3, logit_bias: { [toyForcingId]: toyByteId('Z') } });
    expect(forced.text).toBe('ZZZ');
    expect((await ask(engine)).text).toBe(toyAnswer);
    // No entries: nothing is written, so nothing may be read.
    expect((await ask(engine, { logit_bias: {} })).text).toBe(toyAnswer);
  });

  test('penalties change what follows', async () => {
    const { engine } = await load();
    // Without "Hello" the likeliest is "{", over and over; "}" comes 3 behind it.
    const bias = { [toyWordIds[0]!]: -100, [toyEndId]: -100, [toyByteId('{')]: 100, [toyByteId('}')]: 98 };
    const request = { max_tokens: 4, logit_bias: bias };
    expect((await ask(engine, request)).text).toBe('{{{{');
    expect((await ask(engine, { ...request, frequency_penalty: 2, presence_penalty: 2 })).text).toBe('{}{{');
    expect((await ask(engine, { ...request, repetition_penalty: 1.1 })).text).toBe('{}{{');
  });

  test('JSON under a schema', async () => {
    const { engine } = await load();
    const schema = JSON.stringify({
      type: 'object',
      properties: { ok: { type: 'integer' } },
      required: ['ok'],
      additionalProperties: false,
    });
    const reply = await ask(engine, { max_tokens: 60, response_format: { type: 'json_object', schema } });
    expect(JSON.parse(reply.text!)).toEqual({ ok: 7 });
    expect(reply.reason).toBe('stop');
  });

  test('log-probabilities, temperature and seed', async () => {
    const { engine } = await load();
    const reply = await ask(engine, { logprobs: true, top_logprobs: 2, max_tokens: 2 });
    expect(reply.logprobs).toHaveLength(2);
    expect(reply.logprobs![0]!.logprob).toBeCloseTo(0, 5);
    const hot = { temperature: 2, max_tokens: 12, logit_bias: { [toyEndId]: -100 } };
    const [a, b, c] = [
      await ask(engine, { ...hot, seed: 11 }),
      await ask(engine, { ...hot, seed: 11 }),
      await ask(engine, { ...hot, temperature: 50, seed: 12345 }),
    ];
    expect(b!.text).toBe(a!.text);
    expect(c!.text).not.toBe(a!.text);
  });

  test('unload and reload', async () => {
    const { engine } = await load();
    await ask(engine);
    await engine.unload();
    const again = await load();
    expect((await ask(again.engine)).text).toBe(toyAnswer);
  });
});

describe.skipIf(!inNode)('resources', () => {
  test('50 chats leave objects, GPU buffers and allocations as they were', async () => {
    const { engine, pipeline } = await load();
    const everything = {
      temperature: 0.5,
      seed: 3,
      logprobs: true,
      top_logprobs: 2,
      frequency_penalty: 0.1,
      logit_bias: { 1: -1 },
      max_tokens: 8,
    };
    // Twice: WebLLM's own staging buffers settle with the second round.
    for (let i = 0; i < 4; i++) await ask(engine, i % 2 === 0 ? {} : everything);
    const { device } = pipeline.tvm.lib.webGPUContext;
    const createBuffer = device.createBuffer.bind(device);
    let created = 0;
    device.createBuffer = (descriptor) => {
      created++;
      return createBuffer(descriptor);
    };
    const before = counters(pipeline);
    for (let i = 0; i < 50; i++) {
      await ask(engine, i % 2 === 0 ? {} : everything);
      if (i % 10 === 9) expect(counters(pipeline)).toEqual(before);
    }
    expect(created).toBe(0);
  });
});

describe.skipIf(!inNode)('the KV cache', () => {
  const ids = [10, 20, 30, 40, 50, 60, 70];

  test('prefill, decode and score see the same position and contents', async () => {
    const { pipeline } = await load();
    startSequence(pipeline);
    const [prefilled] = await forward(pipeline, 'prefill', ids);
    expect(prefilled![toyProbeId]).toBeCloseTo(probeOf(ids), 3);
    const [decoded] = await forward(pipeline, 'decode', [80]);
    expect(decoded![toyProbeId]).toBeCloseTo(probeOf([...ids, 80]), 3);
    expect(kvLength(pipeline)).toBe(8);

    startSequence(pipeline);
    expect(kvLength(pipeline)).toBe(0);
    const scored = [
      ...(await forward(pipeline, 'score', ids.slice(0, 3))),
      ...(await forward(pipeline, 'score', ids.slice(3))),
    ];
    for (const [i, row] of scored.entries()) {
      expect(row[toyProbeId]).toBeCloseTo(probeOf(ids.slice(0, i + 1)), 3);
    }
    expect([...scored[6]!]).toEqual([...prefilled!]);
  });

  test('kv_state_popn forgets the last tokens', async () => {
    const { pipeline } = await load();
    startSequence(pipeline);
    await forward(pipeline, 'prefill', ids);
    callGlobal(pipeline, 'vm.builtin.kv_state_popn', pipeline.kvCache, 0, ids.length - 3);
    expect(kvLength(pipeline)).toBe(3);
    const [logits] = await forward(pipeline, 'decode', [99]);
    expect(logits![toyProbeId]).toBeCloseTo(probeOf([10, 20, 30, 99]), 3);
    expect(() => callGlobal(pipeline, 'vm.builtin.kv_state_popn', pipeline.kvCache, 0, 5)).toThrow(
      'tramontane: cannot take 5 tokens off the KV cache; it has 4',
    );
  });

  test('embeddings that lie elsewhere are copied', async () => {
    const { pipeline } = await load();
    startSequence(pipeline);
    const { tvm, vm } = pipeline;
    tvm.beginScope();
    const tokens = tvm.empty([2], 'int32', pipeline.device).copyFrom([10, 20]);
    const embedded: Tensor = vm.getFunction('embed')(tokens, pipeline.params);
    const elsewhere = tvm.empty(embedded.shape, 'float32', pipeline.device).copyFrom(embedded);
    const joined = tvm.concatEmbeddings([elsewhere, embedded]);
    expect(joined.shape).toEqual([4, 64]);
    // x now gets other contents, which the forward must replace by its input.
    vm.getFunction('embed')(tvm.empty([1], 'int32', pipeline.device).copyFrom([77]), pipeline.params);
    callGlobal(
      pipeline,
      'vm.builtin.kv_state_begin_forward',
      pipeline.kvCache,
      tvm.makeShapeTuple([0]),
      tvm.makeShapeTuple([4]),
    );
    const logits: Tensor = vm
      .getFunction('prefill')(joined.view([1, 4, 64]), pipeline.kvCache, null)
      .get(0);
    const host = tvm.empty(logits.shape, 'float32', tvm.cpu()).copyFrom(logits);
    await pipeline.device.sync();
    expect(host.toArray()[toyProbeId]).toBeCloseTo(probeOf([10, 20, 10, 20]), 3);
    expect(() => tvm.concatEmbeddings([embedded, embedded])).toThrow('one buffer twice');
    tvm.endScope();
  });

  test('the context is never exceeded', async () => {
    const { pipeline } = await load();
    startSequence(pipeline);
    const chunk = Array.from({ length: toyPrefillChunkLength }, (_, i) => i);
    for (let i = 0; i < toyContextLength / toyPrefillChunkLength; i++) {
      await forward(pipeline, 'prefill', chunk);
    }
    const dispatches = pipeline.tvm.lib.exports.tramontane_dispatch_total!;
    const before = dispatches();
    await expect(forward(pipeline, 'decode', [1])).rejects.toThrow(
      'tramontane: context exceeded: 1 tokens after the 256 in the KV cache are over the limit of 256',
    );
    // Only the embedding, which comes before it is known.
    expect(dispatches()).toBe(before + 1);
    expect(kvLength(pipeline)).toBe(toyContextLength);
  });

  test('calls that are too long or do not match begin_forward are refused', async () => {
    const { pipeline } = await load();
    startSequence(pipeline);
    const long = Array.from({ length: toyPrefillChunkLength + 1 }, (_, i) => i);
    await expect(forward(pipeline, 'prefill', long)).rejects.toThrow(
      'tramontane: embed of 33 tokens; the most is 32',
    );
    await expect(forward(pipeline, 'score', long.slice(0, 9))).rejects.toThrow(
      'tramontane: a call of 9 tokens; the most is 8',
    );
    await expect(forward(pipeline, 'decode', [1, 2])).rejects.toThrow('a call of 2 tokens; the most is 1');
    expect(kvLength(pipeline)).toBe(0);
    callGlobal(pipeline, 'vm.builtin.kv_state_clear', pipeline.kvCache);
    await expect(forward(pipeline, 'decode', [1])).rejects.toThrow('sequence 0 does not exist');
  });
});

describe.skipIf(!inNode)('a load that fails', () => {
  test('names a missing record, and a new engine works', async () => {
    const files = toyModelFiles();
    const cache = JSON.parse(new TextDecoder().decode(files['tensor-cache.json']));
    cache.records.pop();
    files['tensor-cache.json'] = new TextEncoder().encode(JSON.stringify(cache));
    await expect(load(toySpec(), files)).rejects.toThrow(
      'tramontane: the weight record "bias" is missing from the loaded weights',
    );
    const { engine } = await load();
    expect((await ask(engine)).text).toBe(toyAnswer);
  });

  test('refuses invalid WGSL, and a new engine works', async () => {
    const spec = toySpec();
    const step = spec.programs.softmax[0]!;
    const broken = {
      ...step,
      kernel: { ...step.kernel, wgsl: step.kernel.wgsl.replace('var sum', 'vra sum') },
    };
    await expect(load({ ...spec, programs: { ...spec.programs, softmax: [broken] } })).rejects.toThrow();
    const { engine } = await load();
    expect((await ask(engine)).text).toBe(toyAnswer);
  });

  test('refuses a context that is longer than the library’s', async () => {
    await expect(load(toySpec(), toyModelFiles(), { context_window_size: 512 })).rejects.toThrow(
      'tramontane: a context of 512 tokens; this library is linked for 256',
    );
  });
});
