/**
 * Hostile servers for tests that run in a browser: it asks Vitest, in Node, to start, tell and stop them. Servers are
 * named by their URLs.
 */
import type { BrowserCommand } from 'vitest/node';
import type { FolderModelOptions } from '../tools/folder-model.ts';
import type { Fault, HostileServer, HostileServerOptions, ServedAnswer } from '../tools/hostile-server.ts';
import { startGgufServer, startModelServer } from './start-server.ts';

const servers = new Map<string, HostileServer>();

function remember(server: HostileServer): string {
  servers.set(server.url, server);
  return server.url;
}

const startHostileServer: BrowserCommand<
  [models: readonly FolderModelOptions[], options: HostileServerOptions]
> = async (_context, models, options) => remember(await startModelServer(models, options));

const startHostileGgufs: BrowserCommand<[options: HostileServerOptions]> = async (_context, options) =>
  remember(await startGgufServer(options));

const setHostileFaults: BrowserCommand<[url: string, faults: readonly Fault[]]> = (_context, url, faults) => {
  servers.get(url)?.setFaults(faults);
};

const readHostileAnswers: BrowserCommand<[url: string]> = (_context, url) => servers.get(url)?.answers ?? [];

const stopHostileServer: BrowserCommand<[url: string]> = async (_context, url) => {
  await servers.get(url)?.close();
  servers.delete(url);
};

export const hostileCommands = {
  startHostileServer,
  startHostileGgufs,
  setHostileFaults,
  readHostileAnswers,
  stopHostileServer,
};

declare module 'vitest/internal/browser' {
  interface BrowserCommands {
    startHostileServer(models: readonly FolderModelOptions[], options: HostileServerOptions): Promise<string>;
    /** Of {@link startGgufServer}. */
    startHostileGgufs(options: HostileServerOptions): Promise<string>;
    setHostileFaults(url: string, faults: readonly Fault[]): Promise<void>;
    readHostileAnswers(url: string): Promise<ServedAnswer[]>;
    stopHostileServer(url: string): Promise<void>;
  }
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Whether the long suites are to be run. */
    isFull: boolean;
  }
}
