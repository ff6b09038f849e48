/** Vitest global setup: the models that tests read are made before the first of them runs. */
import { ensureFormatModels } from './format-models.ts';
import { ensureTinyMistral } from './tiny-mistral.ts';

export default async function makeModels(): Promise<void> {
  await ensureTinyMistral('mixed');
  await ensureTinyMistral('plain');
  await ensureFormatModels();
}
