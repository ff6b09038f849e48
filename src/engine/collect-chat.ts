/** Turns a streamed answer into a whole one. Needs nothing of the engine, so that pages can use it too. */
import { TramontaneError } from '../base/errors.ts';
import type { ChatChunk, ChatCompletion, TokenLogprob } from './api.ts';

/** Collects a stream into one completion. @throws TramontaneError `engine-failed` for a stream without an end */
export async function collectChat(stream: AsyncIterable<ChatChunk>): Promise<ChatCompletion> {
  let text = '';
  const logprobs: TokenLogprob[] = [];
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    text += choice?.delta.content ?? '';
    logprobs.push(...(choice?.logprobs?.content ?? []));
    if (chunk.usage === undefined || chunk.timings === undefined || choice?.finish_reason == null) continue;
    return {
      id: chunk.id,
      object: 'chat.completion',
      created: chunk.created,
      model: chunk.model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: text },
          finish_reason: choice.finish_reason,
          ...(logprobs.length > 0 ? { logprobs: { content: logprobs } } : {}),
        },
      ],
      usage: chunk.usage,
      timings: chunk.timings,
      token_ids: chunk.token_ids ?? [],
      ...(chunk.prompt_token_ids === undefined ? {} : { prompt_token_ids: chunk.prompt_token_ids }),
    };
  }
  throw new TramontaneError('engine-failed', 'The answer ended without its last chunk.');
}
