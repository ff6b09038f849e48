/** `npm run bench`, as a person calls it: both runtimes on tiny-mistral, its files, an interruption, wrong usage. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'playwright/test';
import { findSchemaFaults as findFaults } from '../../scripts/lib/report-schema.ts';
import { ROOT } from '../../scripts/lib/up-to-date.ts';
import { agreementToMarkdown, compareRuns } from '../../src/bench/agreement.ts';
import { blindProbe } from '../../src/bench/busy-probe.ts';
import type { ComparisonReport } from '../../src/bench/comparison.ts';
import { toJson } from '../../src/bench/export.ts';
import type { BenchReport, SuiteName } from '../../src/bench/report.ts';
import { runBenchmark } from '../../src/bench/run.ts';
import { createFakeEngine } from '../../src/engine/fake-engine.ts';
import { findSchemaFaults, noKernels, TEST_HOST, VirtualClock } from '../tools/bench-tools.ts';
import { f16ChromiumPath } from '../tools/chromium.ts';
import { interrupt, runScript, type ScriptOptions } from '../tools/run-script.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';
import { softwareVulkan } from '../tools/vulkan.ts';

let folder: string;
let model: string;

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tramontane-bench-'));
  model = (await ensureTinyMistral('plain')).folder;
});
test.afterAll(() => rm(folder, { recursive: true, force: true }));

const bench = (args: readonly string[], options?: ScriptOptions) => runScript('bench.ts', args, options);

async function readReport(file: string): Promise<BenchReport> {
  const report = JSON.parse(await readFile(file, 'utf8')) as BenchReport;
  expect(findSchemaFaults(report)).toEqual([]);
  return report;
}

const requireSuite = ({ tests }: BenchReport, suite: SuiteName) => {
  const found = tests.filter((candidate) => candidate.suite === suite);
  expect(found).not.toEqual([]);
  return found;
};
const suitesOf = (report: BenchReport) => [...new Set(report.tests.map(({ suite }) => suite))].sort();

test('in a browser: a whole report in every form', async () => {
  // A minute; the page's own test runs the same suites in a browser, and Dawn's below the command.
  test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
  const file = (name: string) => join(folder, name);
  const forms = ['--json', file('b.json'), '--csv', file('b.csv'), '--markdown', file('b.md')];
  const suites = ['--suite', 'standard,chat', '--size', 'short', '--repetitions', '2'];
  const { code, stdout, stderr } = await bench(['--model', model, ...suites, ...forms]);
  expect(stderr).toMatch(/About \d+ (s|min)\b/);
  expect(code, stderr).toBe(0);
  const report = await readReport(file('b.json'));
  expect(report.status).toBe('complete');
  expect(report.labels).toContain('software');
  expect(suitesOf(report)).toEqual(['chat', 'followup', 'json', 'selfcheck', 'standard']);
  expect(report.machine).toMatchObject({ runtime: 'browser', processor: expect.any(String) });
  expect(report.machine.program).toMatch(/^\w+ \d+\./);
  expect(stdout).toMatch(/^\| model +\| +size \| +params \| backend \| +test \| +t\/s \|\n/);
  expect(await readFile(file('b.md'), 'utf8')).toBe(stdout);
  expect((await readFile(file('b.csv'), 'utf8')).split('\r\n')).toHaveLength(report.tests.length + 2);
});

test.describe('on Dawn', () => {
  const icd = softwareVulkan.f16() ?? softwareVulkan.f32();
  test.skip(icd === null, 'There is no Vulkan driver that WebGPU in Node could use.');
  const env = { VK_ICD_FILENAMES: icd ?? '', LP_NUM_THREADS: '1' };

  test('a whole report, with nothing but the table on stdout', async () => {
    const file = join(folder, 'd.json');
    const args = ['--runtime', 'dawn', '--model', model, '--suite', 'all', '--size', 'short', '--json', file];
    const { code, stdout, stderr } = await bench([...args, '--repetitions', '1'], { env });
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^\| model /);
    const report = await readReport(file);
    expect(report.status).toBe('complete');
    expect(suitesOf(report)).toEqual(['chat', 'followup', 'json', 'load', 'selfcheck', 'standard']);
    const { decode, prefill } = report.kernels!;
    expect(decode.kernels.map(({ op }) => op)).toContain('norm-gate-up');
    expect(prefill).toMatchObject({ depth: 0, tokens: 64 });
    expect(stdout).toMatch(/^A decoded token at depth 128: .* dispatches/m);
    expect(stdout).toMatch(/^\| +[\d.]+ % \|.* norm-gate-up .* \|$/m);
    expect(report.machine.program).toMatch(/^Node .*, webgpu /);
  });

  test('measured twice, it agrees with itself within the spread that it states', async () => {
    test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
    test.setTimeout(600_000);
    const reports: BenchReport[] = [];
    for (const name of ['first', 'second']) {
      const file = join(folder, `${name}.json`);
      const args = ['--runtime', 'dawn', '--model', model, '--repetitions', '5', '--json', file];
      const { code, stderr } = await bench([...args, '--suite', 'standard', '--size', 'short'], { env });
      expect(code, stderr).toBe(0);
      reports.push(await readReport(file));
    }
    console.log(agreementToMarkdown(reports));
    const standard = new Set(requireSuite(reports[0]!, 'standard').map(({ id }) => id));
    const rows = compareRuns(reports).rows.filter(({ id }) => standard.has(id));
    const known = rows.filter(({ verdict }) => verdict !== 'unknown');
    test.skip(known.length === 0, 'other programs, or the host, disturbed every sample of one run');
    expect(known.filter(({ verdict }) => verdict === 'differ').map(({ id }) => id)).toEqual([]);
  });

  test.describe('a kernel that is changed on its way to the GPU', () => {
    test.skip(
      process.env.TRAMONTANE_FULL === undefined,
      'long tests; tests/bench has the same below the command',
    );

    /** Runs the command with a text swapped in the WGSL of kernels that have `marker`. */
    async function benchTampered(name: string, marker: string, from: string, to: string, suite: string) {
      const file = join(folder, `${name}.mjs`);
      await writeFile(
        file,
        `import { createRequire } from 'node:module';
const { globals } = await import(createRequire(${JSON.stringify(join(ROOT, 'package.json'))}).resolve('webgpu'));
const { createShaderModule } = globals.GPUDevice.prototype;
globals.GPUDevice.prototype.createShaderModule = function (descriptor) {
  const code = descriptor.code.includes(${JSON.stringify(marker)})
    ? descriptor.code.replace(${JSON.stringify(from)}, ${JSON.stringify(to)})
    : descriptor.code;
  return createShaderModule.call(this, { ...descriptor, code });
};`,
      );
      const json = join(folder, `${name}.json`);
      const args = [
        '--runtime',
        'dawn',
        '--model',
        model,
        '--suite',
        suite,
        '--size',
        'short',
        '--json',
        json,
      ];
      const outcome = await bench(args, {
        env: { ...env, NODE_OPTIONS: `--import ${pathToFileURL(file).href}` },
      });
      expect(outcome.code, outcome.stderr).toBe(0);
      return { report: await readReport(json), stdout: outcome.stdout };
    }

    test('made wrong: the self-check fails, and the table says so', async () => {
      const { report, stdout } = await benchTampered(
        ...(['wrong', 'norm_gate_up', '* up; }', '* up * 0.5; }', 'selfcheck'] as const),
      );
      expect(report.labels).toContain('self-check-failed');
      expect(stdout).toContain('the self-check failed: a kernel computes wrongly');
    });

    test('made slow: it is the first in the kernel view, by name', async () => {
      const bounds = 'if (group >= uniforms.packGridDimX) { return; }';
      const loop = `
  var idle = group;
  for (var i = 0u; i < 2000000u + min(group, 1u); i++) { idle = idle * 1664525u + 1013904223u; }
  if (idle == 7u) { return; }`;
      const { report, stdout } = await benchTampered(
        ...(['slow', 'fn matvec_residual', bounds, `${bounds}${loop}`, 'kernels'] as const),
      );
      expect(report.kernels!.decode.kernels[0]!.op).toBe('matvec-residual');
      expect(report.kernels!.decode.kernels[0]!.shareOfTime).toBeGreaterThan(0.4);
      expect(stdout).toMatch(/A decoded token[^\n]*\n\n[^\n]*\n[^\n]*\n[^\n]*matvec-residual/);
    });
  });

  test('random weights: from nowhere, with answers that are numbers', async () => {
    const file = join(folder, 'r.json');
    const args = ['--runtime', 'dawn', '--model', 'random:tiny', '--size', 'short', '--json', file];
    const { code, stderr } = await bench([...args, '--repetitions', '1'], { env });
    expect(code, stderr).toBe(0);
    const report = await readReport(file);
    expect(report.labels).toContain('random-weights');
    expect(report.selfCheck?.agreement).toBeGreaterThan(90);
    expect(report.model.name).toBe('Tiny, random weights');
  });

  test('interrupted, it gives what it has', async () => {
    const file = join(folder, 'i.json');
    const args = ['--runtime', 'dawn', '--model', 'random:tiny', '--json', file, '--size', 'full'];
    let interrupted = false;
    const { code, stdout } = await bench(args, {
      env,
      onOutput(output, child) {
        if (interrupted || !/^tg128/m.test(output.stderr)) return;
        interrupted = true;
        interrupt(child);
      },
    });
    expect(code).toBe(130);
    const report = await readReport(file);
    expect(report.labels).toEqual(expect.arrayContaining(['partial', 'aborted']));
    expect(report.tests.some(({ id }) => id === 'pp512')).toBe(true);
    expect(stdout).toContain('pp512');
  });
});

test("beside wllama in a browser without shader-f16: its figures are called a processor's, without a ratio", async () => {
  test.skip(process.env.TRAMONTANE_FULL === undefined, 'a long test');
  const file = join(folder, 'compare.json');
  const { code, stdout, stderr } = await bench(['--suite', 'compare', '--repetitions', '2', '--json', file]);
  expect(code, stderr).toBe(0);
  const report = JSON.parse(await readFile(file, 'utf8')) as ComparisonReport;
  expect(findFaults('comparison', report)).toEqual([]);
  const [ours, theirs] = report.engines;
  test.skip(report.adapter.shaderF16, 'this browser has shader-f16');
  expect(ours.turns.every(({ gpuSubmissions }) => gpuSubmissions > 0)).toBe(true);
  expect(theirs.turns.every(({ gpuSubmissions }) => gpuSubmissions === 0)).toBe(true);
  expect(report.ratios).toBeNull();
  expect(stdout).toContain('wllama sent nothing to the GPU');
});

test('beside wllama in the browser with shader-f16: both run on WebGPU, and ours is ahead', async () => {
  const isPossible = process.env.TRAMONTANE_FULL !== undefined && existsSync(f16ChromiumPath);
  test.skip(!isPossible, 'a long test, for the browser that npm test makes');
  const file = join(folder, 'compare-f16.json');
  const args = ['--suite', 'compare', '--repetitions', '3', '--json', file];
  const { code, stdout, stderr } = await bench(args, { env: { TRAMONTANE_CHROMIUM: f16ChromiumPath } });
  expect(code, stderr).toBe(0);
  const report = JSON.parse(await readFile(file, 'utf8')) as ComparisonReport;
  expect(findFaults('comparison', report)).toEqual([]);
  expect(stdout).toMatch(/\| backend +\| +webgpu .*\| +webgpu /);
  for (const metric of ['prefill', 'decode']) {
    expect(report.ratios?.find((ratio) => ratio.metric === metric)?.mean, metric).toBeGreaterThan(1.5);
  }
});

for (const runtime of ['dawn', 'browser']) {
  test(`SmolLM2, the built-in model: ${runtime}`, async () => {
    const icd = softwareVulkan.f16() ?? softwareVulkan.f32();
    const isPossible = process.env.TRAMONTANE_FULL !== undefined && (runtime === 'browser' || icd !== null);
    test.skip(!isPossible, 'a long test');
    const file = join(folder, `smollm2-${runtime}.json`);
    const size = ['--suite', 'standard', '--size', 'short', '--depth', '0', '--repetitions', '2'];
    const env = runtime === 'dawn' ? { VK_ICD_FILENAMES: icd ?? '', LP_NUM_THREADS: '1' } : {};
    const { code, stderr } = await bench(['--runtime', runtime, ...size, '--json', file], { env });
    expect(code, stderr).toBe(0);
    const report = await readReport(file);
    expect(report).toMatchObject({ status: 'complete', selfCheck: { reference: 'golden' } });
    expect(report.selfCheck?.agreement).toBeGreaterThan(95);
    expect(requireSuite(report, 'standard').map(({ id }) => id)).toEqual(['pp64', 'tg16']);
  });
}

test('whether two runs agree is told, and is the exit code', async () => {
  const report = async (name: string, rate: number) => {
    const clock = new VirtualClock();
    // A little unsteady, so that there is a spread.
    const speed = (nowMs: number) => 1 + 0.02 * Math.sin(nowMs);
    const made = await runBenchmark(
      createFakeEngine({ clock, rate, prefillRate: 1000, speed }),
      { id: 'scripted', url: 'https://models.invalid/' },
      {
        suites: ['standard'],
        depths: [0],
        host: TEST_HOST,
        version: '0',
        probe: blindProbe,
        measureKernels: noKernels,
        clock,
      },
    );
    const file = join(folder, `${name}.json`);
    await writeFile(file, toJson(made));
    return file;
  };
  const files = [await report('steady', 50), await report('same', 50.01), await report('slower', 40)];
  const same = await bench(['--agree', files[0]!, files[1]!]);
  expect(same.code, same.stderr).toBe(0);
  expect(same.stdout).toMatch(/^\| tg128 .*\| agree \|$/m);
  const other = await bench(['--agree', files[0]!, files[2]!]);
  expect(other.code, other.stderr).toBe(1);
  expect(other.stdout).toMatch(/^\| tg128 .*\| differ, 2\d % apart \|$/m);
  const alien = join(folder, 'alien.json');
  await writeFile(alien, '{"version": 1, "tests": []}');
  const refused = await bench(['--agree', files[0]!, alien]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('is not a benchmark report') });
});

test('without a browser: 1, and what to do', async () => {
  const env = { TRAMONTANE_CHROMIUM: join(folder, 'absent') };
  for (const args of [
    ['--model', model],
    ['--suite', 'compare'],
  ]) {
    const { code, stdout, stderr } = await bench(args, { env });
    expect(stderr).toContain('set TRAMONTANE_CHROMIUM to its path');
    expect([code, stdout]).toEqual([1, '']);
  }
});

test('wrong usage is refused before anything runs', async () => {
  const cases = [
    [['--suite', 'speed'], 'There is no suite "speed"'],
    [['--depth', '0,x'], '--depth must be a whole number from 0, got "x"'],
    [['--model', 'random:tiny'], 'Random weights are for --runtime dawn'],
    [['--model', 'random:huge', '--runtime', 'dawn'], 'There is no shape "huge"'],
    [['--before', '.'], '--before is for --suite kernels and --runtime dawn'],
    [['--suite', 'compare', '--model', 'x.gguf'], '--model does not go with --suite compare'],
    [['--json', join(folder, 'nowhere', 'x.json')], 'cannot be written'],
    [['--agree', 'a.json'], '--agree takes two or more reports'],
    [['standard'], 'Unexpected argument "standard"'],
    [['--colour'], 'Unknown option'],
  ] as const;
  const outcomes = await Promise.all(cases.map(([args]) => bench(args)));
  for (const [i, { code, stderr }] of outcomes.entries()) {
    expect(stderr).toContain(cases[i]![1]);
    expect(code).toBe(2);
  }
});
