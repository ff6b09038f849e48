/**
 * What a repository on Hugging Face offers: its list of files, by the hub's public interface, as builds to choose from.
 * Format: https://huggingface.co/docs/hub/api, `GET /api/models/{owner}/{repo}/tree/{revision}/{folder}?recursive=true`:
 * a JSON array of `{type, path, size, lfs?: {oid, size}}`, a thousand and more go on at the address in a Link header.
 */
import { isTramontaneError, TramontaneError } from '../../base/errors.ts';
import { formatBytes } from '../../base/number-text.ts';
import { FieldReader } from '../../models/field-reader.ts';
import { CONFIG_FILE } from '../../models/model-files.ts';
import type { BuildList, SourceBuild } from '../api.ts';
import { type HubFile, type HubFolder, hubFileAddress, parseAddress, type SourceAddress } from './address.ts';
import {
  findBuilds,
  type ListedBuild,
  type ListedFile,
  listGgufBuilds,
  runsQuantization,
} from './build-names.ts';
import { type OpenOptions, withoutQuery } from './opened-source.ts';
import { fetchRemoteText } from './remote-text.ts';

/** A page has a thousand files; real models have a few tens. */
const MAX_PAGES = 20;
/** Some hubs name the hash before it. */
const SHA256 = /^(?:sha256:)?([0-9a-f]{64})$/;
/** Names in an error. */
const MAX_NAMED = 40;
/** How long a file that is open already may wait for its hash. */
const HASH_LIMIT_MS = 3000;

/** Address of the first page of a folder's list. @param isRecursive whether to list the folders in it, too */
function listAddress({ hub, owner, repo, revision, folders }: HubFolder, isRecursive: boolean): URL {
  const parts = [owner, repo, 'tree', revision, ...folders].map(encodeURIComponent);
  return new URL(`api/models/${parts.join('/')}?recursive=${isRecursive}`, hub);
}

/** The files of a folder and of the folders in it, by path from the repository down. */
async function listFiles(folder: HubFolder, options: OpenOptions): Promise<ListedFile[]> {
  const first = listAddress(folder, true);
  const files: ListedFile[] = [];
  const seen = new Set<string>();
  for (let url: URL | null = first; url !== null; ) {
    seen.add(url.href);
    if (seen.size > MAX_PAGES) {
      throw listError(
        folder,
        `lists more than ${files.length} files`,
        'Give the address of the file itself.',
      );
    }
    const { text, link } = await fetchPage(url, folder, options);
    files.push(...parsePage(text, folder));
    const next: URL | null = nextPage(link, url);
    if (next !== null && (next.origin !== first.origin || seen.has(next.href))) {
      throw listError(folder, `has a list of files that goes on at ${withoutQuery(next.href)}`);
    }
    url = next;
  }
  return files;
}

async function fetchPage(url: URL, folder: HubFolder, options: OpenOptions) {
  try {
    return await fetchRemoteText(url.href, describe(folder), options);
  } catch (error) {
    const status = isTramontaneError(error) ? error.data.status : undefined;
    if (!isTramontaneError(error) || typeof status !== 'number') throw error;
    // For who is not signed in, this hub answers alike for what is private and for what does not exist.
    if (status === 401 || status === 403 || status === 404) {
      throw new TramontaneError(
        'download-failed',
        `${url.host} has no ${describe(folder)}, or not for everybody (${status}).`,
        {
          nextStep:
            status === 404
              ? 'Check the name, the folder and the revision.'
              : 'Check the name. If it can be had with an account only, download the file with yours and choose it from your disk.',
          data: error.data,
          cause: error,
        },
      );
    }
    if (status !== 429) throw error;
    throw new TramontaneError('download-failed', `${url.host} has had too many requests from here (429).`, {
      nextStep: 'Try again in five minutes, or give the address of the file itself.',
      data: error.data,
      cause: error,
    });
  }
}

/** The address with `rel="next"` in a Link header (RFC 8288), where it is one. */
function nextPage(link: string | null, base: URL): URL | null {
  for (const [, target, parameters] of (link ?? '').matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*"?next\b/i.test(parameters!)) continue;
    return URL.canParse(target!, base) ? new URL(target!, base) : null;
  }
  return null;
}

function parsePage(text: string, folder: HubFolder): ListedFile[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch (error) {
    throw listError(folder, 'has a list of files that is not JSON', undefined, error);
  }
  if (!Array.isArray(entries)) throw listError(folder, 'has a list of files that is no list');
  const name = `the list of files of ${describe(folder)}`;
  const nextStep = 'Give the address of the file itself: hf:owner/repo/model.gguf.';
  return entries.flatMap((entry: unknown, index): ListedFile[] => {
    const fields = new FieldReader(entry, name, { path: String(index), nextStep });
    if (fields.string('type') !== 'file') return [];
    const path = fields.string('path');
    // The entry's own size is the pointer's on some hubs, the file's on others.
    const lfs = fields.has('lfs') && fields.isObject('lfs') ? fields.object('lfs') : null;
    const byteLength = (lfs?.has('size') ? lfs : fields).integer('size', 0);
    const id = lfs?.has('oid') ? lfs.string('oid') : '';
    return [{ path, byteLength, sha256: SHA256.exec(id)?.[1] ?? null }];
  });
}

/**
 * The SHA-256 of a file as the hub lists it now, which need not be that of the bytes that were opened. It is for people
 * to compare: where the first page does not tell it, or not at once, nothing is lost.
 * @param byteLength of the file as it was opened: a listed file of another length is another one
 * @returns 64 hex digits, or null
 * @throws `signal.reason` when aborted
 */
export async function findListedSha256(
  { folder, path }: HubFile,
  byteLength: number,
  options: OpenOptions,
): Promise<string | null> {
  const limit = AbortSignal.timeout(HASH_LIMIT_MS);
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
  try {
    const { href } = listAddress(folder, false);
    const { text } = await fetchRemoteText(href, describe(folder), { ...options, signal }, 1);
    const found = parsePage(text, folder).find((file) => file.path === path);
    return found?.byteLength === byteLength ? found.sha256 : null;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (limit.aborted || isTramontaneError(error)) return null;
    throw error;
  }
}

interface FoundBuilds {
  all: ListedBuild[];
  /** Those of the tag, where one was asked for. */
  wanted: ListedBuild[];
}

/** What lies in a folder of the hub; null for a model in MLC's layout. @throws as {@link listBuilds} */
async function findGgufs(folder: HubFolder, options: OpenOptions): Promise<FoundBuilds | null> {
  const files = await listFiles(folder, options);
  const all = listGgufBuilds(files).filter(({ path }) => hubFileAddress(folder, path) !== null);
  const config = [...folder.folders, CONFIG_FILE].join('/');
  if (folder.tag === null && files.some(({ path }) => path === config)) return null;
  if (all.length > 0) return { all, wanted: folder.tag === null ? all : findBuilds(all, folder.tag) };
  const hasSafetensors = files.some(({ path }) => path.endsWith('.safetensors'));
  throw new TramontaneError(
    'format-unsupported',
    `${describe(folder)} has no GGUF file${hasSafetensors ? ', only safetensors' : ''}.`,
    {
      nextStep:
        'Look for a build of this model as GGUF: the hub lists them on its page, under Quantizations. Their names mostly end in GGUF.',
      data: { files: files.slice(0, MAX_NAMED).map(({ path }) => path) },
    },
  );
}

/**
 * What there is to choose from at the address of a repository, or of a folder in one.
 * @returns null where nothing is left to choose: the address is of a file, of another host, or of a model in MLC's layout
 * @throws TramontaneError `download-failed` where the hub cannot be reached or refuses; `config-invalid` where its answer
 *   is not what it should be; `format-unsupported` where it has no GGUF; `address-invalid`; `signal.reason`
 */
export async function listBuilds(address: string, options: OpenOptions): Promise<BuildList | null> {
  const { repository: folder } = parseAddress(address, options.hub);
  if (folder === null) return null;
  const found = await findGgufs(folder, options);
  if (found === null) return null;
  const { all, wanted } = found;
  return {
    repository: `${folder.owner}/${folder.repo}`,
    missing: wanted.length === 0 ? folder.tag : null,
    builds: (wanted.length === 0 ? all : wanted).map((build) => describeBuild(build, folder)),
  };
}

function describeBuild({ path, ...build }: ListedBuild, folder: HubFolder): SourceBuild {
  return {
    ...build,
    name: path,
    source: { kind: 'address', address: hubFileAddress(folder, path)! },
    runs: runsQuantization(build.quantization),
  };
}

/**
 * The one GGUF that a folder of the hub has, or has under the tag that was asked for.
 * @returns null where its list names a model in MLC's layout
 * @throws as {@link listBuilds}; TramontaneError `address-ambiguous` where there are several, or none under that tag
 */
export async function findBuild(folder: HubFolder, options: OpenOptions): Promise<SourceAddress | null> {
  const found = await findGgufs(folder, options);
  if (found === null) return null;
  const { all, wanted } = found;
  const [build, ...others] = wanted;
  if (build !== undefined && others.length === 0) {
    return parseAddress(hubFileAddress(folder, build.path)!, options.hub);
  }
  const shown = build === undefined ? all : wanted;
  const names = shown
    .slice(0, MAX_NAMED)
    .map(({ path, byteLength }) => `${path} (${formatBytes(byteLength)})`)
    .join(', ');
  const rest = shown.length > MAX_NAMED ? ` and ${shown.length - MAX_NAMED} more` : '';
  const what =
    build === undefined
      ? `has no build ${folder.tag}. There are`
      : `has ${wanted.length} builds${folder.tag === null ? '' : ` ${folder.tag}`}:`;
  const example = shown.find(({ quantization }) => runsQuantization(quantization)) ?? shown[0]!;
  const { quantization } = example;
  const isTagEnough = quantization !== null && findBuilds(all, quantization).length === 1;
  const byTag = `hf:${folder.owner}/${folder.repo}:${quantization}`;
  const byName = hubFileAddress(folder, example.path)!;
  throw new TramontaneError('address-ambiguous', `${describe(folder)} ${what} ${names}${rest}.`, {
    nextStep: `Name one of them: ${isTagEnough ? `${byTag}, or ${byName}` : byName}.`,
    data: { files: shown.map(({ path }) => path) },
  });
}

function describe({ owner, repo, revision, folders }: HubFolder): string {
  const path = [owner, repo, ...folders].join('/');
  return revision === 'main' ? path : `${path} at ${revision}`;
}

function listError(
  folder: HubFolder,
  what: string,
  nextStep = 'Try again later, or give the address of the file itself: hf:owner/repo/model.gguf.',
  cause?: unknown,
): TramontaneError {
  return new TramontaneError('config-invalid', `${describe(folder)} ${what}.`, {
    nextStep,
    ...(cause === undefined ? {} : { cause }),
  });
}
