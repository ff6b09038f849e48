/** Hostile servers of made-up models, for runs in Node, and for those in a browser that ask for them from there. */
import { createFolderModel, type FolderModelOptions } from '../tools/folder-model.ts';
import {
  type HostileServer,
  type HostileServerOptions,
  startHostileServer,
} from '../tools/hostile-server.ts';
import { createTinyMistralGguf, TINY_MISTRAL_SHAPE } from '../tools/tiny-mistral.ts';
import type { ServerControl } from './seeded-download.ts';
import { GGUF_PATHS } from './seeded-import.ts';

export async function startModelServer(
  models: readonly FolderModelOptions[],
  options: HostileServerOptions,
): Promise<HostileServer> {
  const folders = await Promise.all(models.map(createFolderModel));
  return await startHostileServer(new Map(folders.flatMap(({ files }) => [...files])), options);
}

let ggufs: ReadonlyMap<string, Uint8Array> | null = null;

/** Serves GGUF files for imports by address: see {@link GGUF_PATHS}. */
export function startGgufServer(options: HostileServerOptions): Promise<HostileServer> {
  ggufs ??= new Map([
    // Larger than what comes with the first answer.
    [GGUF_PATHS.model, createTinyMistralGguf({ ...TINY_MISTRAL_SHAPE, layerCount: 20 }, 'plain')],
    [GGUF_PATHS.older, createTinyMistralGguf(TINY_MISTRAL_SHAPE, 'plain')],
  ]);
  return startHostileServer(ggufs, options);
}

export function controlServer(server: HostileServer): ServerControl {
  return {
    url: server.url,
    setFaults: async (faults) => server.setFaults(faults),
    readAnswers: async () => [...server.answers],
    close: () => server.close(),
  };
}
