/**
 * The built site's engine beside wllama (llama.cpp's WebGPU build) in one browser, on the same GGUF: the same questions,
 * then loads, both in turns. Both are used as their users would, and timed by the page's clock. Loads but the first
 * take the weights from where each engine keeps them: ours from its weight store in IndexedDB, wllama from its cache in
 * OPFS.
 *
 * wllama falls back to the processor without a word where shader-f16 is missing, so what each engine sends to the GPU
 * is counted: a few lines put before the code of every worker watch WebGPU's own methods.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Page } from 'playwright';
import { errorMessage, TramontaneError } from '../../src/base/errors.ts';
import { blindProbe, type Disturber } from '../../src/bench/busy-probe.ts';
import {
  type ComparedEngine,
  type ComparedLoad,
  type ComparedTurn,
  type ComparisonReport,
  compareEngines,
} from '../../src/bench/comparison.ts';
import { REPEATS_PER_SAMPLE } from '../../src/bench/workloads.ts';
import type { AdapterReport } from '../../src/engine/api.ts';
import { openOnGpu } from './chromium.ts';
import type { FileSource } from './file-source.ts';
import { createProcessorProbe } from './processor-probe.ts';
import { SITE } from './site.ts';
import { startStaticServer } from './static-server.mjs';
import { ROOT } from './up-to-date.ts';

const WLLAMA = join(ROOT, 'node_modules/@wllama/wllama');
const CONTEXT_LENGTH = 1024;
/** Loads take long. */
const REPEATS_PER_LOAD = 1;
/** Tokens of the first answer after a load. */
const SHORT_ANSWER = 4;

export interface ComparisonOptions {
  executablePath: string;
  /** The same model for both: as imported for ours, and the GGUF that it was imported from. */
  model: { id: string; folder: string; gguf: FileSource };
  /** Loads of each engine, after the first. Default 3. */
  loads?: number;
  /** Turns of each engine. Default 5. */
  turns?: number;
  /** Default 16. */
  outputTokens?: number;
  /**
   * Sentences of about 25 tokens in a question. Default 1: wllama gives up where its GPU takes half a minute for a
   * prompt, which a software GPU does for a hundred tokens or more.
   */
  sentences?: number;
  signal?: AbortSignal;
  onStep?: (step: string) => void;
}

type EngineName = 'tramontane' | 'wllama';

type TimedAnswer = Omit<ComparedTurn, 'abortMs' | 'gpuSubmissions' | 'gpuBufferBytes' | 'disturbed'>;

interface GpuUse {
  submissions: number;
  bufferBytes: number;
}

/** What {@link installHarness} puts into the page. */
interface Harness {
  load(engine: EngineName, input: { id: string; contextLength: number }): Promise<number>;
  unload(engine: EngineName): Promise<void>;
  ask(engine: EngineName, question: string, outputTokens: number): Promise<TimedAnswer>;
  abort(engine: EngineName, question: string): Promise<number>;
  gpuUse(engine: EngineName): Promise<GpuUse>;
  adapter(): Promise<AdapterReport | null>;
}

/**
 * @throws TramontaneError `webgpu-unavailable` where the browser has none; what either engine throws. The browser is
 * closed in any case.
 */
export async function compareWithWllama(options: ComparisonOptions): Promise<ComparisonReport> {
  const { model, signal, loads = 3, turns = 5, outputTokens = 16, sentences = 1 } = options;
  const folder = await mkdtemp(join(tmpdir(), 'tramontane-comparison-'));
  const server = await startStaticServer({
    mounts: { '/': SITE, '/command-model/': model.folder, '/wllama/': join(WLLAMA, 'esm'), '/gguf/': folder },
  });
  try {
    await copySource(model.gguf, join(folder, 'model.gguf'));
    const { page, adapter, close } = await openOnGpu((args) =>
      openPage(new URL('ask.html', server.url).href, { executablePath: options.executablePath, args }),
    );
    const closeNow = () => void close();
    signal?.addEventListener('abort', closeNow, { once: true });
    try {
      signal?.throwIfAborted();
      return await compare(page, adapter, model.id, { ...options, loads, turns, outputTokens, sentences });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', closeNow);
      await close();
    }
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** A page of the site with both engines, in a browser of its own. */
async function openPage(
  url: string,
  start: { executablePath: string; args: string[] },
): Promise<{ page: Page; adapter: AdapterReport | null; close(): Promise<void> }> {
  const browser = await chromium.launch({
    ...start,
    // The command ends the browser itself, and what it has copied.
    handleSIGINT: false,
    // See vitest.config.ts: more threads than cores to spare make lavapipe slower.
    env: { LP_NUM_THREADS: '1', ...process.env } as Record<string, string>,
  });
  const close = () => browser.close();
  try {
    const page = await browser.newPage();
    // esbuild, which runs these scripts, wraps named functions in a helper that the page does not have.
    await page.addInitScript('globalThis.__name = (value) => value;');
    await page.addInitScript(watchWorkers);
    await page.goto(url);
    await page.waitForFunction(() => 'tramontane' in globalThis);
    await page.evaluate(installHarness);
    return { page, adapter: await callHarness(page, 'adapter'), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function callHarness<Name extends keyof Harness>(
  page: Page,
  name: Name,
  ...input: Parameters<Harness[Name]>
): ReturnType<Harness[Name]> {
  return page.evaluate(
    ([method, values]) => {
      const { comparison } = globalThis as unknown as {
        comparison: Record<string, (...all: unknown[]) => unknown>;
      };
      return comparison[method]?.(...values);
    },
    [name, input] as [string, unknown[]],
  ) as ReturnType<Harness[Name]>;
}

async function compare(
  page: Page,
  adapter: AdapterReport | null,
  modelId: string,
  options: ComparisonOptions &
    Required<Pick<ComparisonOptions, 'loads' | 'turns' | 'outputTokens' | 'sentences'>>,
): Promise<ComparisonReport> {
  const harness = <Name extends keyof Harness>(name: Name, ...input: Parameters<Harness[Name]>) =>
    callHarness(page, name, ...input);
  const step = (text: string) => options.onStep?.(text);

  if (adapter === null) {
    throw new TramontaneError('webgpu-unavailable', 'The browser offers no WebGPU.', {
      nextStep: 'Update the browser and the graphics driver.',
    });
  }
  const engines: Record<EngineName, ComparedEngine> = {
    tramontane: await describe('Tramontane', join(ROOT, 'package.json'), 'IndexedDB'),
    wllama: await describe('wllama', join(WLLAMA, 'package.json'), 'OPFS'),
  };
  const names: EngineName[] = ['tramontane', 'wllama'];
  const load = (name: EngineName) => harness('load', name, { id: modelId, contextLength: CONTEXT_LENGTH });
  for (const name of names) {
    step(`loading ${engines[name].name}`);
    const before = await residentBytes();
    engines[name].firstLoadMs = await load(name);
    await harness('ask', name, question(0, 0), SHORT_ANSWER);
    const after = await residentBytes();
    engines[name].residentBytes = before === null || after === null ? null : after - before;
  }
  const probe = (await createProcessorProbe(true)) ?? blindProbe;
  const watched = async <T extends object>(action: () => Promise<T>) => {
    const watch = await probe.start();
    let disturber: Disturber | null = null;
    let taken: T;
    try {
      taken = await action();
    } finally {
      disturber = await watch.stop();
    }
    return { ...taken, disturbed: disturber?.text ?? null };
  };
  const takeLoad = async (name: EngineName): Promise<ComparedLoad> => {
    await harness('unload', name);
    const timed = await watched(async () => {
      const loadMs = await load(name);
      const { firstTokenMs } = await harness('ask', name, question(0, 0), SHORT_ANSWER);
      return { loadMs, firstAnswerMs: loadMs + firstTokenMs };
    });
    return { ...timed, gpuBufferBytes: (await harness('gpuUse', name)).bufferBytes };
  };
  const takeTurn = async (name: EngineName, turn: number): Promise<ComparedTurn> => {
    const { submissions: before } = await harness('gpuUse', name);
    const timed = await watched(() =>
      harness('ask', name, question(turn, options.sentences), options.outputTokens),
    );
    const { submissions: after, bufferBytes: gpuBufferBytes } = await harness('gpuUse', name);
    const abortMs = await harness('abort', name, question(-turn, options.sentences));
    return { ...timed, abortMs, gpuSubmissions: after - before, gpuBufferBytes };
  };
  const notes: string[] = [];
  /** Both engines one after the other, until enough pairs were not disturbed. @returns false where one has failed */
  const takePairs = async <Turn extends { disturbed: string | null }>(
    what: 'load' | 'turn',
    wanted: number,
    take: (name: EngineName, number: number) => Promise<Turn>,
    keep: (engine: ComparedEngine, taken: Turn) => void,
  ): Promise<boolean> => {
    const most = wanted * (1 + (what === 'load' ? REPEATS_PER_LOAD : REPEATS_PER_SAMPLE));
    for (let number = 1, quiet = 0; quiet < wanted && number <= most; number++) {
      const pair: Turn[] = [];
      try {
        for (const name of names) {
          step(`${what} ${quiet + 1} of ${wanted}: ${engines[name].name}`);
          pair.push(await take(name, number));
        }
      } catch (error) {
        if (options.signal?.aborted === true) throw error;
        // What was measured before is worth having.
        const at = engines[names[pair.length]!].name;
        notes.push(`Partial: ${at} failed in ${what} ${number} (${errorMessage(error)}).`);
        return false;
      }
      for (const [i, name] of names.entries()) keep(engines[name], pair[i]!);
      if (pair.every(({ disturbed }) => disturbed === null)) quiet++;
    }
    return true;
  };
  for (const name of names) {
    step(`warming ${engines[name].name} up`);
    await harness('ask', name, question(0, options.sentences), options.outputTokens);
  }
  // Turns first: where an engine fails to load again, they are there.
  const isAlive = await takePairs('turn', options.turns, takeTurn, ({ turns }, taken) => turns.push(taken));
  if (isAlive) await takePairs('load', options.loads, takeLoad, ({ loads }, taken) => loads.push(taken));
  const subject = { model: modelId, modelBytes: options.model.gguf.byteLength, adapter };
  return compareEngines(subject, [engines.tramontane, engines.wllama], notes);
}

async function describe(name: string, packageFile: string, weightsIn: string): Promise<ComparedEngine> {
  const { version } = JSON.parse(await readFile(packageFile, 'utf8')) as { version: string };
  return { name, version, weightsIn, firstLoadMs: 0, residentBytes: null, loads: [], turns: [] };
}

/** Every turn asks something else, so that nothing can be taken from a cache of prompts. */
function question(turn: number, sentences: number): string {
  const sentence =
    'The ferry leaves the old harbour at noon, passes both islands and the lighthouse, and comes back at dusk.';
  return `Story ${turn}. ${Array.from({ length: sentences }, () => sentence).join(' ')} Continue this story at length.`;
}

async function copySource(source: FileSource, path: string): Promise<void> {
  const pieceBytes = 16 << 20;
  await writeFile(path, '');
  for (let offset = 0; offset < source.byteLength; offset += pieceBytes) {
    const bytes = await source.read(offset, Math.min(pieceBytes, source.byteLength - offset));
    await writeFile(path, bytes, { flag: 'a' });
  }
}

/** Resident memory of this process's descendants: the browser. Null where there is no /proc. */
async function residentBytes(): Promise<number | null> {
  const names = await readdir('/proc').catch(() => []);
  const processes = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => {
        const text = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '');
        const field = (key: string) => Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0);
        return { pid: Number(name), parent: field('PPid'), byteLength: field('VmRSS') * 1024 };
      }),
  );
  if (processes.length === 0) return null;
  const family = new Set([process.pid]);
  for (let size = 0; size < family.size; ) {
    size = family.size;
    for (const { pid, parent } of processes) if (family.has(parent)) family.add(pid);
  }
  family.delete(process.pid);
  return processes.reduce((sum, { pid, byteLength }) => sum + (family.has(pid) ? byteLength : 0), 0);
}

/** Runs before the page: has every worker that starts from a blob report its use of the GPU, under its owner's name. */
function watchWorkers(): void {
  const watch = (owner: string): void => {
    const channel = new BroadcastChannel('gpu-use');
    const sizes = new WeakMap<GPUBuffer, number>();
    let submissions = 0;
    let bufferBytes = 0;
    let isPending = false;
    const tell = () => {
      if (isPending) return;
      isPending = true;
      setTimeout(() => {
        isPending = false;
        channel.postMessage({ owner, submissions, bufferBytes });
      }, 20);
    };
    const { submit } = GPUQueue.prototype;
    GPUQueue.prototype.submit = function (buffers) {
      submissions++;
      tell();
      return submit.call(this, buffers);
    };
    const { createBuffer } = GPUDevice.prototype;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const buffer = createBuffer.call(this, descriptor);
      sizes.set(buffer, descriptor.size);
      bufferBytes += descriptor.size;
      tell();
      return buffer;
    };
    const { destroy } = GPUBuffer.prototype;
    GPUBuffer.prototype.destroy = function () {
      bufferBytes -= sizes.get(this) ?? 0;
      sizes.delete(this);
      tell();
      return destroy.call(this);
    };
  };
  const page = globalThis as unknown as { workerOwner: string; gpuUse: Record<string, unknown> };
  page.workerOwner = 'tramontane';
  page.gpuUse = {};
  new BroadcastChannel('gpu-use').onmessage = ({ data }) => {
    page.gpuUse[data.owner] = data;
  };
  const create = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (object: Blob | MediaSource) => {
    if (!(object instanceof Blob) || !/javascript/.test(object.type)) return create(object);
    const code = `if (typeof GPUQueue !== 'undefined') (${watch})(${JSON.stringify(page.workerOwner)});\n`;
    return create(
      new Blob([`globalThis.__name = (value) => value;\n${code}`, object], { type: object.type }),
    );
  };
}

/** Runs in the page: everything it uses is in it, or the page's own. */
function installHarness(): void {
  interface Chunk {
    choices: { delta?: { content?: string | null }; finish_reason?: string | null }[];
    usage?: { prompt_tokens: number; completion_tokens: number } | null;
  }
  /** Where wllama counts tokens. */
  interface WllamaTimings {
    timings?: { prompt_n?: number; predicted_n?: number };
  }
  interface Wllama {
    loadModelFromUrl(url: string, options: object): Promise<void>;
    exit(): Promise<void>;
    createChatCompletion(request: object): Promise<AsyncIterable<Chunk>>;
  }
  const page = globalThis as unknown as {
    workerOwner: string;
    gpuUse: Record<string, GpuUse | undefined>;
    tramontane: { engine: import('../../src/engine/api.ts').Engine };
    comparison: Harness;
  };
  const { engine } = page.tramontane;
  let wllama: Wllama | null = null;

  const stream = async (
    name: EngineName,
    content: string,
    maxTokens: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Chunk>> => {
    const messages = [{ role: 'user' as const, content }];
    const request = { messages, temperature: 0, cache_prompt: false };
    if (name === 'tramontane') {
      return engine.streamChat({ ...request, max_completion_tokens: maxTokens }, { signal });
    }
    if (wllama === null) throw new Error('wllama is not loaded');
    return wllama.createChatCompletion({
      ...request,
      stream: true,
      max_tokens: maxTokens,
      abortSignal: signal,
    });
  };

  page.comparison = {
    adapter: () => engine.getAdapter(),

    async load(name, { id, contextLength }) {
      page.workerOwner = name;
      const startMs = performance.now();
      if (name === 'tramontane') {
        await engine.loadModel({ id, url: 'command-model/' }, { contextLength });
      } else {
        const address = new URL('wllama/index.js', location.href).href;
        const { Wllama: Constructor, LoggerWithoutDebug } = (await import(address)) as {
          Wllama: new (paths: object, options: object) => Wllama;
          LoggerWithoutDebug: object;
        };
        wllama = new Constructor(
          { default: new URL('wllama/wasm/wllama.wasm', location.href).href },
          { logger: LoggerWithoutDebug, suppressNativeLog: true },
        );
        const url = new URL('gguf/model.gguf', location.href).href;
        await wllama.loadModelFromUrl(url, { n_ctx: contextLength, n_gpu_layers: 999, n_parallel: 1 });
      }
      return performance.now() - startMs;
    },

    async unload(name) {
      if (name === 'tramontane') await engine.unloadModel();
      else await wllama?.exit();
    },

    async ask(name, content, outputTokens) {
      const startMs = performance.now();
      let firstMs = 0;
      let lastMs = 0;
      let pieces = 0;
      let end: Chunk | null = null;
      for await (const chunk of await stream(name, content, outputTokens, new AbortController().signal)) {
        if (chunk.choices[0]?.delta?.content) {
          lastMs = performance.now();
          if (pieces === 0) firstMs = lastMs;
          pieces++;
        }
        end = chunk;
      }
      const timings = (end as (Chunk & WllamaTimings) | null)?.timings;
      const promptTokens = end?.usage?.prompt_tokens ?? timings?.prompt_n;
      const written = end?.usage?.completion_tokens ?? timings?.predicted_n ?? pieces;
      if (promptTokens === undefined || written < 2)
        throw new Error(`${name} answered with ${written} tokens`);
      return {
        promptTokens,
        outputTokens: written,
        firstTokenMs: firstMs - startMs,
        decodeMs: lastMs - firstMs,
      };
    },

    async abort(name, content) {
      const aborting = new AbortController();
      let abortedAtMs = 0;
      let pieces = 0;
      try {
        for await (const chunk of await stream(name, content, 64, aborting.signal)) {
          if (chunk.choices[0]?.delta?.content) pieces++;
          if (pieces === 2 && abortedAtMs === 0) {
            abortedAtMs = performance.now();
            aborting.abort();
          }
        }
      } catch (error) {
        if (abortedAtMs === 0) throw error;
      }
      if (abortedAtMs === 0) throw new Error(`${name} ended its answer before it could be aborted`);
      return performance.now() - abortedAtMs;
    },

    async gpuUse(name) {
      // The workers report with a delay of 20 ms.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return page.gpuUse[name] ?? { submissions: 0, bufferBytes: 0 };
    },
  };
}
