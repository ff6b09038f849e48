/** Opens what a person offers for import: finds out its layout, reads its header, and tells how to read its weights. */
import { FormatError, TramontaneError } from '../../base/errors.ts';
import type { ImportSource } from '../api.ts';
import { createPlannedSource } from '../download/planned-source.ts';
import { headBytesFor, joinRemoteFiles, openRemoteFile, type RemoteFile } from '../download/remote-file.ts';
import { validatorOf } from '../download/transfer.ts';
import { decodeName, isGgufName, parseAddress, type SourceAddress } from './address.ts';
import { lacksConfig } from './folder-text.ts';
import { findBuild, findListedSha256 } from './list-builds.ts';
import { MAX_SPLITS, type NamedSource, openGguf } from './open-gguf.ts';
import { chosenFolder, openMlcFolder, remoteFolder } from './open-mlc.ts';
import {
  fileSource,
  localWeights,
  type OpenedSource,
  type OpenOptions,
  versionOf,
  withoutQuery,
} from './opened-source.ts';
import { prepareGguf } from './prepare-gguf.ts';
import { splitUrls } from './split-names.ts';

/**
 * @throws FormatError `format-*`, `architecture-unsupported`; TramontaneError `tokenizer-*`, `template-unsupported`,
 *   `address-invalid`, `address-ambiguous`, `download-failed`, `range-unsupported`, `source-changed`; `signal.reason` when aborted
 */
export async function openSource(source: ImportSource, options: OpenOptions = {}): Promise<OpenedSource> {
  if (source.kind === 'files') return openFiles(source, options);
  const address = parseAddress(source.address, options.hub);
  if (address.layout === 'gguf') return openRemoteGguf(address, options);
  const { repository } = address;
  if (repository === null) return openMlcFolder(remoteFolder(address, options));
  let absence: unknown = null;
  if (repository.tag === null) {
    try {
      return await openMlcFolder(remoteFolder(address, options));
    } catch (error) {
      if (!lacksConfig(error)) throw error;
      absence = error;
    }
  }
  const build = await findBuild(repository, options);
  // Listed, and not to be had: a mirror that lags behind, or a push in between.
  if (build === null) throw absence;
  return openRemoteGguf(build, options);
}

async function openFiles(
  { files, paths }: ImportSource & { kind: 'files' },
  options: OpenOptions,
): Promise<OpenedSource> {
  const folder = chosenFolder(files, paths);
  if (folder !== null) return openMlcFolder(folder);
  const models = files.filter(({ name }) => isGgufName(name));
  // One file of another name may still be a GGUF: its first bytes tell.
  const chosen = models.length === 0 && files.length === 1 ? files : models;
  if (chosen.length === 0) {
    throw new FormatError(
      files.length === 0 ? 'No file was chosen' : `None of the ${files.length} files is a model`,
      { field: 'files' },
      { nextStep: 'Choose a GGUF file, all splits of one, or a folder with mlc-chat-config.json.' },
    );
  }
  return openLocalGguf(
    chosen.map((file) => ({ name: file.name, source: fileSource(file) })),
    await versionOf(chosen.map(({ name, size, lastModified }) => [name, size, lastModified])),
    options,
  );
}

/** A GGUF on this machine, or all splits of one. @param version as in {@link OpenedSource} */
export async function openLocalGguf(
  named: readonly NamedSource[],
  version: string | null,
  { signal }: OpenOptions,
): Promise<OpenedSource> {
  const { gguf, files } = await openGguf(named, signal);
  const name = files[0]!.name;
  return {
    name,
    url: null,
    prepared: prepareGguf(gguf, { origin: { sourceName: name } }),
    version,
    openWeights: () => localWeights(files.map(({ source }) => source)),
  };
}

async function openRemoteGguf(address: SourceAddress, options: OpenOptions): Promise<OpenedSource> {
  const urls = splitUrls(address.url);
  if (urls.length > MAX_SPLITS) {
    throw new TramontaneError(
      'address-invalid',
      `${address.name} says it is one of ${urls.length} files, at most ${MAX_SPLITS} are supported.`,
      { nextStep: 'Check the address.', data: { address: address.url } },
    );
  }
  const named: NamedSource<RemoteFile>[] = [];
  const headBytes = headBytesFor(urls.length);
  for (const url of urls) {
    named.push({ name: nameOf(url), source: await openRemoteFile(url, options, headBytes) });
  }
  const { gguf, files } = await openGguf(named, options.signal);
  const { name, source: first } = files[0]!;
  const url = withoutQuery(first.url);
  const { hubFile } = address;
  const listedSha256 =
    hubFile === null || files.length > 1 ? null : await findListedSha256(hubFile, first.byteLength, options);
  return {
    name,
    url,
    prepared: prepareGguf(gguf, { origin: { sourceName: name, url, listedSha256 } }),
    version: await remoteVersion(files.map(({ source }) => source)),
    openWeights: (journal) =>
      createPlannedSource(joinRemoteFiles(files.map(({ source }) => source)), {
        journal,
        signal: options.signal,
      }),
  };
}

async function remoteVersion(files: readonly RemoteFile[]): Promise<string | null> {
  // Where there is an ETag, it alone decides: servers behind one name may disagree on dates.
  if (files.some((file) => validatorOf(file) === null)) return null;
  return versionOf(files.map((file) => [withoutQuery(file.url), file.byteLength, validatorOf(file)]));
}

function nameOf(url: string): string {
  return decodeName(new URL(url).pathname.split('/').at(-1) ?? '');
}
