/**
 * Starts workers: one for the engine, and one for the model manager, which brings neither WebLLM nor the model library
 * along, and whose imports do not share the engine's memory.
 */
import { TramontaneError } from '../base/errors.ts';
import type { BenchmarkEngine, ModelManager } from '../engine/api.ts';
import { EngineClient } from './engine-client.ts';
import { ManagerClient } from './manager-client.ts';
import managerUrl from './manager-worker.ts?worker&url';
import { startModuleWorker } from './start-worker.ts';
import engineUrl from './worker.ts?worker&url';

export function createWorkerEngine(): BenchmarkEngine {
  return startWorker(engineUrl, 'The engine', (worker) => new EngineClient(worker));
}

export function createWorkerManager(): ModelManager {
  return startWorker(managerUrl, 'The model manager', (worker) => new ManagerClient(worker));
}

interface Client {
  fail(error: TramontaneError): void;
  dispose(): Promise<void>;
}

/** @param what runs in the worker, for messages */
function startWorker<T extends Client>(url: string, what: string, connect: (worker: Worker) => T): T {
  const worker = startModuleWorker(url);
  const client = connect(worker);
  const crash = (message: string) => {
    client.fail(
      new TramontaneError('worker-crashed', `${what} stopped: ${message}`, {
        nextStep: 'Reload the page. What is stored is kept.',
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
