/** Chats as people have them: short, and about a text of some length. Each begins with an empty KV cache. */
import type { ChatMessage } from '../../engine/api.ts';
import { NO_WORK, type PlannedTest, type SuiteContext, work } from '../planned-test.ts';
import { QUESTIONS } from '../workloads.ts';
import { fitPrompt, takeChat, timePerOutputToken } from './chat-sample.ts';

/** About what a one-line question has, with its template. */
const SHORT_PROMPT_TOKENS = 32;

export function planChat({ engine, model, size, clock, note }: SuiteContext): PlannedTest[] {
  const { prompts, outputTokens, repetitions } = size.chat;
  return prompts.flatMap(({ name, tokens }): PlannedTest[] => {
    const promptTokens = tokens ?? SHORT_PROMPT_TOKENS;
    if (promptTokens + outputTokens > model.contextLength) {
      note(`Chat ${name} was left out: it is over the context of ${model.contextLength} tokens.`);
      return [];
    }
    let message: ChatMessage = { role: 'user', content: QUESTIONS.short };
    const series = (what: string, count: number) =>
      ({ id: `chat ${name}: ${what}`, unit: 'ms', tokens: count, depth: 0 }) as const;
    return [
      {
        suite: 'chat',
        series: [
          series('time to first token', promptTokens),
          series('time per output token', outputTokens),
          series('end to end', promptTokens + outputTokens),
        ],
        repetitions,
        warmUps: 1,
        setUpWork: NO_WORK,
        work: work(promptTokens, outputTokens),
        async setUp() {
          if (tokens !== null) message = await fitPrompt(engine, QUESTIONS.summary, tokens);
        },
        async take(options) {
          const request = { messages: [message], max_completion_tokens: outputTokens, ignore_eos: true };
          const { timings, endToEndMs } = await takeChat(engine, clock, request, options);
          const values = [timings.timeToFirstTokenMs, timePerOutputToken(timings), endToEndMs];
          const spans = [timings.timeToFirstTokenMs, timings.decodeMs, endToEndMs];
          return { values, ms: endToEndMs, parts: [], spans };
        },
      },
    ];
  });
}
