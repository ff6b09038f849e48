/** A hostile server of made-up models, for runs in Node, and for those in a browser that ask for it from there. */
import { createFolderModel, type FolderModelOptions } from '../tools/folder-model.ts';
import {
  type HostileServer,
  type HostileServerOptions,
  startHostileServer,
} from '../tools/hostile-server.ts';

export async function startModelServer(
  models: readonly FolderModelOptions[],
  options: HostileServerOptions,
): Promise<HostileServer> {
  const folders = await Promise.all(models.map(createFolderModel));
  return await startHostileServer(new Map(folders.flatMap(({ files }) => [...files])), options);
}
