/**
 * npm run import -- FILE.gguf --out FOLDER
 * Turns a GGUF into a folder that the site and the other commands load. Progress and figures go to stderr, the folder
 * to stdout.
 */
import { readdir, statfs } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { TramontaneError } from '../src/base/errors.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../src/models/model-files.ts';
import { createProgressLine, formatBytes, runCommand, UsageError } from './lib/command-line.ts';
import { type FileSource, openFileSource } from './lib/file-source.ts';
import { importToFolder, STATIC_HOST_BYTES } from './lib/import-folder.ts';

const HELP = `Usage: npm run import -- FILE.gguf --out FOLDER [options]

Imports a GGUF model for use in the browser. Weights are repacked, never changed.

  --out FOLDER      where to write; it must not exist yet, or be empty
  --force           replace the model in FOLDER
  --shard-mib N     most MiB of a file, 1 to 1024 (default ${STATIC_HOST_BYTES >> 20}: static hosts cap files at 25)
  --context N       tokens of context to configure (default: the model's own, at most 8192)
  --name NAME       what to call the model (default: as the file says)
  --help            this text

Exit codes: 0 imported, 1 failed, 2 wrong usage, 130 interrupted. Nothing is left behind but a whole model.
`;

interface Options {
  file: string;
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
  const [file, ...rest] = positionals;
  if (file === undefined || rest.length > 0) throw new UsageError('Name one GGUF file.');
  if (values.out === undefined) throw new UsageError('Say where to write: --out FOLDER.');
  const shardMib = readInteger(values['shard-mib'], '--shard-mib', 1024);
  return {
    file: resolve(file),
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

/** Free space where `folder` is, or will be. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return freeBytes(dirname(folder));
    throw error;
  }
}

async function openModel(path: string): Promise<FileSource> {
  try {
    return await openFileSource(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EISDIR') throw new UsageError(`There is no file ${path}.`);
    throw error;
  }
}

async function requireRoom(byteLength: number, folder: string): Promise<void> {
  const free = await freeBytes(folder);
  if (free >= byteLength) return;
  throw new TramontaneError(
    'storage-quota',
    `The import needs about ${formatBytes(byteLength)}, and ${formatBytes(free)} are free at ${folder}.`,
    { nextStep: 'Free some space, or write to another disk.' },
  );
}

async function run(options: Options, signal: AbortSignal): Promise<void> {
  await requireTarget(options.out, options.force);
  const source = await openModel(options.file);
  const line = createProgressLine();
  try {
    // Repacked weights take as much room as the file's, give or take a tokenizer.
    await requireRoom(source.byteLength, options.out);
    const startMs = performance.now();
    const manifest = await importToFolder(source, options.out, {
      maxRecordBytes: options.shardBytes,
      maxShardBytes: options.shardBytes,
      origin: {
        sourceName: basename(options.file),
        ...(options.name === null ? {} : { name: options.name }),
      },
      ...(options.contextLength === null ? {} : { contextLength: options.contextLength }),
      signal,
      onProgress: (progress) => line.show(progress),
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
    await source.close();
  }
}

await runCommand(async (signal) => {
  const options = readOptions(process.argv.slice(2));
  if (options === null) process.stdout.write(HELP);
  else await run(options, signal);
});
