/** What an opened source is, and what files of this machine and of servers have in common. */
import { errorMessage, TramontaneError } from '../../base/errors.ts';
import { sha256Hex } from '../../base/sha256.ts';
import { type ByteSource, blobSource } from '../../formats/byte-source.ts';
import { joinSources } from '../../formats/joined-source.ts';
import type { Journal } from '../../storage/journal.ts';
import type { PlannedSource } from '../download/planned-source.ts';
import type { DownloadOptions } from '../download/transfer.ts';
import type { PreparedModel } from './source-model.ts';

/** A source that is told in advance what will be read, and later what is not needed any more. */
export type WeightSource = Omit<JournalledSource, 'distrustJournal'>;

/** One whose bytes somebody else compares with checksums. */
export type JournalledSource = Omit<PlannedSource, 'counts'>;

export interface OpenedSource {
  /** Of the file or folder. */
  name: string;
  /** Without a query, which may be a secret. Null for files of the visitor's own. */
  url: string | null;
  prepared: PreparedModel;
  /** Equal only where the bytes of the source are the same; null where it cannot tell. */
  version: string | null;
  /** @param journal keeps what comes from the network until it is stored */
  openWeights(journal?: Journal): WeightSource;
}

export interface OpenOptions extends DownloadOptions {
  /** Where `hf:` addresses lead. Default: Hugging Face. */
  hub?: string | undefined;
}

/** Weights at hand: nothing has to be fetched ahead. */
export function localWeights(sources: readonly ByteSource[]): JournalledSource {
  return {
    ...joinSources(sources),
    expect() {},
    async forgetJournal() {},
    async distrustJournal() {},
    async close() {},
  };
}

/** A file that a person chose; it may be changed or moved away at any time. */
export function fileSource(file: File): ByteSource {
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
export async function versionOf(facts: readonly (readonly (string | number | null)[])[]): Promise<string> {
  const lines = facts.map((fact) => JSON.stringify(fact)).sort();
  return sha256Hex(new TextEncoder().encode(lines.join('\n')));
}

/** An address as it is kept and shown: its query may be a secret. */
export function withoutQuery(url: string): string {
  const parsed = new URL(url);
  parsed.search = '';
  return parsed.href;
}
