/**
 * The prompts of a model with a library of its own, made ours: control tokens get their private forms, WebLLM's
 * template is emptied, and the configuration says what we need to render turns. A model whose tokenizer or template is
 * not known is refused: WebLLM's own template would let typed text become control tokens.
 */
import { isTramontaneError, TramontaneError } from '../../base/errors.ts';
import { FieldReader } from '../../models/field-reader.ts';
import { CONFIG_FILE, MLC_LAYOUT, MODEL_FILES_VERSION } from '../../models/model-files.ts';
import type { TextFolder } from './folder-text.ts';
import { readChatTemplate, readMlcTokenizer, recogniseTemplateOf } from './mlc-prompts.ts';
import { describePrompts, describeTokenizer } from './model-config.ts';
import { checkVocabulary } from './vocabulary-check.ts';

export interface PromptFiles {
  /** `mlc-chat-config.json`, parsed. */
  config: unknown;
  /** `tokenizer.json`. */
  tokenizer: string;
}

/**
 * @param files of a folder in MLC's layout; those that have our prompts already are given back as they are
 * @param folder they are from; null for what was stored before prompts were ours, of which no other files are kept
 * @throws TramontaneError `config-invalid`, `tokenizer-*`, `template-unsupported`, `download-failed`
 */
export async function makePromptsOurs(files: PromptFiles, folder: TextFolder | null): Promise<PromptFiles> {
  const given = files.config as { tramontane?: unknown } | null;
  if (given?.tramontane !== undefined) return files;
  if (folder !== null) return convert(files, await readChatTemplate(folder));
  try {
    return convert(files, null);
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    throw new TramontaneError(
      error.code,
      `An earlier version stored this model with WebLLM's own prompts. ${error.message}`,
      {
        nextStep: 'Import the model again: its weights are kept, and are not fetched again.',
        data: error.data,
        cause: error,
      },
    );
  }
}

function convert(files: PromptFiles, jinja: string | null): PromptFiles {
  const fields = new FieldReader(files.config, CONFIG_FILE, {
    nextStep: 'Choose another build of the model.',
  });
  const tokenizer = readMlcTokenizer(files.tokenizer, fields);
  checkVocabulary(tokenizer.vocabularySize, fields.integer('vocab_size', 1));
  const template = recogniseTemplateOf(jinja, files.config, tokenizer);
  // WebLLM lays `conv_config` over its template.
  const { conv_config: _, ...rest } = files.config as Record<string, unknown>;
  const config = {
    ...rest,
    context_window_size: readContextLength(fields),
    // A window that slides would drop the beginning of a conversation without a word.
    sliding_window_size: -1,
    // WebLLM fails on the first token where there is none.
    repetition_penalty: rest.repetition_penalty ?? 1,
    ...describeTokenizer(tokenizer),
    tramontane: {
      version: MODEL_FILES_VERSION,
      layout: MLC_LAYOUT,
      ...describePrompts(template, tokenizer),
    },
  };
  return { config, tokenizer: tokenizer.tokenizerJson };
}

/** Where the folder sets none, that of its sliding window, or the longest that its library was built for. */
function readContextLength(fields: FieldReader): number {
  const length = (reader: FieldReader, field: string) =>
    reader.has(field) && !reader.isNull(field)
      ? Math.max(0, reader.integer(field, -1, Number.MAX_SAFE_INTEGER))
      : 0;
  const own = length(fields, 'context_window_size') || length(fields, 'sliding_window_size');
  const model = fields.has('model_config') ? fields.object('model_config') : null;
  const found = own || (model === null ? 0 : length(model, 'context_window_size'));
  if (found === 0) throw fields.invalid('context_window_size', 'a number of tokens');
  return found;
}
