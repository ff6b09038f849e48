/** Opens a folder in MLC's layout: on a server, or as its files were chosen. */
import { TramontaneError } from '../../base/errors.ts';
import { buildTokenizerFromTekken } from '../../formats/tokenizer/tekken.ts';
import { FieldReader } from '../../models/field-reader.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../../models/model-files.ts';
import type { Journal } from '../../storage/journal.ts';
import { createPlannedSource } from '../download/planned-source.ts';
import {
  joinRemoteFiles,
  openRemoteFile,
  type PartialBytes,
  type ReceivingSource,
  type RemoteFile,
} from '../download/remote-file.ts';
import { MAX_SMALL_FILE_BYTES, tooLarge } from '../download/small-files.ts';
import { ATTEMPTS, FIRST_ATTEMPTS } from '../download/transfer.ts';
import type { SourceAddress } from './address.ts';
import { checkShards } from './checked-shards.ts';
import { parseJson, remoteTextFolder, requireText, type TextFolder } from './folder-text.ts';
import { type MlcShard, readMlcModel } from './mlc-model.ts';
import { readChatTemplate, readMlcTokenizer, recogniseTemplateOf } from './mlc-prompts.ts';
import {
  fileSource,
  type JournalledSource,
  localWeights,
  type OpenedSource,
  type OpenOptions,
  versionOf,
  withoutQuery,
} from './opened-source.ts';
import { recommendedTemperature } from './prepare-gguf.ts';
import type { PreparedModel } from './source-model.ts';
import { checkVocabulary } from './vocabulary-check.ts';

/** A folder whose small files are read whole, and whose shards are read as one. */
export interface ModelFolder extends TextFolder {
  url: string | null;
  /** Tells states of files apart; null where that cannot be told but by their contents. */
  describe(names: readonly string[]): Promise<string | null>;
  /** @throws TramontaneError `shard-missing`, `shard-truncated` where a shard is not as it is listed */
  openShards(shards: readonly MlcShard[], journal: Journal | undefined): JournalledSource;
}

/** Folders that were made before 2025 have the list under its older name. */
const CACHE_FILES = [TENSOR_CACHE_FILE, 'ndarray-cache.json'];
const TEKKEN_FILE = 'tekken.json';

/** @throws as `readMlcModel`; TramontaneError `tokenizer-*`, `template-unsupported`, `download-failed` */
export async function openMlcFolder(folder: ModelFolder): Promise<OpenedSource> {
  const config = await requireText(folder, [CONFIG_FILE]);
  const cache = await requireText(folder, CACHE_FILES);
  const parsedConfig = parseJson(config);
  const { model, shards, hasChecksums } = readMlcModel(parsedConfig, parseJson(cache), cache.name);
  const file = await requireText(folder, [TOKENIZER_FILE, TEKKEN_FILE]);
  const fields = new FieldReader(parsedConfig, CONFIG_FILE);
  const tokenizer =
    file.name === TEKKEN_FILE ? buildTokenizerFromTekken(file.text) : readMlcTokenizer(file.text, fields);
  checkVocabulary(tokenizer.vocabularySize, model.architecture.vocabularySize);
  const template = recogniseTemplateOf(await readChatTemplate(folder), parsedConfig, tokenizer);
  const prepared: PreparedModel = {
    layout: 'mlc',
    model,
    tokenizer,
    template,
    sampling: readSampling(fields, template.id),
    origin: {
      name: nameOfFolder(folder.name),
      quantization: fields.string('quantization'),
      parameterCount: model.parameterCount,
      sourceName: folder.name,
      sha256: null,
      listedSha256: null,
      licence: null,
      url: folder.url,
    },
  };
  const state = await folder.describe(shards.map(({ name }) => name));
  return {
    name: folder.name,
    url: folder.url,
    prepared,
    version: state === null && !hasChecksums ? null : await versionOf([[state, config.text, cache.text]]),
    openWeights: (journal) => checkShards(folder.openShards(shards, journal), shards),
  };
}

/** MLC's folders are called `NAME-QUANTIZATION-MLC`. */
export function nameOfFolder(name: string): string {
  return name.replace(/-q\df\d\d_\d-MLC$/i, '');
}

/** What MLC writes where the makers recommend nothing. */
const MLC_TEMPERATURE = 1;

function readSampling(config: FieldReader, template: Parameters<typeof recommendedTemperature>[0]) {
  const number = (field: string, max: number) =>
    config.has(field) && !config.isNull(field) ? config.number(field, 0, max) : null;
  const temperature = number('temperature', 2) ?? MLC_TEMPERATURE;
  return {
    temperature: temperature === MLC_TEMPERATURE ? recommendedTemperature(template) : temperature,
    topP: number('top_p', 1) ?? 1,
  };
}

/**
 * A folder as its files were chosen or dropped: those beside `mlc-chat-config.json`.
 * @param paths of the files
 * @returns null where that is not among them
 */
export function chosenFolder(
  files: readonly File[],
  paths: readonly string[] = files.map(({ name, webkitRelativePath }) => webkitRelativePath || name),
): ModelFolder | null {
  const folders = new Map(files.map((file, index) => [file, folderOf(paths[index] ?? file.name)]));
  const configs = files.filter(({ name }) => name === CONFIG_FILE);
  const [config] = configs;
  if (config === undefined) return null;
  if (configs.length > 1) {
    throw new TramontaneError('config-invalid', `${configs.length} of the files are called ${CONFIG_FILE}.`, {
      nextStep: 'Choose the folder of one model.',
      data: { file: CONFIG_FILE },
    });
  }
  const folder = folders.get(config) ?? '';
  const own = new Map(files.filter((file) => folders.get(file) === folder).map((file) => [file.name, file]));
  const find = (name: string): File => {
    const file = own.get(name);
    if (file !== undefined) return file;
    throw new TramontaneError('shard-missing', `${name} is not among the files.`, {
      nextStep: 'Choose the whole folder of the model.',
      data: { file: name },
    });
  };
  return {
    name: folder.split('/').at(-1) || 'model',
    url: null,
    async readText(name) {
      const file = own.get(name);
      if (file === undefined) return null;
      if (file.size > MAX_SMALL_FILE_BYTES) throw tooLarge(name, null);
      return new TextDecoder().decode(await fileSource(file).read(0, file.size));
    },
    async describe(names) {
      return JSON.stringify(
        names.map(find).map(({ name, size, lastModified }) => [name, size, lastModified]),
      );
    },
    openShards: (shards) =>
      localWeights(
        shards.map(({ name, byteLength }) => {
          const file = find(name);
          if (file.size !== byteLength) throw wrongLength(name, file.size, byteLength);
          return fileSource(file);
        }),
      ),
  };
}

/** Empty for files that were chosen by themselves. */
function folderOf(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}

/** A folder on a server. */
export function remoteFolder({ url, name }: SourceAddress, options: OpenOptions): ModelFolder {
  const urlOf = (file: string) => new URL(file, url).href;
  return {
    ...remoteTextFolder(url, name, options),
    url: withoutQuery(url),
    describe: async () => null,
    openShards(shards, journal) {
      // From the first answer on, a failure is one that may pass.
      const server: ShardServer = { hasAnswered: false, first: null };
      const files = shards.map((shard) => new RemoteShard(urlOf(shard.name), shard, options, server));
      return createPlannedSource(joinRemoteFiles(files), { journal, signal: options.signal });
    },
  };
}

/** A byte, since something must be asked for: a shard has no header, and there are a hundred of them. */
const SHARD_HEAD_BYTES = 1;

/** What the shards of a folder know of the server that they are on. */
interface ShardServer {
  hasAnswered: boolean;
  /** The shard that was asked for first; null before. */
  first: Promise<unknown> | null;
}

/** Looked at when it is first read. */
class RemoteShard implements ReceivingSource {
  readonly byteLength: number;
  readonly #url: string;
  readonly #name: string;
  readonly #options: OpenOptions;
  readonly #server: ShardServer;
  #file: Promise<RemoteFile> | null = null;

  /** @param server shared by the shards of a folder */
  constructor(url: string, { name, byteLength }: MlcShard, options: OpenOptions, server: ShardServer) {
    this.byteLength = byteLength;
    this.#url = url;
    this.#name = name;
    this.#options = options;
    this.#server = server;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.#open()).read(offset, length, signal);
  }

  async receive(
    part: PartialBytes,
    signal?: AbortSignal,
    onBytes?: (byteLength: number) => void,
  ): Promise<void> {
    await (await this.#open()).receive(part, signal, onBytes);
  }

  #open(): Promise<RemoteFile> {
    this.#file ??= this.#look();
    this.#server.first ??= this.#file;
    this.#file.catch(() => {
      this.#file = null;
    });
    return this.#file;
  }

  async #look(): Promise<RemoteFile> {
    const server = this.#server;
    // Several may be asked for at once; how the first fares tells how patient to be with the others.
    await server.first?.catch(() => undefined);
    const attempts = server.hasAnswered ? ATTEMPTS : FIRST_ATTEMPTS;
    const file = await openRemoteFile(this.#url, this.#options, SHARD_HEAD_BYTES, attempts);
    server.hasAnswered = true;
    if (file.byteLength !== this.byteLength) throw wrongLength(this.#name, file.byteLength, this.byteLength);
    return file;
  }
}

function wrongLength(name: string, found: number, listed: number): TramontaneError {
  return new TramontaneError('shard-truncated', `${name} has ${found} bytes, ${listed} are listed.`, {
    nextStep: 'The files do not belong together: download them again, or choose another build.',
    data: { file: name, found, listed },
  });
}
