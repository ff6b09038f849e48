/**
 * One process of a long run: `tsx tests/fuzz/gguf-fuzz-run.ts SEED FROM TO`. Prints a line every thousand inputs, by
 * which the parent sees that it lives, and at the end the tally as JSON; an input that fails ends it with status 1.
 */
import { fuzzGguf, readSeeds, type Tally } from './gguf-fuzz.ts';

const [seed = 0, start = 0, end = 0] = process.argv.slice(2).map(Number);
const STEP = 1000;

const corpus = readSeeds();
const total: Tally = new Map();
try {
  for (let from = start; from < end; from += STEP) {
    const tally = await fuzzGguf(corpus, { seed, from, to: Math.min(end, from + STEP) });
    for (const [outcome, count] of tally) total.set(outcome, (total.get(outcome) ?? 0) + count);
    process.stdout.write(`at ${Math.min(end, from + STEP)}\n`);
  }
  process.stdout.write(`${JSON.stringify([...total])}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
