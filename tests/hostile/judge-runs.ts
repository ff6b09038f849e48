/** Runs seeds one after the other, and sums up what became of them. */
import type { RunResult } from './seeded-download.ts';

export interface RunSummary {
  results: readonly RunResult[];
  /** How many runs ended in which way. */
  outcomes: ReadonlyMap<string, number>;
}

/** @throws Error naming the seed that fails */
export async function runSeeds(
  seeds: Iterable<number>,
  run: (seed: number) => Promise<RunResult>,
): Promise<RunSummary> {
  const results: RunResult[] = [];
  for (const seed of seeds) {
    try {
      results.push(await run(seed));
    } catch (cause) {
      throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
  const outcomes = new Map<string, number>();
  for (const { outcome } of results) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  console.log([...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', '));
  return { results, outcomes };
}

export function* seedsUpTo(count: number): Generator<number> {
  for (let seed = 1; seed <= count; seed++) yield seed;
}
