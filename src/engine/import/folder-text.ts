/** The small files of a model's folder, read whole as text: on a server, or as its files were chosen. */
import { errorMessage, isTramontaneError, TramontaneError } from '../../base/errors.ts';
import { CONFIG_FILE } from '../../models/model-files.ts';
import type { DownloadOptions } from '../download/transfer.ts';
import { fetchRemoteText } from './remote-text.ts';

export interface TextFolder {
  name: string;
  /** @returns null where there is no such file. */
  readText(name: string): Promise<string | null>;
}

export interface TextDownloadOptions extends DownloadOptions {
  /** Failures in a row before giving up. */
  attempts?: number;
}

export interface NamedText {
  name: string;
  text: string;
}

/**
 * The first of these files that there is. Some hosts answer 403 for what they do not have: that is an error only where
 * there is nothing else to take.
 */
async function findText(
  folder: TextFolder,
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

export async function readText(folder: TextFolder, names: readonly string[]): Promise<NamedText | null> {
  return (await findText(folder, names)).found;
}

export async function requireText(folder: TextFolder, names: readonly string[]): Promise<NamedText> {
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

/**
 * A folder on a server.
 * @param url ends in a slash
 * @param options for each request
 */
export function remoteTextFolder(url: string, name: string, options: TextDownloadOptions): TextFolder {
  return { name, readText: (file) => fetchText(new URL(file, url).href, file, options) };
}

async function fetchText(url: string, name: string, options: TextDownloadOptions): Promise<string | null> {
  try {
    return (await fetchRemoteText(url, name, options, options.attempts)).text;
  } catch (error) {
    if (isTramontaneError(error) && (error.data.status === 404 || error.data.status === 410)) return null;
    throw error;
  }
}
