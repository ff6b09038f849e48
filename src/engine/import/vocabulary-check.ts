/** Whether a tokenizer and a model's weights belong together. */
import { TramontaneError } from '../../base/errors.ts';

/** @throws TramontaneError `tokenizer-invalid` where tokens have no row in the embedding */
export function checkVocabulary(tokens: number, rows: number): void {
  if (tokens <= rows) return;
  throw new TramontaneError(
    'tokenizer-invalid',
    `The tokenizer has ${tokens} tokens, the embedding ${rows} rows`,
    { data: { field: 'tokenizer.ggml.tokens', tokens, rows } },
  );
}
