/**
 * npm run import -- SOURCE --out FOLDER
 * Turns a model that was published for other programs into a folder that the site and the other commands load. Progress
 * and figures go to stderr, the folder to stdout.
 */
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DEFAULT_MAX_RECORD_BYTES, DEFAULT_MAX_SHARD_BYTES } from '../src/engine/import/import-model.ts';
import { planSource } from '../src/engine/import/plan-source.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../src/models/model-files.ts';
import { createProgressLine, formatBytes, runCommand, UsageError } from './lib/command-line.ts';
import { STATIC_HOST_BYTES, storeInFolder } from './lib/import-folder.ts';
import { type CommandSource, openCommandSource } from './lib/open-source.ts';

const HELP = `Usage: npm run import -- SOURCE --out FOLDER [options]

Imports a model for use in the browser. Weights are repacked, never changed. SOURCE is one of

  FILE.gguf                      a GGUF; of a split one (NAME-00001-of-00003.gguf) any of the files, which lie together
  FOLDER                         a folder in MLC's layout (q4f16_1)
  https://HOST/FILE.gguf         a GGUF on a server that sends byte ranges
  https://HOST/FOLDER/           the same as a folder
  hf:OWNER/REPO[/FILE.gguf][@REVISION]  either on Hugging Face, or on a mirror of it that HF_ENDPOINT names
  hf:OWNER/REPO:Q4_K_M[@REVISION]       the GGUF of that quantization there

  --out FOLDER      where to write; it must not exist yet, or be empty
  --force           replace the model in FOLDER
  --shard-mib N     most MiB of a file, 1 to 1024 (default ${STATIC_HOST_BYTES >> 20}: static hosts cap files at 25)
  --context N       tokens of context to configure (default: the model's own, at most 8192)
  --name NAME       what to call the model (default: as the source says)
  --help            this text

Exit codes: 0 imported, 1 failed, 2 wrong usage, 130 interrupted. An import that does not end leaves what it wrote in
FOLDER.partial, and the same command goes on from there; FOLDER itself is only ever a whole model.
`;

interface Options {
  source: string;
  out: string;
  force: boolean;
  shardBytes: number;
  contextLength: number | null;
  name: string | null;
}

/** @returns null where help was asked for. @throws UsageError */
function readOptions(args: string[]): Options | null {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      force: { type: 'boolean', default: false },
      'shard-mib': { type: 'string' },
      context: { type: 'string' },
      name: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const [source, ...rest] = positionals;
  if (source === undefined || rest.length > 0)
    throw new UsageError('Name one model: a GGUF file or its address.');
  if (values.out === undefined) throw new UsageError('Say where to write: --out FOLDER.');
  const shardMib = readInteger(values['shard-mib'], '--shard-mib', 1024);
  return {
    source,
    out: resolve(values.out),
    force: values.force,
    shardBytes: shardMib === null ? STATIC_HOST_BYTES : shardMib << 20,
    contextLength: readInteger(values.context, '--context', 1 << 24),
    name: values.name ?? null,
  };
}

function readInteger(text: string | undefined, option: string, max: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new UsageError(`${option} is "${text}", expected a whole number from 1 to ${max}.`);
}

/** From here on the number of files is worth a word. */
const LARGE_BYTES = 2e9;

/** Names of what an import writes: nothing else is ever replaced. */
const MODEL_FILES = new Set([CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE]);
const isModelFile = (name: string) => MODEL_FILES.has(name) || /^params_shard_\d+\.bin$/.test(name);

/** @throws UsageError where `folder` may not be written to */
async function requireTarget(folder: string, force: boolean): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') throw new UsageError(`${folder} is a file: choose a folder.`);
    throw error;
  }
  const foreign = names.find((name) => !isModelFile(name));
  if (foreign !== undefined) {
    throw new UsageError(`${folder} holds ${foreign}, which is not of a model: choose another folder.`);
  }
  if (names.length > 0 && !force) {
    throw new UsageError(`${folder} holds a model: choose another folder, or replace it with --force.`);
  }
}

async function run(options: Options, signal: AbortSignal): Promise<void> {
  await requireTarget(options.out, options.force);
  const source = await openCommandSource(options.source, signal);
  try {
    await importSource(source, options, signal);
  } finally {
    await source.close();
  }
}

async function importSource({ opened }: CommandSource, options: Options, signal: AbortSignal): Promise<void> {
  if (options.name !== null) opened.prepared.origin.name = options.name;
  const planned = await planSource(opened, {
    maxRecordBytes: Math.min(options.shardBytes, DEFAULT_MAX_RECORD_BYTES),
    maxShardBytes: options.shardBytes,
  });
  const { byteLength, shards } = planned.plan;
  if (options.shardBytes < DEFAULT_MAX_SHARD_BYTES && byteLength > LARGE_BYTES) {
    process.stderr.write(
      `${shards.length} files of at most ${options.shardBytes >> 20} MiB, as static hosts want them. ` +
        `For a disk or a host of your own, --shard-mib ${DEFAULT_MAX_SHARD_BYTES >> 20} makes fewer.\n`,
    );
  }
  const line = createProgressLine();
  try {
    const startMs = performance.now();
    const manifest = await storeInFolder(planned, options.out, {
      ...(options.contextLength === null ? {} : { contextLength: options.contextLength }),
      signal,
      onProgress: line.show,
      onInterrupted() {
        line.end();
        process.stderr.write('What was imported is kept: run the same command again to go on.\n');
      },
    });
    line.end();
    const { name, quantization, parameterCount } = manifest.origin;
    const seconds = (performance.now() - startMs) / 1000;
    process.stderr.write(
      `${name} (${quantization}, ${(parameterCount / 1e6).toFixed(1)} M weights): ` +
        `${formatBytes(manifest.byteLength)} in ${manifest.shards.length} shards, ${seconds.toFixed(1)} s\n`,
    );
    process.stdout.write(`${options.out}\n`);
  } finally {
    line.end();
  }
}

await runCommand(async (signal) => {
  const options = readOptions(process.argv.slice(2));
  if (options === null) process.stdout.write(HELP);
  else await run(options, signal);
});
