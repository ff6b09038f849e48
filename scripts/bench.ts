/** `npm run bench`: how fast a model is on this machine's GPU. `--help` lists the options. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { errorMessage } from '../src/base/errors.ts';
import { agreementToMarkdown, compareRuns } from '../src/bench/agreement.ts';
import { comparisonToMarkdown } from '../src/bench/comparison.ts';
import type { BenchReport, SuiteName } from '../src/bench/report.ts';
import { FULL, SUITES } from '../src/bench/workloads.ts';
import type { LoadOptions } from '../src/engine/api.ts';
import type { lower } from '../src/modellib/lower.ts';
import { CONFIG_FILE } from '../src/models/model-files.ts';
import { BenchOutput, requireWritable } from './lib/bench-output.ts';
import { type BenchArguments, benchInBrowser, benchOnEngine } from './lib/bench-runtimes.ts';
import { requireChromium } from './lib/chromium.ts';
import { createProgressLine, runCommand, UsageError } from './lib/command-line.ts';
import { openCommittedGguf } from './lib/committed-models.ts';
import { resolveModel } from './lib/model-argument.ts';
import { createRandomModel, RANDOM_PREFIX } from './lib/random-model.ts';
import { readReport } from './lib/read-report.ts';
import { ROOT } from './lib/up-to-date.ts';
import { compareWithWllama } from './lib/wllama-comparison.ts';

type Lower = typeof lower;

const HELP = `Usage: npm run bench -- [options]

Measures a model on this machine's GPU, in a headless Chrome or Chromium or in Node. The table, with llama-bench's
columns, goes to stdout; progress goes to stderr. What each figure means: docs/benchmarking.md.

  --model ID|FOLDER|FILE.gguf  Default: the built-in model
  --model random:SHAPE[:QUANT] random weights, with --runtime dawn: random:mistral-small-3.2-24b, random:tiny; in
                               q4_0 (default), q4_k_m or q8_0
  --suite NAMES                standard, chat, load, all, or single ones (selfcheck, followup, json), with commas
                               between. Default: standard
  --suite kernels              where the time goes, kernel by kernel, over random weights: part of all, too
  --suite compare              the built-in model beside llama.cpp's WebGPU build (wllama), in one browser; takes
                               --repetitions, --markdown and --json (docs/bench-comparison.schema.json)
  --runtime browser|dawn       Default: browser
  --depth 0,2048               tokens in the KV cache before the standard tests. Default: 0,2048
  --repetitions N              samples that count, of each test
  --size auto|full|short       auto: short where the full suite would take over ten minutes. Default: auto
  --before FOLDER              with --suite kernels and --runtime dawn: another checkout, whose kernels take turns
  --context N                  tokens of context to load the model with
  --agree A.json B.json …      measures nothing: do these runs agree, test by test?
  --json FILE                  the whole report (docs/bench-report.schema.json), written after every test
  --csv FILE
  --markdown FILE
  --help

Exit codes: 0 measured, 1 failed or partial (the reason is on stderr) or runs that do not agree, 2 wrong usage, 130
interrupted. What was measured
before a failure or an interruption is printed and written all the same, labelled partial.`;

const GROUPS: Readonly<Record<string, readonly SuiteName[]>> = {
  standard: ['selfcheck', 'standard'],
  chat: ['selfcheck', 'chat', 'followup', 'json'],
  load: ['selfcheck', 'load'],
  all: SUITES,
  kernels: ['kernels'],
  selfcheck: ['selfcheck'],
  followup: ['followup'],
  json: ['json'],
};

function parseSuites(text: string): SuiteName[] {
  const names = text.split(',').map((name) => name.trim());
  const suites = names.flatMap((name) => {
    const group = GROUPS[name];
    if (group === undefined) {
      throw new UsageError(`There is no suite "${name}". There are: ${Object.keys(GROUPS).join(', ')}.`);
    }
    return group;
  });
  return SUITES.filter((suite) => suites.includes(suite));
}

function parseCount(name: string, text: string | undefined, least: number): number | null {
  if (text === undefined) return null;
  if (!/^\d+$/.test(text) || Number(text) < least) {
    throw new UsageError(`--${name} must be a whole number from ${least}, got "${text}".`);
  }
  return Number(text);
}

function parseDepths(text: string | undefined): number[] | null {
  if (text === undefined) return null;
  const depths = text.split(',').map((part) => parseCount('depth', part.trim(), 0)!);
  return [...new Set(depths)].sort((a, b) => a - b);
}

function requireOneOf<T extends string>(name: string, text: string, values: readonly T[]): T {
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  throw new UsageError(`--${name} must be ${values.join(' or ')}, got "${text}".`);
}

async function main(signal: AbortSignal): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string' },
      suite: { type: 'string', default: 'standard' },
      runtime: { type: 'string' },
      depth: { type: 'string' },
      repetitions: { type: 'string' },
      size: { type: 'string' },
      context: { type: 'string' },
      before: { type: 'string' },
      agree: { type: 'boolean', default: false },
      json: { type: 'string' },
      csv: { type: 'string' },
      markdown: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  if (values.agree) {
    await judgeAgreement(positionals);
    return;
  }
  if (positionals.length > 0) throw new UsageError(`Unexpected argument "${positionals[0]}".`);
  if (values.suite === 'compare') {
    for (const name of ['model', 'runtime', 'depth', 'size', 'context', 'before', 'csv'] as const) {
      if (values[name] !== undefined) throw new UsageError(`--${name} does not go with --suite compare.`);
    }
    await requireWritable([values.json, values.markdown]);
    await compare(parseCount('repetitions', values.repetitions, 2), values.json, values.markdown, signal);
    return;
  }
  const runtime = requireOneOf('runtime', values.runtime ?? 'browser', ['browser', 'dawn']);
  if (values.before !== undefined && (runtime !== 'dawn' || values.suite !== 'kernels')) {
    throw new UsageError('--before is for --suite kernels and --runtime dawn.');
  }
  const contextLength = parseCount('context', values.context, 1);
  const request: BenchArguments = {
    suites: parseSuites(values.suite),
    size: requireOneOf('size', values.size ?? 'auto', ['auto', 'full', 'short']),
    depths: parseDepths(values.depth),
    repetitions: parseCount('repetitions', values.repetitions, 1),
    load: contextLength === null ? {} : { contextLength },
    version: await readVersion(),
  };
  await requireWritable([values.json, values.csv, values.markdown]);
  const output = new BenchOutput({ json: values.json, csv: values.csv, markdown: values.markdown });
  const before = values.before === undefined ? null : await importLower(values.before);
  const report = await measure(values.model, runtime, { ...request, before }, output, signal);
  await output.end(report);
  signal.throwIfAborted();
  if (report.status === 'partial') throw new Error(report.stoppedBy ?? report.notes.join(' '));
}

async function judgeAgreement(files: readonly string[]): Promise<void> {
  if (files.length < 2) throw new UsageError('--agree takes two or more reports, as --json writes them.');
  const reports = await Promise.all(files.map(readReport));
  process.stdout.write(agreementToMarkdown(reports));
  if (compareRuns(reports).rows.some(({ verdict }) => verdict === 'differ')) process.exitCode = 1;
}

/** The plans of another checkout of this program. */
async function importLower(folder: string): Promise<Lower> {
  const file = join(resolve(folder), 'src/modellib/lower.ts');
  try {
    return ((await import(pathToFileURL(file).href)) as { lower: Lower }).lower;
  } catch (error) {
    throw new UsageError(`${file} cannot be loaded: ${errorMessage(error)}`);
  }
}

async function compare(
  turns: number | null,
  jsonFile: string | undefined,
  markdownFile: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const executablePath = requireChromium();
  const model = await resolveModel(undefined, { signal, onProgress: () => undefined });
  const gguf = await openCommittedGguf(model.id);
  try {
    const report = await compareWithWllama({
      executablePath,
      model: { ...model, gguf },
      ...(turns === null ? {} : { turns }),
      signal,
      onStep: (step) => process.stderr.write(`${step}\n`),
    });
    const table = comparisonToMarkdown(report);
    process.stdout.write(table);
    if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
    if (markdownFile !== undefined) await writeFile(markdownFile, table);
    const failure = report.notes.find((note) => note.startsWith('Partial: '));
    if (failure !== undefined) throw new Error(failure);
  } finally {
    await gguf.close();
  }
}

async function measure(
  argument: string | undefined,
  runtime: 'browser' | 'dawn',
  request: BenchArguments & { before: Lower | null },
  output: BenchOutput,
  signal: AbortSignal,
): Promise<BenchReport> {
  if (argument?.startsWith(RANDOM_PREFIX)) {
    if (runtime !== 'dawn') throw new UsageError('Random weights are for --runtime dawn.');
    const { createStoreEngine } = await import('./lib/dawn-engine.ts');
    const { id, store, contextLength, maxContextLength } = createRandomModel(argument);
    const load = deepEnough(request, contextLength, maxContextLength);
    const engine = await createStoreEngine(store);
    try {
      return await benchOnEngine(engine, { id }, { ...request, load, randomWeights: true }, output, signal);
    } finally {
      await engine.dispose();
    }
  }

  const line = createProgressLine();
  const model = await resolveModel(argument, { signal, onProgress: line.show });
  line.end();
  const config = JSON.parse(await readFile(join(model.folder, CONFIG_FILE), 'utf8')) as {
    context_window_size?: number;
    model_config?: { max_position_embeddings?: number };
  };
  const configured = config.context_window_size ?? 0;
  const load = deepEnough(request, configured, config.model_config?.max_position_embeddings ?? configured);
  if (runtime === 'browser') {
    const { before, ...rest } = request;
    return benchInBrowser(model, { ...rest, load }, output, signal);
  }
  const { createDawnEngine } = await import('./lib/dawn-engine.ts');
  const { engine, modelUrl, close } = await createDawnEngine(model.folder);
  try {
    const source = { id: model.id, url: modelUrl };
    return await benchOnEngine(engine, source, { ...request, load, randomWeights: false }, output, signal);
  } finally {
    await close();
  }
}

/**
 * Room for a depth that was asked for by hand and for the longest chat, where the model can have it and --context does
 * not say otherwise.
 */
function deepEnough({ load, depths, suites }: BenchArguments, configured: number, most: number): LoadOptions {
  const standard = depths === null ? 0 : Math.max(...depths) + Math.max(FULL.promptTokens, FULL.outputTokens);
  const prompts = FULL.chat.prompts.map(({ tokens }) => tokens ?? 0);
  const chat = suites.includes('chat') ? Math.max(...prompts) + FULL.chat.outputTokens : 0;
  const needed = Math.max(standard, chat);
  if (load.contextLength !== undefined || needed <= configured) return load;
  return { ...load, contextLength: Math.min(needed, most) };
}

/** `0.1.0 (1a2b3c4)`: with the commit, where this is a clone. */
async function readVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const describe = promisify(execFile)('git', ['describe', '--always', '--dirty'], { cwd: ROOT });
  const commit = await describe.then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
  return commit === '' ? version : `${version} (${commit})`;
}

await runCommand(main);
