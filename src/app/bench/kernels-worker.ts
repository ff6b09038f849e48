/** The kernel view's worker: one measurement, on a GPU device of its own. It is ended by terminating it. */
import { toWireError } from '../../base/errors.ts';
import { measureKernels } from '../../bench/kernels/measure-kernels.ts';
import type { KernelsAnswer, KernelsRequest } from './measure-in-worker.ts';

const answer = (message: KernelsAnswer) => globalThis.postMessage(message);

globalThis.addEventListener('message', ({ data }: MessageEvent<KernelsRequest>) => {
  measureKernels(data.model, {
    ...data.options,
    gpu: navigator.gpu,
    onProgress: (progress) => answer({ kind: 'progress', progress }),
  }).then(
    (report) => answer({ kind: 'report', report }),
    (error: unknown) => answer({ kind: 'error', error: toWireError(error) }),
  );
});
answer({ kind: 'ready' });
