/**
 * A second question after a long text: warm, with the text still in the KV cache, and the same conversation from cold.
 * The first answer is held to one certain JSON text, so that the second question is the same for every model.
 */
import type { ChatMessage } from '../../engine/api.ts';
import { NO_WORK, type PlannedTest, type SuiteContext, work } from '../planned-test.ts';
import { FIXED_ANSWER_SCHEMA, QUESTIONS } from '../workloads.ts';
import { fitPrompt, takeChat } from './chat-sample.ts';

/** Room for the fixed answer and the second question. */
const TURN_TOKENS = 64;

export function planFollowup({ engine, model, size, clock, note }: SuiteContext): PlannedTest[] {
  const { contextTokens, repetitions } = size.followup;
  if (contextTokens + 2 * TURN_TOKENS > model.contextLength) {
    note(`The follow-up turn was left out: it is over the context of ${model.contextLength} tokens.`);
    return [];
  }
  let first: ChatMessage[] = [];
  const series = (what: string, depth: number) =>
    ({ id: `follow-up: time to first token, ${what}`, unit: 'ms', tokens: TURN_TOKENS, depth }) as const;
  return [
    {
      suite: 'followup',
      series: [series('warm', contextTokens), series('from cold', 0)],
      repetitions,
      warmUps: 0,
      setUpWork: NO_WORK,
      work: work(2 * contextTokens, TURN_TOKENS),
      async setUp() {
        first = [await fitPrompt(engine, QUESTIONS.summary, contextTokens)];
      },
      async take(options) {
        const opening = await takeChat(
          engine,
          clock,
          {
            messages: first,
            max_completion_tokens: TURN_TOKENS,
            response_format: {
              type: 'json_schema',
              json_schema: { name: 'understood', schema: FIXED_ANSWER_SCHEMA },
            },
          },
          options,
        );
        const messages: ChatMessage[] = [
          ...first,
          { role: 'assistant', content: opening.text },
          { role: 'user', content: QUESTIONS.followup },
        ];
        const request = { messages, max_completion_tokens: 2, ignore_eos: true };
        const warm = await takeChat(engine, clock, { ...request, cache_prompt: true }, options);
        const wasWarm = warm.usage.prompt_tokens_details.cached_tokens >= opening.usage.prompt_tokens;
        if (!wasWarm) note('The follow-up turn found no KV cache to continue: its warm time is missing.');
        const cold = await takeChat(engine, clock, request, options);
        return {
          values: [wasWarm ? warm.timings.timeToFirstTokenMs : null, cold.timings.timeToFirstTokenMs],
          ms: opening.endToEndMs + warm.endToEndMs + cold.endToEndMs,
          parts: [],
          spans: [warm.timings.timeToFirstTokenMs, cold.timings.timeToFirstTokenMs],
        };
      },
    },
  ];
}
