/** Opens a folder in MLC's layout: on a server, or as its files were chosen. */
import { errorMessage, isTramontaneError, TramontaneError } from '../../base/errors.ts';
import { privatiseTokenizerJson } from '../../formats/tokenizer/privatise.ts';
import { buildTokenizerFromTekken } from '../../formats/tokenizer/tekken.ts';
import type { BuiltTokenizer } from '../../formats/tokenizer/tokenizer-json.ts';
import type { ChatTemplate } from '../../models/chat-template.ts';
import { FieldReader } from '../../models/field-reader.ts';
import { recogniseMlcTemplate } from '../../models/mlc-template.ts';
import { CONFIG_FILE, TENSOR_CACHE_FILE, TOKENIZER_FILE } from '../../models/model-files.ts';
import { recogniseTemplate, type TemplateFacts } from '../../models/recognise-template.ts';
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
import { type MlcShard, readMlcModel } from './mlc-model.ts';
import {
  fileSource,
  localWeights,
  type OpenedSource,
  type OpenOptions,
  versionOf,
  type WeightSource,
  withoutQuery,
} from './opened-source.ts';
import { checkVocabulary, recommendedTemperature } from './prepare-gguf.ts';
import { fetchRemoteText } from './remote-text.ts';
import type { PreparedModel } from './source-model.ts';

/** A folder whose small files are read whole, and whose shards are read as one. */
export interface ModelFolder {
  name: string;
  url: string | null;
  /** @returns null where there is no such file. */
  readText(name: string): Promise<string | null>;
  /** Tells states of files apart; null where that cannot be told but by their contents. */
  describe(names: readonly string[]): Promise<string | null>;
  /** @throws TramontaneError `shard-missing`, `shard-truncated` where a shard is not as it is listed */
  openShards(shards: readonly MlcShard[], journal: Journal | undefined): WeightSource;
}

/** Folders that were made before 2025 have the list under its older name. */
const CACHE_FILES = [TENSOR_CACHE_FILE, 'ndarray-cache.json'];
const TEKKEN_FILE = 'tekken.json';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const TEMPLATE_FILE = 'chat_template.jinja';
/** @throws as `readMlcModel`; TramontaneError `tokenizer-*`, `template-unsupported`, `download-failed` */
export async function openMlcFolder(folder: ModelFolder): Promise<OpenedSource> {
  const config = await requireText(folder, [CONFIG_FILE]);
  const cache = await requireText(folder, CACHE_FILES);
  const parsedConfig = parseJson(config);
  const { model, shards, hasChecksums } = readMlcModel(parsedConfig, parseJson(cache), cache.name);
  const tokenizerText = await requireText(folder, [TOKENIZER_FILE, TEKKEN_FILE]);
  const fields = new FieldReader(parsedConfig, CONFIG_FILE);
  const tokenizer = readTokenizer(tokenizerText, fields);
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

interface NamedText {
  name: string;
  text: string;
}

/**
 * The first of these files that there is. Some hosts answer 403 for what they do not have: that is an error only where
 * there is nothing else to take.
 */
async function findText(
  folder: ModelFolder,
  names: readonly string[],
): Promise<{ found: NamedText | null; refusal: unknown }> {
  let refusal: unknown = null;
  for (const name of names) {
    try {
      const text = await folder.readText(name);
      if (text !== null) return { found: { name, text }, refusal: null };
    } catch (error) {
      if (!isTramontaneError(error) || error.data.status !== 403) throw error;
      refusal ??= error;
    }
  }
  return { found: null, refusal };
}

async function readText(folder: ModelFolder, names: readonly string[]): Promise<NamedText | null> {
  return (await findText(folder, names)).found;
}

export async function requireText(folder: ModelFolder, names: readonly string[]): Promise<NamedText> {
  const { found, refusal } = await findText(folder, names);
  if (found !== null) return found;
  if (refusal !== null) throw refusal;
  throw new TramontaneError('config-invalid', `${folder.name} has no ${names.join(' and no ')}.`, {
    nextStep:
      'Choose a folder in the layout of MLC (mlc-chat-config.json, tensor-cache.json, tokenizer.json), or a GGUF.',
    data: { file: names[0]!, isAbsent: true },
  });
}

/** Whether it was for want of its configuration that a folder could not be opened: it is no model in MLC's layout. */
export function lacksConfig(error: unknown): boolean {
  return isTramontaneError(error) && error.data.isAbsent === true && error.data.file === CONFIG_FILE;
}

export function parseJson({ name, text }: NamedText): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TramontaneError('config-invalid', `${name} is not JSON: ${errorMessage(error)}`, {
      nextStep: 'Choose another build of the model.',
      data: { file: name },
      cause: error,
    });
  }
}

/** MLC's configuration names the ids that `tokenizer.json` does not. */
function readTokenizer({ name, text }: NamedText, config: FieldReader): BuiltTokenizer {
  if (name === TEKKEN_FILE) return buildTokenizerFromTekken(text);
  const isList = config.has('eos_token_id') && config.isList('eos_token_id');
  const ends = isList
    ? config.integers('eos_token_id', 0, Number.MAX_SAFE_INTEGER)
    : [config.integer('eos_token_id', 0)];
  const conversation = config.has('conv_template') && config.isObject('conv_template');
  const stops =
    conversation && config.object('conv_template').has('stop_token_ids')
      ? config.object('conv_template').integers('stop_token_ids', 0, Number.MAX_SAFE_INTEGER)
      : [];
  const [eosId] = ends;
  if (eosId === undefined) throw config.invalid('eos_token_id', 'the id of a token');
  const hasBos = config.has('bos_token_id') && !config.isNull('bos_token_id');
  return privatiseTokenizerJson(text, {
    bosId: hasBos ? config.integer('bos_token_id', 0) : null,
    eosId,
    stopTokenIds: [...new Set([...ends, ...stops])].filter((id) => id !== eosId),
  });
}

/** Hugging Face writes one template, or a list of named ones; newer models have it in a file of its own. */
async function readChatTemplate(folder: ModelFolder): Promise<string | null> {
  const file = await readText(folder, [TOKENIZER_CONFIG_FILE]);
  const value = file === null ? null : (parseJson(file) as { chat_template?: unknown } | null);
  const template = value?.chat_template;
  const list = Array.isArray(template) ? (template as ({ name?: unknown; template?: unknown } | null)[]) : [];
  const chosen = list.find((entry) => entry?.name === 'default')?.template ?? template;
  return typeof chosen === 'string' ? chosen : ((await readText(folder, [TEMPLATE_FILE]))?.text ?? null);
}

/** The makers' own template counts; what MLC was told to use, where there is none. */
function recogniseTemplateOf(jinja: string | null, config: unknown, facts: TemplateFacts): ChatTemplate {
  const { conv_template: convTemplate } = config as { conv_template?: unknown };
  return jinja === null && convTemplate != null
    ? recogniseMlcTemplate(convTemplate, facts)
    : recogniseTemplate(jinja, facts);
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
    name,
    url: withoutQuery(url),
    readText: (file) => fetchText(urlOf(file), file, options),
    describe: async () => null,
    openShards(shards, journal) {
      // From the first answer on, a failure is one that may pass.
      const server = { hasAnswered: false };
      const files = shards.map((shard) => new RemoteShard(urlOf(shard.name), shard, options, server));
      return createPlannedSource(joinRemoteFiles(files), { journal, signal: options.signal });
    },
  };
}

async function fetchText(url: string, name: string, options: OpenOptions): Promise<string | null> {
  try {
    return (await fetchRemoteText(url, name, options)).text;
  } catch (error) {
    if (isTramontaneError(error) && (error.data.status === 404 || error.data.status === 410)) return null;
    throw error;
  }
}

/** A byte, since something must be asked for: a shard has no header, and there are a hundred of them. */
const SHARD_HEAD_BYTES = 1;

/** Looked at when it is first read. */
class RemoteShard implements ReceivingSource {
  readonly byteLength: number;
  readonly #url: string;
  readonly #name: string;
  readonly #options: OpenOptions;
  readonly #server: { hasAnswered: boolean };
  #file: Promise<RemoteFile> | null = null;

  /** @param server shared by the shards of a folder */
  constructor(
    url: string,
    { name, byteLength }: MlcShard,
    options: OpenOptions,
    server: { hasAnswered: boolean },
  ) {
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
    const attempts = this.#server.hasAnswered ? ATTEMPTS : FIRST_ATTEMPTS;
    this.#file ??= openRemoteFile(this.#url, this.#options, SHARD_HEAD_BYTES, attempts).then((file) => {
      this.#server.hasAnswered = true;
      if (file.byteLength !== this.byteLength)
        throw wrongLength(this.#name, file.byteLength, this.byteLength);
      return file;
    });
    this.#file.catch(() => {
      this.#file = null;
    });
    return this.#file;
  }
}

function wrongLength(name: string, found: number, listed: number): TramontaneError {
  return new TramontaneError('shard-truncated', `${name} has ${found} bytes, ${listed} are listed.`, {
    nextStep: 'The files do not belong together: download them again, or choose another build.',
    data: { file: name, found, listed },
  });
}
