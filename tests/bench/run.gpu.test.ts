/** The benchmark on the real engine with tiny-mistral: whole reports, a wrong kernel, a lost device. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { blindProbe } from '../../src/bench/busy-probe.ts';
import { measureKernels } from '../../src/bench/kernels/measure-kernels.ts';
import type { BenchReport } from '../../src/bench/report.ts';
import { type BenchOptions, runBenchmark } from '../../src/bench/run.ts';
import type { Goldens } from '../../src/bench/suites/selfcheck.ts';
import { SUITES } from '../../src/bench/workloads.ts';
import { WebLlmEngine } from '../../src/engine/webllm-engine.ts';
import { MemoryWeightStore } from '../../src/storage/weight-store.ts';
import { tinyMistralGoldens } from '../conformance/tiny-mistral-goldens.ts';
import fixture from '../fixtures/tiny-mistral-logits.json' with { type: 'json' };
import { getTestDevice } from '../gpu/gpu-device.ts';
import { findSchemaFaults, requireTest, TEST_HOST } from '../tools/bench-tools.ts';
import { type ServedModel, serveModel, TINY_MISTRAL_FOLDER } from '../tools/test-models.ts';

const { caps } = await getTestDevice();
const isNode = typeof process !== 'undefined';
const full = isNode && process.env.TRAMONTANE_FULL !== undefined;
// Where kernels compile quickly. In a browser the command is tested (tests/e2e/bench-command.spec.ts).
const skip = !isNode || (!caps.shaderF16 && !full);

const { ggufSha256, tokens, row } = tinyMistralGoldens(fixture);
const goldens: Goldens = {
  sourceSha256: ggufSha256,
  source: 'PyTorch',
  texts: [{ tokens, top: tokens.map((_, i) => row(i).indexOf(Math.max(...row(i)))) }],
};

const createShaderModule = GPUDevice.prototype.createShaderModule;
const requestDevice = GPUAdapter.prototype.requestDevice;

/** Swaps a text in the WGSL of kernels whose code has `marker`. */
function tamper(marker: string, from: string, to: string): { count: number } {
  const tampered = { count: 0 };
  GPUDevice.prototype.createShaderModule = function (descriptor) {
    const isMeant = descriptor.code.includes(marker) && descriptor.code.includes(from);
    if (isMeant) tampered.count++;
    const code = isMeant ? descriptor.code.replace(from, to) : descriptor.code;
    return createShaderModule.call(this, { ...descriptor, code });
  };
  return tampered;
}

/** Notes of each answer that is asked of an engine how much of its prompt was in the KV cache. */
function watchReuse(engine: WebLlmEngine) {
  const turns: { maxTokens: number | null | undefined; cached: number; prompt: number }[] = [];
  const streamChat = engine.streamChat.bind(engine);
  engine.streamChat = async function* (request, options) {
    for await (const chunk of streamChat(request, options)) {
      const { usage } = chunk;
      if (usage !== undefined) {
        const cached = usage.prompt_tokens_details.cached_tokens;
        turns.push({ maxTokens: request.max_completion_tokens, cached, prompt: usage.prompt_tokens });
      }
      yield chunk;
    }
  };
  return turns;
}

describe.skipIf(skip)('the benchmark with tiny-mistral', () => {
  let served: ServedModel;
  let engine: WebLlmEngine;

  beforeAll(async () => {
    served = await serveModel(TINY_MISTRAL_FOLDER);
    engine = new WebLlmEngine({ store: new MemoryWeightStore(), baseUrl: served.url });
  });
  afterEach(() => {
    GPUDevice.prototype.createShaderModule = createShaderModule;
    GPUAdapter.prototype.requestDevice = requestDevice;
  });
  afterAll(async () => {
    await engine?.dispose();
    await served?.close();
  });

  async function run(options: Partial<BenchOptions>): Promise<BenchReport> {
    const report = await runBenchmark(
      engine,
      { id: 'tiny-mistral', url: served.url },
      {
        suites: ['selfcheck'],
        host: TEST_HOST,
        version: 'test',
        probe: blindProbe,
        measureKernels: (model, kernels) => measureKernels(model, { ...kernels, gpu: navigator.gpu }),
        size: 'short',
        ...options,
      },
    );
    expect(findSchemaFaults(report)).toEqual([]);
    return report;
  }

  test('every suite has its figures', async () => {
    const reused = watchReuse(engine);
    const report = await run({ suites: SUITES, repetitions: 2 });
    expect(report.status).toBe('complete');
    expect(report.labels).toContain('short');
    const ids = report.tests.map(({ id }) => id);
    expect(ids).toEqual([
      'cold load',
      'cold load: download',
      'cold load: to the GPU',
      'cold load: kernels',
      'self-check: agreement',
      'warm load',
      'warm load: to the GPU',
      'warm load: kernels',
      'warm load: read / stored',
      'warm load: time / raw read',
      'pp64',
      'tg16',
      'pp64 @ d128',
      'tg16 @ d128',
      'follow-up: time to first token, warm',
      'follow-up: time to first token, from cold',
      'chat short: time to first token',
      'chat short: time per output token',
      'chat short: end to end',
      'chat 256: time to first token',
      'chat 256: time per output token',
      'chat 256: end to end',
      'JSON: grammar start',
      'JSON: time per output token',
      'free text: time per output token',
      'JSON: cost per output token',
    ]);
    for (const { id, samples, statistics } of report.tests) {
      if (id === 'JSON: cost per output token') continue;
      expect(
        samples.every(({ value }) => value > 0),
        id,
      ).toBe(true);
      if (samples.every(({ mark }) => mark === null)) expect(statistics.mean, id).toBeGreaterThan(0);
    }
    expect(report.selfCheck).toMatchObject({ reference: 'own-prefill', positions: 32 });
    expect(report.selfCheck?.agreement).toBeGreaterThan(95);
    expect(report.machine.deviceLimits.maxBufferSize).toBeGreaterThan(0);
    // A warm turn is measured where the KV cache has most of the prompt, a cold one where it has nothing.
    const turns = reused.filter(({ maxTokens }) => maxTokens === 2);
    expect(turns).toHaveLength(4);
    turns.forEach(({ cached, prompt }, index) => {
      if (index % 2 === 0) expect(cached).toBeGreaterThan(prompt / 2);
      else expect(cached).toBe(0);
    });
  });

  test('a kernel made wrong fails the self-check', async () => {
    const right = await run({ goldens: [goldens] });
    expect(right.selfCheck?.reference).toBe('golden');
    expect(right.selfCheck?.agreement).toBeGreaterThan(97);
    expect(right.labels).not.toContain('self-check-failed');

    // The decode kernels' SwiGLU, at half its size; the prefill kernels are as they were.
    const decodeOnly = tamper('norm_gate_up', '* up; }', '* up * 0.5; }');
    const wrong = await run({ goldens: [goldens] });
    expect(decodeOnly.count).toBeGreaterThan(0);
    expect(wrong.labels).toContain('self-check-failed');
    // Without goldens, decode and prefill disagree.
    const alone = await run({});
    expect(alone.selfCheck?.reference).toBe('own-prefill');
    expect(alone.labels).toContain('self-check-failed');
  });

  test.runIf(isNode)('a GPU that is lost on the way leaves what was measured', async () => {
    let device: GPUDevice | null = null;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      device = await requestDevice.call(this, descriptor);
      return device;
    };
    const report = await run({
      suites: ['standard', 'chat'],
      onProgress: ({ test: id, repetition }) => {
        if (id === 'tg16' && repetition === 3) device?.destroy();
      },
    });
    expect(report.status).toBe('partial');
    expect(report.labels).toContain('device-lost');
    expect(report.stoppedBy).toContain('The GPU was lost');
    expect(requireTest(report, 'pp64').samples).toHaveLength(4);
    expect(requireTest(report, 'tg16').samples).toHaveLength(2);
    expect(engine.getLoadedModel()).toBeNull();
  });
});
