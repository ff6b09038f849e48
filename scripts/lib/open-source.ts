/** Opens what a command is given to import: a file, one of its splits, a folder in MLC's layout, or an address. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { MlcShard } from '../../src/engine/import/mlc-model.ts';
import { type ModelFolder, openMlcFolder } from '../../src/engine/import/open-mlc.ts';
import { openLocalGguf, openSource } from '../../src/engine/import/open-source.ts';
import { localWeights, type OpenedSource } from '../../src/engine/import/opened-source.ts';
import { formatSplitName, parseSplitName } from '../../src/engine/import/split-names.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import { UsageError } from './command-line.ts';
import { type FileSource, openFileSource } from './file-source.ts';

export interface CommandSource {
  opened: OpenedSource;
  close(): Promise<void>;
}

/** The caller closes it. @throws UsageError where there is no such file; otherwise as `openSource` */
export async function openCommandSource(argument: string, signal: AbortSignal): Promise<CommandSource> {
  if (/^(https?|hf):/i.test(argument)) {
    const opened = await openSource(
      { kind: 'address', address: argument },
      { signal, hub: hubFromEnvironment() },
    );
    return { opened, close: async () => {} };
  }
  const path = resolve(argument);
  const found = await stat(path).catch(() => null);
  if (found === null) throw new UsageError(`There is no file ${argument}.`);
  if (found.isDirectory()) return { opened: await openMlcFolder(folderOnDisk(path)), close: async () => {} };
  const files: FileSource[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    const paths = await listSplits(path);
    for (const path of paths) files.push(await openFileSource(path));
    const named = files.map((source, index) => ({ name: basename(paths[index]!), source }));
    return { opened: await openLocalGguf(named, await describeFiles(paths), { signal }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Where `hf:` leads, by the variable that Hugging Face's own tools read for a mirror. */
function hubFromEnvironment(): string | undefined {
  const endpoint = process.env.HF_ENDPOINT;
  if (endpoint === undefined || endpoint === '') return undefined;
  if (!/^https?:/.test(endpoint) || !URL.canParse(endpoint)) {
    throw new UsageError(`HF_ENDPOINT is "${endpoint}", expected an address: https://HOST.`);
  }
  return endpoint.endsWith('/') ? endpoint : `${endpoint}/`;
}

/** The file itself, or all files of its split model that lie beside it. */
async function listSplits(path: string): Promise<string[]> {
  const split = parseSplitName(basename(path));
  if (split === null) return [path];
  const names = new Set(await readdir(dirname(path)));
  return Array.from({ length: split.count }, (_, number) => formatSplitName({ ...split, number }))
    .filter((name) => names.has(name))
    .map((name) => join(dirname(path), name));
}

/** Tells states of files apart. */
export async function describeFiles(paths: readonly string[]): Promise<string> {
  const facts = await Promise.all(
    paths.map(async (path) => {
      const { size, mtimeMs } = await stat(path);
      return [path, size, mtimeMs];
    }),
  );
  return JSON.stringify(facts);
}

function folderOnDisk(folder: string): ModelFolder {
  return {
    name: basename(folder),
    url: null,
    readText: (name) =>
      readFile(join(folder, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null;
        throw error;
      }),
    describe: (names) => describeFiles(names.map((name) => join(folder, name))),
    openShards: (shards) => localWeights(shards.map((shard) => shardOnDisk(folder, shard))),
  };
}

/** Open only while it is read: a folder has a hundred of them. */
function shardOnDisk(folder: string, { name, byteLength }: MlcShard): ByteSource {
  return {
    byteLength,
    async read(offset, length, signal) {
      const source = await openFileSource(join(folder, name));
      try {
        return await source.read(offset, length, signal);
      } finally {
        await source.close();
      }
    },
  };
}
