/**
 * WebLLM's tokenizer is a Rust library in a wasm: what it cannot read makes it trap, with a text that helps nobody.
 * So the parts that it relies on are checked first.
 */
import { errorMessage, TramontaneError } from '../base/errors.ts';
import { shown } from '../base/shown.ts';

/** @throws TramontaneError `tokenizer-invalid` naming the field */
export function checkTokenizer(text: string): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid('tokenizer.json', `is not JSON: ${errorMessage(error)}`);
  }
  const tokenizer = parsed as {
    model?: { type?: unknown; vocab?: unknown; merges?: unknown };
    added_tokens?: unknown;
  };
  const { model, added_tokens: added } = tokenizer ?? {};
  if (typeof model !== 'object' || model === null) throw invalid('model', 'is missing');
  if (model.type !== undefined && model.type !== 'BPE') {
    throw invalid('model.type', `is ${shown(model.type)}; only BPE is supported`);
  }
  if (typeof model.vocab !== 'object' || model.vocab === null || Array.isArray(model.vocab)) {
    throw invalid('model.vocab', 'is not an object of token ids');
  }
  if (!Array.isArray(model.merges)) throw invalid('model.merges', 'is not a list');
  if (added !== undefined && !Array.isArray(added)) throw invalid('added_tokens', 'is not a list');
  const ids = new Set<number>();
  for (const [token, id] of Object.entries(model.vocab)) {
    if (!Number.isInteger(id)) throw invalid(`model.vocab[${shown(token)}]`, 'is not a whole number');
    ids.add(id as number);
  }
  for (const [i, token] of (added ?? []).entries()) {
    const { id, content } = (token ?? {}) as { id?: unknown; content?: unknown };
    if (!Number.isInteger(id) || typeof content !== 'string' || content === '') {
      throw invalid(`added_tokens[${i}]`, 'needs a whole-number id and a content');
    }
    ids.add(id as number);
  }
  for (let id = 0; id < ids.size; id++) {
    if (!ids.has(id))
      throw invalid('model.vocab', `has no token with id ${id}, though it has ${ids.size} ids`);
  }
}

function invalid(field: string, what: string): TramontaneError {
  return new TramontaneError('tokenizer-invalid', `tokenizer.json: ${field} ${what}.`, {
    nextStep: 'Import the model again.',
    data: { field },
  });
}
