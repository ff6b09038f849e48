/** Work that is too short to be measured once, done over until it is not. */

/** By a clock that hardly moves nothing is ever long enough. */
const MOST_TIMES = 50;

/**
 * @param leastMs how long it has to take in all
 * @returns all of it, `times` times the work; a time below nothing is told as it is
 */
export async function longEnough(
  leastMs: number,
  work: () => Promise<{ ms: number; parts: readonly number[] }>,
): Promise<{ ms: number; parts: readonly number[]; times: number }> {
  const parts: number[] = [];
  let ms = 0;
  let times = 0;
  do {
    const once = await work();
    times++;
    parts.push(...once.parts);
    if (once.ms < 0) return { ms: once.ms, parts, times };
    ms += once.ms;
  } while (ms < leastMs && times < MOST_TIMES);
  return { ms, parts, times };
}
