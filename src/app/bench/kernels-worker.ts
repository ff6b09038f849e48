/** The kernel view's worker: one measurement, on a GPU device of its own. It is ended by terminating it. */
import { toWireError } from '../../base/errors.ts';
import type { BusyProbe, Disturber } from '../../bench/busy-probe.ts';
import { measureKernels } from '../../bench/kernels/measure-kernels.ts';
import type { KernelsAnswer, KernelsRequest } from './measure-in-worker.ts';

const answer = (message: KernelsAnswer) => globalThis.postMessage(message);

let watched: (disturber: Disturber | null) => void = () => undefined;

/** Has the page watch, which sees what a worker that computes does not. */
function ask(kind: 'watch' | 'unwatch'): Promise<Disturber | null> {
  return new Promise((resolve) => {
    watched = resolve;
    answer({ kind });
  });
}

const pageProbe = (repeats: boolean): BusyProbe => ({
  repeats,
  async start() {
    await ask('watch');
    return { stop: () => ask('unwatch') };
  },
});

globalThis.addEventListener('message', ({ data }: MessageEvent<KernelsRequest>) => {
  if (data.kind === 'watched') {
    watched(data.disturber);
    return;
  }
  measureKernels(data.model, {
    ...data.options,
    probe: pageProbe(data.repeats),
    gpu: navigator.gpu,
    onProgress: (progress) => answer({ kind: 'progress', progress }),
  }).then(
    (report) => answer({ kind: 'report', report }),
    (error: unknown) => answer({ kind: 'error', error: toWireError(error) }),
  );
});
answer({ kind: 'ready' });
