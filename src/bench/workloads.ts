/**
 * What is measured, and how much of it: pure data. The standard tests are llama-bench's: `pp512` is the time of a
 * prompt of 512 tokens, `tg128` that of 128 generated tokens, `@ d2048` after 2048 tokens that are in the KV cache
 * already. See docs/benchmarking.md.
 */
import type { SuiteName } from './report.ts';

/** In the order in which they run. */
export const SUITES: readonly SuiteName[] = [
  'selfcheck',
  'load',
  'standard',
  'followup',
  'chat',
  'json',
  'kernels',
];

/** A suite that would take longer than this runs in its short form. */
export const BUDGET_MS = 10 * 60_000;

/**
 * Work that is over sooner is done over within a sample, where that is possible: for a time as short as a few turns of the
 * system's scheduler, one of them is the difference between two figures.
 */
export const LEAST_SAMPLE_MS = 100;

/** How many times a disturbed sample is taken again, for each sample that was asked for. */
export const REPEATS_PER_SAMPLE = 2;

export interface WorkloadSize {
  /** Of the standard tests. */
  promptTokens: number;
  outputTokens: number;
  depths: readonly number[];
  repetitions: number;
  /** Samples taken before the first that counts. */
  warmUps: number;
  chat: {
    /** Names by the prompt's tokens: null is a prompt of one line. */
    prompts: readonly { name: string; tokens: number | null }[];
    outputTokens: number;
    repetitions: number;
  };
  followup: { contextTokens: number; repetitions: number };
  json: { outputTokens: number; repetitions: number };
  load: { repetitions: number };
  selfcheck: { texts: number; tokens: number };
  /** Of the kernel view: positions in the KV cache before a decoded token, and samples of each kernel. */
  kernels: { depth: number; repetitions: number };
}

export const FULL: WorkloadSize = {
  promptTokens: 512,
  outputTokens: 128,
  depths: [0, 2048],
  repetitions: 5,
  warmUps: 1,
  chat: {
    prompts: [
      { name: 'short', tokens: null },
      { name: '1k', tokens: 1024 },
      { name: '4k', tokens: 4096 },
    ],
    outputTokens: 64,
    repetitions: 3,
  },
  followup: { contextTokens: 1024, repetitions: 3 },
  json: { outputTokens: 64, repetitions: 3 },
  load: { repetitions: 3 },
  selfcheck: { texts: 4, tokens: 128 },
  kernels: { depth: 2048, repetitions: 5 },
};

export const SHORT: WorkloadSize = {
  promptTokens: 64,
  outputTokens: 16,
  depths: [0, 128],
  repetitions: 3,
  warmUps: 1,
  chat: {
    prompts: [
      { name: 'short', tokens: null },
      { name: '256', tokens: 256 },
    ],
    outputTokens: 16,
    repetitions: 2,
  },
  followup: { contextTokens: 256, repetitions: 2 },
  json: { outputTokens: 24, repetitions: 2 },
  load: { repetitions: 1 },
  selfcheck: { texts: 1, tokens: 32 },
  kernels: { depth: 128, repetitions: 3 },
};

/** Tests of their own length before the plan is made: long enough to tell minutes from seconds. */
export const TRIAL = { promptTokens: 64, longPromptTokens: 512, outputTokens: 8, longPromptMs: 20_000 };

/** Token ids for prompts that need not be text: the same on every machine, spread over the vocabulary. */
export function fillerTokens(count: number, vocabularySize: number): number[] {
  const tokens: number[] = [];
  // xorshift32 (Marsaglia 2003).
  let state = 0x9e3779b9;
  while (tokens.length < count) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    tokens.push((state >>> 0) % vocabularySize);
  }
  return tokens;
}

const PASSAGE =
  'The tramontane comes down from the hills in the night, and by morning every shutter on the north side is closed. ' +
  'Fishermen know it by the colour of the water, a slate blue with short white crests, and by the islands, which seem ' +
  'to have moved closer. It may blow for three days, or six, or nine; so at least it is said on the coast, where people ' +
  'count it in threes as others count the days of a fever. While it lasts the sky is without a cloud, washing dries in ' +
  'an hour, and nobody is quite himself. Then, one evening, the leaves of the plane trees hang still, the first boats ' +
  'go out again, and the talk turns back to the price of sardines. ';

/** About so many words of prose. */
export function passage(words: number): string {
  const all = PASSAGE.trim().split(' ');
  return Array.from({ length: words }, (_, i) => all[i % all.length]).join(' ');
}

export const QUESTIONS = {
  short: 'Why is the sky blue? Answer in one paragraph.',
  summary: 'Summarise this text in one paragraph.',
  followup: 'And which of these would matter most to a sailor?',
  record: 'Describe a market stall: its goods with name, count and whether each is fresh, as JSON.',
  free: 'Describe a market stall: its goods with name, count and whether each is fresh.',
} as const;

/**
 * What JSON answers are held to: objects, strings of bounded length, numbers and booleans. Grammars are kept by their
 * schema, so each repetition asks for another `round`, to see one compiled anew.
 */
export function recordSchema(round: number): Record<string, unknown> {
  const good = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 24 },
      count: { type: 'integer', minimum: 0, maximum: 999 },
      fresh: { type: 'boolean' },
    },
    required: ['name', 'count', 'fresh'],
    additionalProperties: false,
  };
  return {
    title: `Round ${round}`,
    type: 'object',
    properties: { goods: { type: 'array', items: good, minItems: 6, maxItems: 12 } },
    required: ['goods'],
    additionalProperties: false,
  };
}

/** An answer of one certain text, which every model ends by itself: only then is the KV cache kept for a next turn. */
export const FIXED_ANSWER_SCHEMA = {
  type: 'object',
  properties: { understood: { const: true } },
  required: ['understood'],
  additionalProperties: false,
} as const;
