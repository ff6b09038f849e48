/** What a grammar costs: compiling it, and each token under it against a token of free text. */
import { NO_WORK, type PlannedTest, type SuiteContext, work } from '../planned-test.ts';
import { QUESTIONS, recordSchema } from '../workloads.ts';
import { takeChat, timePerOutputToken } from './chat-sample.ts';

const PROMPT_TOKENS = 48;

export function planJson({ engine, model, size, clock, note }: SuiteContext): PlannedTest[] {
  const { outputTokens, repetitions } = size.json;
  if (PROMPT_TOKENS + outputTokens > model.contextLength) {
    note(`JSON was left out: it is over the context of ${model.contextLength} tokens.`);
    return [];
  }
  const series = (id: string) => ({ id, unit: 'ms', tokens: outputTokens, depth: 0 }) as const;
  return [
    {
      suite: 'json',
      series: [
        { ...series('JSON: grammar start'), tokens: null },
        series('JSON: time per output token'),
        series('free text: time per output token'),
        series('JSON: cost per output token'),
      ],
      repetitions,
      warmUps: 1,
      setUpWork: NO_WORK,
      work: work(2 * PROMPT_TOKENS, 2 * outputTokens),
      async take(options, repetition) {
        const limit = { max_completion_tokens: outputTokens };
        const held = await takeChat(
          engine,
          clock,
          {
            ...limit,
            messages: [{ role: 'user', content: QUESTIONS.record }],
            response_format: {
              type: 'json_schema',
              json_schema: { name: 'stall', schema: recordSchema(repetition) },
            },
          },
          options,
        );
        const free = await takeChat(
          engine,
          clock,
          { ...limit, messages: [{ role: 'user', content: QUESTIONS.free }], ignore_eos: true },
          options,
        );
        const heldMs = timePerOutputToken(held.timings);
        const freeMs = timePerOutputToken(free.timings);
        return {
          values: [
            held.timings.grammarStartMs,
            heldMs,
            freeMs,
            heldMs === null || freeMs === null ? null : heldMs - freeMs,
          ],
          ms: held.endToEndMs + free.endToEndMs,
          parts: [],
          spans: [
            held.timings.grammarStartMs,
            held.timings.decodeMs,
            free.timings.decodeMs,
            Math.min(held.timings.decodeMs, free.timings.decodeMs),
          ],
        };
      },
    },
  ];
}
