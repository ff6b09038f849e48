/**
 * From the `conv_template` of an `mlc-chat-config.json` to one of our templates. MLC describes a template by its pieces:
 * what stands before the text of each role, between role and text, and after a turn. The fields:
 * https://github.com/mlc-ai/mlc-llm/blob/main/python/mlc_llm/protocol/conversation_protocol.py
 */
import { shown } from '../base/shown.ts';
import { type ChatTemplate, checkControlTokens, type TemplateId } from './chat-template.ts';
import { FieldReader } from './field-reader.ts';
import { CONFIG_FILE } from './model-files.ts';
import { MAX_TEMPLATE_LENGTH, type TemplateFacts, unknownTemplate } from './recognise-template.ts';

/** MLC's names. All templates of Mistral's write questions and answers alike: only the name tells which it is. */
const NAMES: ReadonlyMap<string, TemplateId> = new Map([
  ['chatml', 'chatml'],
  ['mistral_default', 'mistral-v3'],
  ['ministral3', 'mistral-v13'],
]);

/** A question and its answer, as the pieces write them. */
const CHATML_TURNS =
  '<|im_start|>user\n{user_message}<|im_end|>\n<|im_start|>assistant\n{assistant_message}<|im_end|>\n';
const CHATML_SYSTEM = '<|im_start|>system\n{system_message}<|im_end|>\n';
/** Without the spaces that MLC has, and Mistral has not, and without the marks of beginning and end, which it may lack. */
const MISTRAL_TURNS = '[INST]{user_message}[/INST]{assistant_message}';

const FIELD = 'conv_template';

/**
 * The template that `conv_template` stands for: an object, or a name alone. An object goes by what its pieces write,
 * where it has them; among Mistral's templates also by its name. The system prompt of MLC's own templates for Mistral
 * is not kept.
 * @throws TramontaneError `template-unsupported` where it is none that is known (it is shown in the message, and up to
 * 4,000 characters of it are in `data.chatTemplate`), or where the vocabulary is not that of the template;
 * `config-invalid` for a piece of another type
 */
export function recogniseMlcTemplate(
  convTemplate: unknown,
  { controlTokens }: Pick<TemplateFacts, 'controlTokens'>,
): ChatTemplate {
  const refusal = (what: string) => unknownTemplate(what, shown(convTemplate, 4000), FIELD);
  const fields = new FieldReader(
    typeof convTemplate === 'string' ? { name: convTemplate } : convTemplate,
    CONFIG_FILE,
    {
      path: FIELD,
      nextStep: 'Choose another build of the model.',
    },
  );
  const id = recognise(fields);
  if (id === null) throw refusal(`is none that is known here (${[...NAMES.keys()].join(', ')})`);
  checkControlTokens(id, controlTokens);
  // Models of v7 and later are converted with MLC's template for v3 too, which has no place for a system prompt.
  if (id === 'mistral-v3' && controlTokens.some(({ surface }) => surface === '[SYSTEM_PROMPT]')) {
    throw refusal('is that of Mistral v3, but the vocabulary, with [SYSTEM_PROMPT], is of a later version');
  }
  return { id, defaultSystemPrompt: id === 'chatml' ? readSystemPrompt(fields) : null };
}

function recognise(fields: FieldReader): TemplateId | null {
  const named = NAMES.get(fields.has('name') ? fields.string('name') : '') ?? null;
  if (!fields.has('roles')) return named;
  if (!fields.has('seps')) return null;
  const turns = writeTurns(fields);
  if (turns === CHATML_TURNS) {
    const system = fields.has('system_template') ? fields.string('system_template') : CHATML_SYSTEM;
    return system === CHATML_SYSTEM ? 'chatml' : null;
  }
  return turns.replace(/ |<\/?s>/g, '') === MISTRAL_TURNS && named !== 'chatml' ? named : null;
}

function writeTurns(fields: FieldReader): string {
  const roles = fields.object('roles');
  const templates = fields.has('role_templates') ? fields.object('role_templates') : null;
  const between = fields.has('role_content_sep') ? fields.string('role_content_sep') : '';
  const separators = fields.strings('seps');
  const turn = (role: 'user' | 'assistant', separator = '') => {
    const template = templates?.has(role) ? templates.string(role) : `{${role}_message}`;
    return roles.string(role) + between + template + separator;
  };
  // One separator stands for both.
  return turn('user', separators[0]) + turn('assistant', separators.at(-1));
}

function readSystemPrompt(fields: FieldReader): string | null {
  if (!fields.has('system_message')) return null;
  const prompt = fields.string('system_message');
  if (prompt.length > MAX_TEMPLATE_LENGTH) {
    throw fields.invalid('system_message', `a text of at most ${MAX_TEMPLATE_LENGTH} characters`);
  }
  return prompt === '' ? null : prompt;
}
