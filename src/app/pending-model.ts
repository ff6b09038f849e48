/** An import or download that has not ended, as the pages see it. */
import type { PendingModelInfo } from '../engine/api.ts';
import type { CatalogueModel } from '../models/catalogue.ts';

/** True for a model of this site: the chat goes on with its download, while the import page cannot read its folder. */
export function isOfSite({ id, source }: PendingModelInfo, catalogue: readonly CatalogueModel[]): boolean {
  // A prebuilt model is stored as its folder has it, too, and is of the import page.
  return source.kind === 'site' && catalogue.some((entry) => entry.id === id && entry.source.kind === 'site');
}
