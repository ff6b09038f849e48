/**
 * Who may touch a stored model, across all tabs of this origin: one writer, any number of readers, and nobody else
 * while files are deleted. On Web Locks, which the browser releases when a tab ends; in Node, within the process.
 */
import { TramontaneError } from '../base/errors.ts';

export interface ModelLockOptions {
  signal?: AbortSignal;
  /** Wait until another writer is done, instead of failing. */
  wait?: boolean;
}

const WRITER = 'tramontane-model-writer ';
const writerOf = (modelId: string) => `${WRITER}${modelId}`;
const filesOf = (modelId: string) => `tramontane-model-files ${modelId}`;

/**
 * Runs `action` as the only writer of a model.
 * @throws TramontaneError `model-busy` where there is another one and `wait` is not set; `signal.reason`
 */
export async function withModelLock<T>(
  modelId: string,
  { signal, wait = false }: ModelLockOptions,
  action: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  // The two options exclude each other.
  const options: LockOptions = wait ? { ...(signal && { signal }) } : { ifAvailable: true };
  return await request(writerOf(modelId), options, (lock) => {
    if (lock === null) throw busy(modelId);
    return action();
  });
}

/** Runs `action` as one of many readers: no file of the model is deleted meanwhile, even where a new build comes. */
export async function withModelFiles<T>(
  modelId: string,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  return await request(filesOf(modelId), { mode: 'shared', ...(signal && { signal }) }, action);
}

/**
 * Runs `action` where nobody writes or reads the model.
 * @throws TramontaneError `model-busy` where somebody does
 */
export async function withModelAlone<T>(modelId: string, action: () => Promise<T>): Promise<T> {
  return await withModelLock(modelId, {}, () =>
    request(filesOf(modelId), { ifAvailable: true }, (lock) => {
      if (lock === null) throw busy(modelId);
      return action();
    }),
  );
}

/** @returns how many models the tabs of this origin are writing */
export async function countModelWriters(): Promise<number> {
  const locks = globalThis.navigator?.locks;
  const names =
    locks === undefined
      ? [...holders].filter(([, queue]) => queue.length > 0).map(([name]) => name)
      : ((await locks.query()).held ?? []).map(({ name }) => name);
  return names.filter((name) => name?.startsWith(WRITER)).length;
}

function busy(modelId: string): TramontaneError {
  return new TramontaneError('model-busy', `${modelId} is in use by another tab of this site.`, {
    nextStep: 'Wait until the other tab has stored or loaded it, or close that tab.',
    data: { model: modelId },
  });
}

type Granted<T> = (lock: { name: string } | null) => Promise<T>;

async function request<T>(name: string, options: LockOptions, granted: Granted<T>): Promise<T> {
  const locks = globalThis.navigator?.locks;
  if (locks === undefined) return await localRequest(name, options, granted);
  return (await locks.request(name, options, granted)) as T;
}

/** Locks of this process, for Node: whoever holds one, in the order of their asking. */
const holders = new Map<string, { shared: boolean; done: Promise<unknown> }[]>();

async function localRequest<T>(
  name: string,
  { mode, ifAvailable = false, signal }: LockOptions,
  granted: Granted<T>,
): Promise<T> {
  const queue = holders.get(name) ?? [];
  holders.set(name, queue);
  const shared = mode === 'shared';
  const before = queue.filter((other) => !shared || !other.shared);
  if (ifAvailable && before.length > 0) return await granted(null);
  let release = () => {};
  const holder = { shared, done: new Promise<void>((resolve) => (release = resolve)) };
  queue.push(holder);
  try {
    await Promise.all(before.map((other) => other.done));
    signal?.throwIfAborted();
    return await granted({ name });
  } finally {
    queue.splice(queue.indexOf(holder), 1);
    release();
  }
}
