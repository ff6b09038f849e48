/** Measures kernels in a worker of their own, so that the page stays responsive and a lost device is not the engine's. */
import { fromWireError, TramontaneError, type WireError } from '../../base/errors.ts';
import { type BusyWatch, blindProbe, type Disturber } from '../../bench/busy-probe.ts';
import type { KernelReport } from '../../bench/kernels/kernel-report.ts';
import type { KernelProgress } from '../../bench/kernels/measure-kernels.ts';
import type { MeasureKernels } from '../../bench/run.ts';
import type { ModelDescription } from '../../models/model-description.ts';
import { startModuleWorker } from '../../worker/start-worker.ts';
import workerUrl from './kernels-worker.ts?worker&url';

type Options = Parameters<MeasureKernels>[1];

/** The first message; then, an answer to every `watch` and `unwatch`. */
export type KernelsRequest =
  | {
      kind: 'measure';
      model: ModelDescription;
      options: Omit<Options, 'signal' | 'onProgress' | 'probe'>;
      repeats: boolean;
    }
  | { kind: 'watched'; disturber: Disturber | null };

export type KernelsAnswer =
  | { kind: 'ready' }
  | { kind: 'progress'; progress: KernelProgress }
  /** A round of samples begins, or has ended: the page watches what else happens. */
  | { kind: 'watch' }
  | { kind: 'unwatch' }
  | { kind: 'report'; report: KernelReport }
  | { kind: 'error'; error: WireError };

/** @throws as `measureKernels`; TramontaneError `worker-crashed` */
export const measureInWorker: MeasureKernels = async (
  model,
  { signal, onProgress, probe = blindProbe, ...options },
) => {
  signal?.throwIfAborted();
  const worker = startModuleWorker(workerUrl);
  const stopped = new AbortController();
  const tell = (message: KernelsRequest) => worker.postMessage(message);
  let watch: Promise<BusyWatch> | null = null;
  try {
    return await new Promise<KernelReport>((resolve, reject) => {
      const beginWatch = async () => {
        watch = probe.start();
        await watch;
        tell({ kind: 'watched', disturber: null });
      };
      const endWatch = async () => {
        const ended = watch;
        watch = null;
        const disturber = (await (await ended)?.stop()) ?? null;
        tell({ kind: 'watched', disturber });
      };
      const crash = (message: string) =>
        reject(
          new TramontaneError('worker-crashed', `The kernel view stopped: ${message}`, {
            nextStep: 'Measure again.',
          }),
        );
      worker.addEventListener('error', (event) => crash(event.message || 'its code could not be loaded'));
      worker.addEventListener('messageerror', () => crash('a message could not be read'));
      worker.addEventListener('message', ({ data }: MessageEvent<KernelsAnswer>) => {
        if (data.kind === 'ready') tell({ kind: 'measure', model, options, repeats: probe.repeats });
        else if (data.kind === 'progress') onProgress?.(data.progress);
        else if (data.kind === 'watch') beginWatch().catch(reject);
        else if (data.kind === 'unwatch') endWatch().catch(reject);
        else if (data.kind === 'report') resolve(data.report);
        else reject(fromWireError(data.error));
      });
      signal?.addEventListener('abort', () => reject(signal.reason), { signal: stopped.signal });
    });
  } finally {
    stopped.abort();
    worker.terminate();
    // One that did not begin has been told of.
    await (watch as Promise<BusyWatch> | null)?.then((begun) => begun.stop()).catch(() => undefined);
  }
};
