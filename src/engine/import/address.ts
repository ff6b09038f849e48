/**
 * Addresses that people type or paste, as where to read. Strict: what is not plainly one of the forms below is refused
 * before anything is fetched.
 *
 * - `https://host/path/model.gguf`: a GGUF file, or any split of one (`…-00001-of-00003.gguf`)
 * - `https://host/path/folder/`: a folder in MLC's layout
 * - `hf:owner/repo/path/model.gguf[@revision]`, `hf:owner/repo[/folder/][@revision]`: the same on Hugging Face
 * - `hf:owner/repo:Q4_K_M[@revision]`: the GGUF of that quantization, as llama.cpp and Ollama name it
 *
 * A repository or folder of the hub may hold a model in MLC's layout, or any number of GGUFs: `list-builds.ts` tells.
 *
 * `http:` is for this machine only.
 */
import { TramontaneError } from '../../base/errors.ts';

export interface SourceAddress {
  layout: 'gguf' | 'mlc';
  /** Absolute; of a folder, with a slash at its end. */
  url: string;
  /** Of the file, or of the folder. */
  name: string;
  /** Where the address leads to a folder of the hub and not to a file: what lies there, only its list of files tells. */
  repository: HubFolder | null;
  /** Where it leads to a file of the hub. */
  hubFile: HubFile | null;
}

export interface HubFile {
  /** Where the file lies. */
  folder: HubFolder;
  /** From the repository down. */
  path: string;
}

/** A folder of a repository on Hugging Face; mostly all of it. */
export interface HubFolder {
  /** With a slash at its end. */
  hub: string;
  owner: string;
  repo: string;
  revision: string;
  /** Names of the folders down to it; none for the repository itself. */
  folders: readonly string[];
  /** The quantization, or part of a file's name, that was asked for. */
  tag: string | null;
}

export const HUGGING_FACE = 'https://huggingface.co/';
/** `hf.co` leads there. */
const HUGGING_FACE_HOSTS: ReadonlySet<string> = new Set(['huggingface.co', 'hf.co']);

const FORMS =
  'https://host/model.gguf, https://host/folder/, hf:owner/repo, hf:owner/repo:Q4_K_M or hf:owner/repo/model.gguf';

const LOCAL_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Names of owners and repositories on Hugging Face. */
const HUB_NAME = /^[A-Za-z0-9][\w.-]{0,95}$/;
/** A branch, tag or commit; a slash occurs in `refs/pr/1`. */
const REVISION = /^[\w][\w./-]{0,127}$/;
/** What Ollama takes for "no quantization in particular". */
const ANY_TAG = 'latest';
const TAG = /^[A-Za-z0-9][\w.+-]{0,127}$/;
/** Addresses of the hub's pages as Ollama takes them, without a scheme. */
const BARE_HUB = /^(?:hf\.co|huggingface\.co)\//i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const NOT_IN_PATH = /[\u0000-\u001f\u007f\\?#]/;

/**
 * @param hub where `hf:` and addresses of Hugging Face lead, with a slash at its end: a mirror, or a server of a test
 * @throws TramontaneError `address-invalid`, saying what is allowed
 */
export function parseAddress(text: string, hub: string = HUGGING_FACE): SourceAddress {
  const address = text.trim();
  if (/^hf:/i.test(address)) return parseHubAddress(address.slice('hf:'.length), address, hub);
  let url: URL;
  try {
    url = new URL(BARE_HUB.test(address) ? `https://${address}` : address);
  } catch (cause) {
    throw invalid(address, 'is not an address', cause);
  }
  if (url.protocol === 'http:' && !LOCAL_HOSTS.has(url.hostname)) {
    throw invalid(address, 'is not encrypted (http:), which is for this machine only: use https:');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw invalid(address, `begins with ${url.protocol}`);
  }
  if (url.username !== '' || url.password !== '') throw invalid(address, 'carries a user name or password');
  url.hash = '';
  // What is signed for Hugging Face is no business of another hub's.
  if (HUGGING_FACE_HOSTS.has(url.host)) {
    url = new URL(hub + url.pathname.slice(1) + (hub === HUGGING_FACE ? url.search : ''));
  }
  return (url.href.startsWith(hub) ? parseHubPage(url, address, hub) : null) ?? describeUrl(url);
}

function describeUrl(url: URL): SourceAddress {
  const segments = url.pathname.split('/').filter((segment) => segment !== '');
  const name = decodeName(segments.at(-1) ?? url.hostname);
  return {
    layout: url.pathname.endsWith('/') ? 'mlc' : 'gguf',
    url: url.href,
    name,
    repository: null,
    hubFile: null,
  };
}

/**
 * Pages of the hub that people copy in place of the file: `/owner/repo`, `/owner/repo/tree/main/folder`,
 * `/owner/repo/blob/main/model.gguf`.
 */
function parseHubPage(url: URL, address: string, hub: string): SourceAddress | null {
  const path = url.pathname.slice(new URL(hub).pathname.length);
  const [owner, repo, kind, revision, ...rest] = path.split('/').map(decodeName);
  if (owner === undefined || repo === undefined || repo === '') return null;
  if (kind === undefined || kind === '') return parseHubAddress(`${owner}/${repo}`, address, hub);
  const names = rest.filter((name) => name !== '');
  if (revision === undefined || revision === '') return null;
  if (kind === 'resolve' && isGgufName(names.at(-1) ?? '') && names.every(isPathName)) {
    const folder = { hub, owner, repo, revision, folders: names.slice(0, -1), tag: null };
    return { ...describeUrl(url), hubFile: { folder, path: names.join('/') } };
  }
  const file = kind === 'blob' ? names.at(-1) : undefined;
  if (kind !== 'tree' && file === undefined) return null;
  const end = file === undefined && names.length > 0 ? '/' : '';
  return parseHubAddress(`${[owner, repo, ...names].join('/')}${end}@${revision}`, address, hub);
}

function parseHubAddress(path: string, address: string, hub: string): SourceAddress {
  const at = path.lastIndexOf('@');
  const revision = at < 0 ? 'main' : path.slice(at + 1);
  const [owner, named, ...rest] = (at < 0 ? path : path.slice(0, at)).split('/');
  const [repo, tag, ...more] = rest.length === 0 ? (named?.split(':') ?? []) : [named];
  if (!REVISION.test(revision) || revision.split('/').some((part) => part === '' || /^\.+$/.test(part))) {
    throw invalid(address, `has "${revision}" for a revision`);
  }
  if (owner === undefined || repo === undefined || !HUB_NAME.test(owner) || !HUB_NAME.test(repo)) {
    throw invalid(address, 'does not name an owner and a repository');
  }
  if (more.length > 0 || (tag !== undefined && !TAG.test(tag))) {
    throw invalid(address, 'does not name a quantization after its colon');
  }
  const file = rest.at(-1) ?? '';
  const folders = rest.slice(0, -1);
  const names = file === '' ? folders : rest;
  if (!names.every(isPathName)) throw invalid(address, 'has a path that cannot be in a repository');
  if (file !== '' && !isGgufName(file)) {
    throw invalid(
      address,
      `names "${file}", which is neither a .gguf file nor a folder (with a slash at its end)`,
    );
  }
  const encoded = names.map(encodeURIComponent).join('/');
  const folderEnd = file === '' && encoded !== '' ? '/' : '';
  const url = new URL(`${owner}/${repo}/resolve/${encodeURIComponent(revision)}/${encoded}${folderEnd}`, hub);
  const wanted = tag === undefined || tag.toLowerCase() === ANY_TAG ? null : tag;
  const folder: HubFolder = { hub, owner, repo, revision, folders, tag: wanted };
  return {
    layout: file === '' ? 'mlc' : 'gguf',
    url: url.href,
    name: names.at(-1) ?? repo,
    repository: file === '' ? folder : null,
    hubFile: file === '' ? null : { folder, path: names.join('/') },
  };
}

/** Whether a file or folder in a repository may have this name, for our purposes. */
function isPathName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !NOT_IN_PATH.test(name);
}

export function isGgufName(name: string): boolean {
  return name.toLowerCase().endsWith('.gguf');
}

/**
 * The address of a file in a repository, as {@link parseAddress} takes it.
 * @param path from the repository down
 * @returns null for a path that cannot be given in an address
 */
export function hubFileAddress({ owner, repo, revision }: HubFolder, path: string): string | null {
  return path.split('/').every(isPathName) ? `hf:${owner}/${repo}/${path}@${revision}` : null;
}

/** The last segment of a path, as a name. A segment that is not encoded well is taken as it stands. */
export function decodeName(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    if (error instanceof URIError) return segment;
    throw error;
  }
}

function invalid(address: string, what: string, cause?: unknown): TramontaneError {
  return new TramontaneError('address-invalid', `"${address}" ${what}.`, {
    nextStep: `Give an address such as ${FORMS}.`,
    data: { address },
    ...(cause === undefined ? {} : { cause }),
  });
}
