/**
 * The engine's calls for measuring (`BenchmarkEngine`): parts of a chat, run by themselves on given tokens and timed
 * where they run, so that neither messages between threads nor tokenizers are in the figures.
 */
import { TramontaneError } from '../base/errors.ts';
import type { DecodeTiming, PrefillTiming, StoreReadTiming } from './api.ts';
import type { ModelReader } from './model-reader.ts';
import { requireInteger, requireTokenIds } from './request-checks.ts';
import type { WebLlmAdapter } from './webllm-adapter.ts';

/** Runs `tokens` after what the KV cache holds. @throws as `BenchmarkEngine` */
export async function timePrefill(
  adapter: WebLlmAdapter,
  tokens: readonly number[],
  signal: AbortSignal,
  now: () => number,
): Promise<PrefillTiming> {
  requireTokenIds('tokens', tokens, adapter.vocabularySize);
  requireRoom(adapter, tokens.length);
  signal.throwIfAborted();
  const startMs = now();
  const ends = await adapter.prefill(tokens, signal, now);
  return { ms: (ends.at(-1) ?? startMs) - startMs, chunkMs: durations(startMs, ends) };
}

/** Runs `count` greedy decode steps after what the KV cache holds. @throws as `BenchmarkEngine` */
export async function timeDecode(
  adapter: WebLlmAdapter,
  { firstToken, count }: { firstToken: number; count: number },
  signal: AbortSignal,
  now: () => number,
): Promise<DecodeTiming> {
  requireTokenIds('firstToken', [firstToken], adapter.vocabularySize);
  requireInteger('count', count, 1, adapter.contextLength);
  requireRoom(adapter, count);
  const tokens: number[] = [];
  const ends: number[] = [];
  const startMs = now();
  for (let token = firstToken; tokens.length < count; ) {
    signal.throwIfAborted();
    token = await adapter.decodeGreedy(token);
    tokens.push(token);
    ends.push(now());
  }
  return { ms: ends.at(-1)! - startMs, stepMs: durations(startMs, ends), tokens };
}

/**
 * Reads every shard once, one after the other, as a load does, and drops what it gets.
 * @param loadReadBytes that the load of the model took out of the store
 * @throws TramontaneError `shard-missing`, `shard-truncated`, `storage-failed`; `signal.reason`
 */
export async function timeStoreReads(
  reader: ModelReader,
  loadReadBytes: number,
  signal: AbortSignal,
  now: () => number,
): Promise<StoreReadTiming> {
  let storedBytes = 0;
  const startMs = now();
  for (const { name } of reader.shards) {
    signal.throwIfAborted();
    storedBytes += (await reader.read(name)).byteLength;
  }
  return { ms: now() - startMs, storedBytes, loadReadBytes };
}

/** From the points in time at which parts ended to how long each took. */
function durations(startMs: number, endsMs: readonly number[]): number[] {
  return endsMs.map((end, i) => end - (endsMs[i - 1] ?? startMs));
}

function requireRoom({ contextTokenCount, contextLength }: WebLlmAdapter, tokens: number): void {
  if (contextTokenCount + tokens <= contextLength) return;
  throw new TramontaneError(
    'context-exceeded',
    `${tokens} tokens after ${contextTokenCount} do not fit: the model is loaded with room for ${contextLength}.`,
    { nextStep: 'Measure at a smaller depth, or load the model with a larger context.' },
  );
}
