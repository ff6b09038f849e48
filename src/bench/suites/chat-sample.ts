/** One chat, as a sample: the engine's own times, and the whole by the runner's clock. */
import type {
  BenchmarkEngine,
  CallOptions,
  ChatMessage,
  ChatRequest,
  Timings,
  Usage,
} from '../../engine/api.ts';
import type { Clock } from '../clock.ts';
import { passage } from '../workloads.ts';

export interface ChatSample {
  text: string;
  usage: Usage;
  timings: Timings;
  /** From the call to the end of the answer. */
  endToEndMs: number;
}

/** A chat from an empty KV cache, unless `request` says otherwise. */
export async function takeChat(
  engine: BenchmarkEngine,
  clock: Clock,
  request: ChatRequest,
  options: CallOptions,
): Promise<ChatSample> {
  const start = clock.now();
  const { choices, usage, timings } = await engine.completeChat(
    { cache_prompt: false, ...request, temperature: 0 },
    options,
  );
  // An abort after the first token ends the answer without an error.
  options.signal?.throwIfAborted();
  return { text: choices[0]!.message.content, usage, timings, endToEndMs: clock.now() - start };
}

/** Milliseconds for each token after the first, or null where there is none. */
export function timePerOutputToken({ decodeMs, decodeTokens }: Timings): number | null {
  return decodeTokens > 0 ? decodeMs / decodeTokens : null;
}

const WORDS_PER_TOKEN = 0.75;
const FITTING_ROUNDS = 4;

/** A question about a text, together of at most `tokens` tokens as the model counts them, template included. */
export async function fitPrompt(
  engine: BenchmarkEngine,
  question: string,
  tokens: number,
): Promise<ChatMessage> {
  const build = (words: number): ChatMessage => ({
    role: 'user',
    content: `${question}\n\n${passage(words)}`,
  });
  let words = Math.floor(tokens * WORDS_PER_TOKEN);
  for (let round = 0; round < FITTING_ROUNDS; round++) {
    const length = await countTokens(engine, build(words));
    if (length === null || (length <= tokens && length > tokens * 0.99)) break;
    words = Math.max(1, Math.floor((words * tokens) / length));
  }
  return build(words);
}

/** Null for a model whose template WebLLM renders alone. */
async function countTokens(engine: BenchmarkEngine, message: ChatMessage): Promise<number | null> {
  try {
    return (await engine.tokenizeChat([message])).length;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'template-unsupported') return null;
    throw error;
  }
}
