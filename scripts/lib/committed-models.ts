/** The models whose GGUF is in this repository, under models/<id>/, in parts. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileSource, openJoinedFileSource } from './file-source.ts';
import { ROOT } from './up-to-date.ts';

export const COMMITTED_MODELS = join(ROOT, 'models');

/** models/<id>/source.json */
export interface CommittedModel {
  id: string;
  name: string;
  description: string;
  file: { name: string; byteLength: number; sha256: string; parts: string[] };
  licence: string;
  sourceUrl: string;
  provenance: string;
  sampling: { temperature: number; topP: number };
}

/** @returns its source.json, as text and as read */
export async function readCommittedModel(id: string): Promise<{ text: string; model: CommittedModel }> {
  const text = await readFile(join(COMMITTED_MODELS, id, 'source.json'), 'utf8');
  return { text, model: JSON.parse(text) as CommittedModel };
}

/** Its GGUF, the parts joined. The caller closes it. */
export async function openCommittedGguf(id: string): Promise<FileSource> {
  const { model } = await readCommittedModel(id);
  return openJoinedFileSource(model.file.parts.map((part) => join(COMMITTED_MODELS, id, part)));
}
