/** Sampling in float64, written for reading. */

/** What a masked logit is: the least f32. NaN and -infinity count as masked too. */
export const MASKED = -3.4028234663852886e38;

export interface SampleSettings {
  temperature: number;
  /** 1: all. */
  topP: number;
  /** 0: all. */
  topK?: number;
  /** 0: all. */
  minP?: number;
}

export const isMasked = (logit: number) => !(logit > MASKED);

/** @returns the distribution at temperature 1; masked tokens have probability 0. */
export function softmaxReference(logits: ArrayLike<number>): Float64Array {
  return distributionReference(logits, { temperature: 1, topP: 1 });
}

/**
 * The distribution that a draw follows: exp((x - max) / T), cut to the top_k most likely, then to the smallest set of
 * mass ≥ top_p among those (equals in order of id), then to weights ≥ min_p of the largest, and normalised. All zero
 * when every logit is masked.
 */
export function distributionReference(logits: ArrayLike<number>, settings: SampleSettings): Float64Array {
  const { temperature, topP, topK = 0, minP = 0 } = settings;
  const distribution = new Float64Array(logits.length);
  let ids = Array.from({ length: logits.length }, (_, id) => id)
    .filter((id) => !isMasked(logits[id]!))
    .sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (ids.length === 0) return distribution;
  if (temperature <= 1e-5) {
    distribution[ids[0]!] = 1;
    return distribution;
  }
  const largest = logits[ids[0]!]!;
  const weight = (id: number) => Math.exp((logits[id]! - largest) / temperature);
  const mass = (set: number[]) => set.reduce((sum, id) => sum + weight(id), 0);
  if (topK > 0) ids = ids.slice(0, topK);
  if (topP < 1) {
    const goal = topP * mass(ids);
    let sum = 0;
    const size = ids.findIndex((id) => {
      sum += weight(id);
      return sum >= goal;
    });
    ids = ids.slice(0, size + 1);
  }
  ids = ids.filter((id) => weight(id) >= minP);
  const total = mass(ids);
  for (const id of ids) distribution[id] = weight(id) / total;
  return distribution;
}

/** The token that a draw gives: the first, in order of id, with which the cumulative distribution exceeds `uniform`. */
export function sampleReference(
  logits: ArrayLike<number>,
  settings: SampleSettings,
  uniform: number,
): number {
  const distribution = distributionReference(logits, settings);
  let sum = 0;
  let last = 0;
  for (const [id, probability] of distribution.entries()) {
    if (probability === 0) continue;
    sum += probability;
    last = id;
    if (sum > uniform) return id;
  }
  return last;
}

/** Logits after a grammar mask, in place. `blockedIds` are masked whatever the mask says. */
export function applyBitmaskReference(
  logits: Float64Array,
  mask: Int32Array,
  blockedIds: ReadonlySet<number>,
): void {
  for (let id = 0; id < logits.length; id++) {
    if (((mask[id >> 5]! >> (id & 31)) & 1) === 0 || blockedIds.has(id)) logits[id] = MASKED;
  }
}

/** Logits after penalties, in place. */
export function applyPenaltyReference(
  logits: Float64Array,
  counts: ReadonlyMap<number, number>,
  penalties: { presence: number; frequency: number; repetition: number },
): void {
  for (const [id, count] of counts) {
    if (isMasked(logits[id]!)) continue;
    const x = logits[id]! - penalties.presence - count * penalties.frequency;
    logits[id] = x < 0 ? x * penalties.repetition : x / penalties.repetition;
  }
}
