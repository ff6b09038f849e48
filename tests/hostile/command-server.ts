/** A hostile server that Vitest runs in Node for a test in a browser. */
import { commands } from 'vitest/browser';
import type { ServerControl } from './seeded-download.ts';

export function commandServer(url: string): ServerControl {
  return {
    url,
    setFaults: (faults) => commands.setHostileFaults(url, faults),
    readAnswers: () => commands.readHostileAnswers(url),
    close: () => commands.stopHostileServer(url),
  };
}
