/** Opens what a person offers for import: finds out its layout, reads its header, and tells how to read its weights. */
import { errorMessage, FormatError, TramontaneError } from '../../base/errors.ts';
import { sha256Hex } from '../../base/sha256.ts';
import { type ByteSource, blobSource } from '../../formats/byte-source.ts';
import { joinSources } from '../../formats/joined-source.ts';
import type { ImportSource } from '../api.ts';
import type { Stretch } from './import-plan.ts';
import { type NamedSource, openGguf } from './open-gguf.ts';
import { prepareGguf } from './prepare-gguf.ts';
import type { PreparedModel } from './source-model.ts';

/** A source that is told in advance what will be read, and later what is not needed any more. */
export interface WeightSource extends ByteSource {
  /** Ranges that will be read next, in this order, after those that were named before. */
  expect(ranges: readonly Stretch[]): void;
  /** What these ranges are needed for is stored. */
  forget(ranges: readonly Stretch[]): Promise<void>;
  /** Ends what is under way, keeping what has been received. */
  close(): Promise<void>;
}

export interface OpenedSource {
  /** Of the file or folder. */
  name: string;
  /** Null for files of the visitor's own. */
  url: string | null;
  prepared: PreparedModel;
  /** Equal only where the bytes of the source are the same; null where it cannot tell. */
  version: string | null;
  openWeights(): Promise<WeightSource>;
}

export interface OpenOptions {
  signal?: AbortSignal;
  /** Where `hf:` addresses lead. Default: Hugging Face. */
  hub?: string;
}

/**
 * @throws FormatError `format-*`, `architecture-unsupported`; TramontaneError `tokenizer-*`, `template-unsupported`,
 *   `address-invalid`, `download-failed`, `range-unsupported`, `source-changed`; `signal.reason` when aborted
 */
export async function openSource(source: ImportSource, options: OpenOptions = {}): Promise<OpenedSource> {
  if (source.kind === 'files') return openFiles(source.files, options);
  throw new TramontaneError('address-invalid', 'Addresses are not supported yet.');
}

async function openFiles(files: readonly File[], options: OpenOptions): Promise<OpenedSource> {
  const models = files.filter(({ name }) => name.toLowerCase().endsWith('.gguf'));
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
    openWeights: async () => localWeights(files.map(({ source }) => source)),
  };
}

/** Weights at hand: nothing has to be fetched ahead. */
function localWeights(sources: readonly ByteSource[]): WeightSource {
  return { ...joinSources(sources), expect() {}, async forget() {}, async close() {} };
}

/** A file that a person chose; it may be changed or moved away at any time. */
function fileSource(file: File): ByteSource {
  const source = blobSource(file);
  return {
    byteLength: source.byteLength,
    async read(offset, length, signal) {
      try {
        return await source.read(offset, length, signal);
      } catch (error) {
        if (!(error instanceof DOMException) || signal?.aborted) throw error;
        throw new TramontaneError('source-changed', `${file.name} cannot be read: ${errorMessage(error)}`, {
          nextStep: 'The file has been changed or moved: choose it again.',
          data: { file: file.name },
          cause: error,
        });
      }
    },
  };
}

/** Names a state of some files by what tells it from others; in any order of the files. */
export async function versionOf(facts: readonly (readonly (string | number)[])[]): Promise<string> {
  const lines = facts.map((fact) => JSON.stringify(fact)).sort();
  return sha256Hex(new TextEncoder().encode(lines.join('\n')));
}
