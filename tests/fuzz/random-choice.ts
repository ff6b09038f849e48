/** Choices that mutators make, all from one seeded generator. */
import { createRandom } from '../tools/random.ts';

export interface Choice {
  /** A number in [0, 1). */
  number(): number;
  /** An integer in [0, end). */
  below(end: number): number;
  /** True once in `times`. */
  oneIn(times: number): boolean;
  of<T>(items: readonly T[]): T;
}

/** The choices of one input: `seed` names the run, `index` the input in it. */
export function createChoice(seed: number, index: number): Choice {
  const random = createRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  const below = (end: number) => Math.floor(random() * end);
  return {
    number: random,
    below,
    oneIn: (times) => below(times) === 0,
    of: (items) => items[below(items.length)] as (typeof items)[number],
  };
}
