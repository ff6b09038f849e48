/**
 * Forced decoding against tokens that are known: a kernel that is fast and wrong is seen here. What is known is, in
 * this order: what another implementation computed (shipped for the built-in model); what this model generated when it
 * was first measured on this machine; what it has just generated, by decode steps, judged by its prefill kernels.
 */
import { NO_WORK, type PlannedTest, type SuiteContext, work } from '../planned-test.ts';
import type { SelfCheck } from '../report.ts';
import { fillerTokens } from '../workloads.ts';

/** A text, and the most probable token after each of its tokens. */
export interface GoldenText {
  tokens: readonly number[];
  /** Entry i follows token i. */
  top: readonly number[];
}

export interface Goldens {
  /** SHA-256 of the GGUF whose model they are of. */
  sourceSha256: string;
  /** What computed them. */
  source: string;
  texts: readonly GoldenText[];
}

/** Keeps what a model generated when it was first measured, by the hash of its weights. */
export interface FirstRunStore {
  read(key: string): Promise<GoldenText | null>;
  write(key: string, text: GoldenText): Promise<void>;
}

/** Below this many percent a kernel is at fault; rounding alone stays well above. */
export const LEAST_AGREEMENT = 90;
const PROMPT_TOKENS = 16;

export function planSelfCheck(
  context: SuiteContext,
  goldens: readonly Goldens[],
  firstRuns: FirstRunStore | null,
): PlannedTest[] {
  const { engine, model, facts, size, reportSelfCheck } = context;
  const golden = goldens.find(({ sourceSha256 }) => sourceSha256 === facts.sourceSha256);
  const texts = golden?.texts.slice(0, size.selfcheck.texts) ?? [];
  const goldenTokens = texts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const count = Math.min(size.selfcheck.tokens, model.contextLength - PROMPT_TOKENS);

  const check = async (signal: AbortSignal): Promise<SelfCheck> => {
    if (golden !== undefined) return judge(context, 'golden', texts, true, signal);
    const key = facts.tensorCacheSha256;
    // Without a place to keep it, or with a broken one, every run is the first.
    const stored = (await firstRuns?.read(key).catch(() => null)) ?? null;
    if (stored !== null) {
      // The first text stays the first: one of a longer or shorter run will do as well.
      const length = PROMPT_TOKENS + count;
      const text = { tokens: stored.tokens.slice(0, length), top: stored.top.slice(0, length) };
      return judge(context, 'first-run', [text], true, signal);
    }
    const generated = await generate(context, count, signal);
    const result = await judge(context, 'own-prefill', [generated], false, signal);
    if (result.agreement >= LEAST_AGREEMENT) await firstRuns?.write(key, generated).catch(() => undefined);
    return result;
  };

  return [
    {
      suite: 'selfcheck',
      series: [
        {
          id: 'self-check: agreement',
          unit: '%',
          tokens: golden === undefined ? count : goldenTokens,
          depth: 0,
        },
      ],
      repetitions: 1,
      warmUps: 0,
      setUpWork: NO_WORK,
      work: golden === undefined ? work(count, count) : work(goldenTokens / 2, goldenTokens / 2),
      async take({ signal }) {
        const start = context.clock.now();
        const result = await check(signal);
        reportSelfCheck(result);
        return { values: [result.agreement], ms: context.clock.now() - start, parts: [] };
      },
    },
  ];

  /** What the model says by itself after tokens that mean nothing. */
  async function generate(
    { model: { vocabularySize } }: SuiteContext,
    tokens: number,
    signal: AbortSignal,
  ): Promise<GoldenText> {
    const prompt = fillerTokens(PROMPT_TOKENS, vocabularySize);
    await engine.fillContext(prompt.slice(0, -1), { signal });
    const decoded = await engine.timeDecode({ firstToken: prompt.at(-1)!, count: tokens }, { signal });
    const all = [...prompt, ...decoded.tokens];
    // What follows the prompt's own tokens was not generated, so it is not known.
    const top = all.map((_, i) => (i >= PROMPT_TOKENS - 1 ? (all[i + 1] ?? -1) : -1));
    return { tokens: all, top };
  }
}

/**
 * @param withDecode compute the second half of each text by decode steps, so that both kinds of kernels are judged
 */
async function judge(
  { engine }: SuiteContext,
  reference: SelfCheck['reference'],
  texts: readonly GoldenText[],
  withDecode: boolean,
  signal: AbortSignal,
): Promise<SelfCheck> {
  let positions = 0;
  let same = 0;
  for (const { tokens, top } of texts) {
    const result = await engine.score(
      {
        // The prediction after the last token is asked for as that of one more.
        input: { tokens: [...tokens, tokens[0]!] },
        top: 1,
        ...(withDecode ? { decodeFrom: Math.ceil(tokens.length / 2) } : {}),
      },
      { signal },
    );
    for (const [i, expected] of top.entries()) {
      if (expected < 0) continue;
      positions++;
      if (result.positions[i + 1]?.top[0]?.token === expected) same++;
    }
  }
  return { reference, positions, agreement: positions === 0 ? 0 : (100 * same) / positions };
}
