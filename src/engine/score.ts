/** Forced decoding: the given tokens go through the model, and it says how probable it found each. */
import { TramontaneError } from '../base/errors.ts';
import type { ScorePosition, ScoreRequest, ScoreResult } from './api.ts';
import { refuse, requireInteger, requireTokenIds } from './request-checks.ts';
import type { WebLlmAdapter } from './webllm-adapter.ts';

const MAX_TOP = 64;
const DEFAULT_TOP = 5;

/**
 * @throws TramontaneError `request-invalid` for ids outside the vocabulary and options out of range,
 * `context-exceeded`; the signal's reason when aborted, within one chunk. Leaves the KV cache full of `tokens`.
 */
export async function scoreTokens(
  adapter: WebLlmAdapter,
  tokens: readonly number[],
  request: Omit<ScoreRequest, 'input'>,
  signal: AbortSignal | null,
): Promise<Omit<ScoreResult, 'model' | 'adapter'>> {
  const top = request.top ?? DEFAULT_TOP;
  const { vocabularySize, contextLength } = adapter;
  checkInput(tokens, top, request, adapter);
  const positions: (ScorePosition | null)[] = [null];
  // The last token is predicted, but predicts nothing that is asked for.
  const inputs = tokens.slice(0, -1);
  const prefillEnd = Math.min(inputs.length, request.decodeFrom ?? inputs.length);
  if (inputs.length > contextLength) {
    throw new TramontaneError(
      'context-exceeded',
      `${tokens.length} tokens are to be scored; the model is loaded with room for ${contextLength}.`,
      { nextStep: 'Score fewer tokens, or load the model with a larger context.' },
    );
  }
  adapter.resetChat();
  for (let start = 0; start < inputs.length; ) {
    signal?.throwIfAborted();
    const mode = start < prefillEnd ? 'prefill' : 'decode';
    const limit = mode === 'prefill' ? prefillEnd - start : 1;
    const chunk = inputs.slice(start, start + Math.min(limit, adapter.maxForwardTokens(mode)));
    const logits = await adapter.forward(chunk, mode);
    for (let row = 0; row < chunk.length; row++) {
      const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
      positions.push(readPosition(values, tokens[start + row + 1]!, top, request.logitsOf ?? []));
    }
    start += chunk.length;
  }
  const logprobs = positions.flatMap((position) => (position === null ? [] : [position.logprob]));
  const mean = logprobs.reduce((sum, value) => sum + value, 0) / Math.max(1, logprobs.length);
  return { tokens: [...tokens], positions, perplexity: Math.exp(-mean) };
}

function checkInput(
  tokens: readonly number[],
  top: number,
  request: Omit<ScoreRequest, 'input'>,
  { vocabularySize }: WebLlmAdapter,
): void {
  if (tokens.length === 0) refuse('tokens', 'at least one token', tokens);
  requireTokenIds('tokens', tokens, vocabularySize);
  requireTokenIds('logitsOf', request.logitsOf ?? [], vocabularySize);
  requireInteger('top', top, 0, MAX_TOP);
  requireInteger('decodeFrom', request.decodeFrom, 0, Number.MAX_SAFE_INTEGER);
}

function readPosition(
  logits: Float32Array,
  token: number,
  top: number,
  logitsOf: readonly number[],
): ScorePosition {
  let max = Number.NEGATIVE_INFINITY;
  for (const value of logits) if (value > max) max = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - max);
  const logSum = max + Math.log(sum);
  if (!Number.isFinite(logSum)) {
    throw new TramontaneError('engine-failed', 'The GPU computed logits that are not numbers.', {
      nextStep: 'Update the browser and the graphics driver, or load the model without f16 or subgroups.',
    });
  }
  const best = largest(logits, top).map((id) => ({ token: id, logprob: logits[id]! - logSum }));
  const position: ScorePosition = { token, logprob: logits[token]! - logSum, top: best };
  if (logitsOf.length > 0) position.logits = logitsOf.map((id) => logits[id]!);
  return position;
}

/** Indices of the `count` largest values, largest first; of equal ones the lower index first. */
function largest(values: Float32Array, count: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (found.length === count && !(value > values[found[count - 1]!]!)) continue;
    let at = found.length;
    while (at > 0 && value > values[found[at - 1]!]!) at--;
    found.splice(at, 0, i);
    if (found.length > count) found.pop();
  }
  return found;
}
