/**
 * The GGUF fuzzer: seeded, so that an input is known by two numbers. In `npm test` a slice runs in the test's own
 * process; `npm run test:full` runs a million, in processes with a small heap (gguf-fuzz-run.ts).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { mutate } from './gguf-mutators.ts';
import { type GgufPieces, join, takeApart } from './gguf-pieces.ts';
import { judge, judgeSplits, type Outcome } from './judge.ts';
import { createChoice } from './random-choice.ts';

const CORPUS = new URL('corpus/', import.meta.url);

/** Good files by name; also those in which something once went wrong are in there, under `failures/`. */
export function readCorpus(folder = ''): { name: string; bytes: Uint8Array }[] {
  const url = new URL(folder, CORPUS);
  const names = readdirSync(url).filter((name) => name.endsWith('.gguf'));
  return names.sort().map((name) => ({ name, bytes: new Uint8Array(readFileSync(new URL(name, url))) }));
}

export interface FuzzRange {
  seed: number;
  from: number;
  to: number;
}

/** How often each outcome came. */
export type Tally = Map<Outcome, number>;

export interface Corpus {
  seeds: readonly GgufPieces[];
  /** Those of the seeds that are the splits of one model. */
  splits: readonly GgufPieces[];
}

export function readSeeds(): Corpus {
  const files = readCorpus().map(({ name, bytes }) => ({ name, pieces: takeApart(bytes) }));
  return {
    seeds: files.map(({ pieces }) => pieces),
    splits: files.filter(({ name }) => name.startsWith('split-')).map(({ pieces }) => pieces),
  };
}

/** One input in so many is a set of splits; the others are single files. */
const SPLITS_EVERY = 16;

/** @throws Error naming seed, index and bytes of the first input that was not treated as it must be */
export async function fuzzGguf({ seeds, splits }: Corpus, { seed, from, to }: FuzzRange): Promise<Tally> {
  const tally: Tally = new Map();
  const count = (outcome: Outcome) => tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
  for (let index = from; index < to; index++) {
    const choice = createChoice(seed, index);
    if (index % SPLITS_EVERY === 0) {
      const files = splits.map((split, number) => ({
        name: `model-0000${number + 1}-of-0000${splits.length}.gguf`,
        bytes: choice.oneIn(2) ? join(split).bytes : mutate(choice.oneIn(2) ? [split] : seeds, choice),
      }));
      const bytes = files.map((file) => file.bytes);
      count(await judgeSplits(files).catch((cause) => report(seed, index, cause, bytes)));
      continue;
    }
    const bytes = mutate(seeds, choice);
    count(
      await judge(bytes).catch(async (cause: Error) => {
        const isSame = (error: Error) => error.message.slice(0, 40) === cause.message.slice(0, 40);
        const smaller = await minimise(bytes, (candidate) => judge(candidate).then(() => false, isSame));
        return report(seed, index, cause, [smaller]);
      }),
    );
  }
  return tally;
}

function report(seed: number, index: number, cause: Error, files: readonly Uint8Array[]): never {
  const hex = files.map((bytes) => `${bytes.byteLength} bytes: ${Buffer.from(bytes).toString('hex')}`);
  throw new Error(`Input ${index} of seed ${seed}: ${cause.message}\n${hex.join('\n')}`, { cause });
}

/** A smaller input that still fails: stretches are cut out, then set to zero, as long as that goes. */
async function minimise(
  bytes: Uint8Array,
  fails: (bytes: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let smallest = bytes;
  for (let length = bytes.byteLength >> 1; length >= 1; length >>= 1) {
    for (let at = 0; at + length <= smallest.byteLength; ) {
      const without = Uint8Array.from([...smallest.subarray(0, at), ...smallest.subarray(at + length)]);
      if (await fails(without)) smallest = without;
      else at += length;
    }
    for (let at = 0; at + length <= smallest.byteLength; at += length) {
      const zeroed = smallest.slice();
      zeroed.fill(0, at, at + length);
      const isChange = smallest.subarray(at, at + length).some((byte) => byte !== 0);
      if (isChange && (await fails(zeroed))) smallest = zeroed;
    }
  }
  return smallest;
}
