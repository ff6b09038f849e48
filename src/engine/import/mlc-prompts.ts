/** What a folder in MLC's layout tells of prompts: its tokenizer, made ours, and its chat template. */
import { privatiseTokenizerJson } from '../../formats/tokenizer/privatise.ts';
import type { BuiltTokenizer } from '../../formats/tokenizer/tokenizer-json.ts';
import type { ChatTemplate } from '../../models/chat-template.ts';
import type { FieldReader } from '../../models/field-reader.ts';
import { recogniseMlcTemplate } from '../../models/mlc-template.ts';
import { recogniseTemplate, type TemplateFacts } from '../../models/recognise-template.ts';
import { parseJson, readText, type TextFolder } from './folder-text.ts';

const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const TEMPLATE_FILE = 'chat_template.jinja';

/**
 * @param text `tokenizer.json`
 * @param config `mlc-chat-config.json`, which names the ids that `tokenizer.json` does not
 * @throws TramontaneError `tokenizer-*`, `config-invalid`
 */
export function readMlcTokenizer(text: string, config: FieldReader): BuiltTokenizer {
  const isList = config.has('eos_token_id') && config.isList('eos_token_id');
  const ends = isList
    ? config.integers('eos_token_id', 0, Number.MAX_SAFE_INTEGER)
    : [config.integer('eos_token_id', 0)];
  const conversation = config.has('conv_template') && config.isObject('conv_template');
  const stops =
    conversation && config.object('conv_template').has('stop_token_ids')
      ? config.object('conv_template').integers('stop_token_ids', 0, Number.MAX_SAFE_INTEGER)
      : [];
  const [eosId] = ends;
  if (eosId === undefined) throw config.invalid('eos_token_id', 'the id of a token');
  const hasBos = config.has('bos_token_id') && !config.isNull('bos_token_id');
  return privatiseTokenizerJson(text, {
    bosId: hasBos ? config.integer('bos_token_id', 0) : null,
    eosId,
    stopTokenIds: [...new Set([...ends, ...stops])].filter((id) => id !== eosId),
  });
}

/** Hugging Face writes one template, or a list of named ones; newer models have it in a file of its own. */
export async function readChatTemplate(folder: TextFolder): Promise<string | null> {
  const file = await readText(folder, [TOKENIZER_CONFIG_FILE]);
  const value = file === null ? null : (parseJson(file) as { chat_template?: unknown } | null);
  const template = value?.chat_template;
  const list = Array.isArray(template) ? (template as ({ name?: unknown; template?: unknown } | null)[]) : [];
  const chosen = list.find((entry) => entry?.name === 'default')?.template ?? template;
  return typeof chosen === 'string' ? chosen : ((await readText(folder, [TEMPLATE_FILE]))?.text ?? null);
}

/**
 * The makers' own template counts; what MLC was told to use, where there is none.
 * @param jinja as {@link readChatTemplate} gives it
 * @param config `mlc-chat-config.json`, parsed
 * @throws TramontaneError `template-unsupported`, `config-invalid`
 */
export function recogniseTemplateOf(
  jinja: string | null,
  config: unknown,
  facts: TemplateFacts,
): ChatTemplate {
  const { conv_template: convTemplate } = config as { conv_template?: unknown };
  return jinja === null && convTemplate != null
    ? recogniseMlcTemplate(convTemplate, facts)
    : recogniseTemplate(jinja, facts);
}
