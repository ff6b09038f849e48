/** Loads a model and keeps when its phases began and ended. */
import type {
  BenchmarkEngine,
  LoadedModel,
  LoadOptions,
  ModelSource,
  Progress,
  ProgressPhase,
} from '../engine/api.ts';
import type { Clock } from './clock.ts';

export interface PhaseTiming {
  ms: number;
  /** Bytes of this phase; for `compile`, kernels. */
  amount: number;
}

export interface LoadTiming {
  ms: number;
  phases: ReadonlyMap<ProgressPhase, PhaseTiming>;
}

export async function timeLoad(
  engine: BenchmarkEngine,
  source: ModelSource,
  options: LoadOptions & { signal: AbortSignal; onProgress?: ((progress: Progress) => void) | undefined },
  clock: Clock,
): Promise<{ model: LoadedModel; timing: LoadTiming }> {
  const spans = new Map<ProgressPhase, { start: number; end: number; first: number; last: number }>();
  const { onProgress, ...rest } = options;
  const start = clock.now();
  // A phase begins with a first report of nothing, or else where the one before was last heard of: some tell of their
  // first bytes only when those are done.
  let lastHeard = start;
  const model = await engine.loadModel(source, {
    ...rest,
    onProgress(progress) {
      const time = clock.now();
      const { phase, bytes } = progress;
      const span = spans.get(phase) ?? {
        start: bytes === 0 ? time : lastHeard,
        end: time,
        first: bytes,
        last: bytes,
      };
      // What was stored before a download goes on counts as done from its first report on.
      if (!spans.has(phase) && phase !== 'download') span.first = 0;
      span.end = time;
      span.last = bytes;
      spans.set(phase, span);
      lastHeard = time;
      onProgress?.(progress);
    },
  });
  const end = clock.now();
  const compile = spans.get('compile');
  if (compile !== undefined) compile.end = end;
  const phases = new Map(
    Array.from(spans, ([phase, span]): [ProgressPhase, PhaseTiming] => [
      phase,
      { ms: span.end - span.start, amount: span.last - span.first },
    ]),
  );
  return { model, timing: { ms: end - start, phases } };
}

/** How long a load takes that has nothing to download. */
export function withoutDownload({ ms, phases }: LoadTiming): number {
  return Math.max(0, ms - (phases.get('download')?.ms ?? 0));
}
