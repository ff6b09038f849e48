/**
 * Starts the engine's worker. From a blob that imports the module: a worker started from a URL has a content security
 * policy of its own (none, on a plain static host), one started from a blob inherits the page's, and may be started by
 * a page of another origin.
 */
import { TramontaneError } from '../base/errors.ts';
import type { BenchmarkEngine } from '../engine/api.ts';
import { EngineClient } from './engine-client.ts';
import workerUrl from './worker.ts?worker&url';

export function createWorkerEngine(): BenchmarkEngine {
  const moduleUrl = new URL(workerUrl, import.meta.url).href;
  const source = `import ${JSON.stringify(moduleUrl)};`;
  const blobUrl = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  // In a blob worker `location` is the blob's; the worker learns the page's address from its name.
  const worker = new Worker(blobUrl, { type: 'module', name: document.baseURI });
  const client = new EngineClient(worker);
  const onReady = ({ data }: MessageEvent) => {
    if (data?.kind !== 'ready') return;
    URL.revokeObjectURL(blobUrl);
    worker.removeEventListener('message', onReady);
  };
  worker.addEventListener('message', onReady);
  const crash = (message: string) => {
    client.fail(
      new TramontaneError('worker-crashed', `The engine's worker stopped: ${message}`, {
        nextStep: 'Reload the page. Your conversation is kept.',
      }),
    );
    worker.terminate();
  };
  worker.addEventListener('error', (event) => crash(event.message || 'its code could not be loaded'));
  worker.addEventListener('messageerror', () => crash('a message could not be read'));
  const dispose = client.dispose.bind(client);
  client.dispose = async () => {
    try {
      await dispose();
    } finally {
      worker.terminate();
    }
  };
  return client;
}
