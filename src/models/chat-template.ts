/**
 * Prompts, rendered by us and a whole turn at a time. A template turns messages into turns; the texts of all turns,
 * one after the other, are the prompt. Control tokens stand in it in their private form (base/control-text.ts);
 * everything that messages supply is plain text.
 *
 * Not here: tool messages and images (later issues), and trimming to the context, which the engine does on messages.
 */

import { stripPrivateForms } from '../base/control-text.ts';
import { TramontaneError } from '../base/errors.ts';

export const TEMPLATE_IDS = ['chatml', 'mistral-v3', 'mistral-v7', 'mistral-v11', 'mistral-v13'] as const;
export type TemplateId = (typeof TEMPLATE_IDS)[number];

/** What a model's config says of its template: plain data, kept with the model. */
export interface ChatTemplate {
  id: TemplateId;
  /** Used where a conversation does not begin with a system message; null where the template has none of its own. */
  defaultSystemPrompt: string | null;
}

/** A message as a caller gives it; checked here, since callers may be untyped. */
export interface TemplateMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

/** The part of a control token that templates need. */
export interface ControlForm {
  /** `[INST]` */
  surface: string;
  /** As it stands in tokenizer.json. */
  privateForm: string;
}

/**
 * A run of the prompt. `user` turns are written by the template; each begins with the terminator of the assistant
 * turn before it, and the last one ends with the generation prompt. `assistant` turns are answer text and nothing
 * else, so the KV cache of an answered conversation ends where the next `user` turn begins.
 *
 * Encode each turn by itself and join the ids: an answer's first characters must not join with the template's last
 * ones (ChatML ends the generation prompt in a line break), or a warm cache and a cold one would differ.
 */
export interface RenderedTurn {
  role: 'user' | 'assistant';
  text: string;
}

const MISTRAL_SURFACES = ['<s>', '</s>', '[INST]', '[/INST]'];
const MISTRAL_SYSTEM_SURFACES = [...MISTRAL_SURFACES, '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]'];

const REQUIRED_SURFACES: Record<TemplateId, readonly string[]> = {
  chatml: ['<|im_start|>', '<|im_end|>'],
  'mistral-v3': MISTRAL_SURFACES,
  'mistral-v7': MISTRAL_SYSTEM_SURFACES,
  'mistral-v11': MISTRAL_SYSTEM_SURFACES,
  'mistral-v13': MISTRAL_SYSTEM_SURFACES,
};

/** Control tokens that a template writes, by surface. */
export function requiredSurfaces(id: TemplateId): readonly string[] {
  return REQUIRED_SURFACES[id];
}

/** Private forms by surface. */
type Forms = (surface: string) => string;

function invalidRequest(message: string, index: number | null): TramontaneError {
  return new TramontaneError('request-invalid', message, {
    data: { field: index === null ? 'messages' : `messages[${index}]` },
  });
}

/** Messages with clean text, in the caller's order. */
function checkMessages(messages: readonly TemplateMessage[]): TemplateMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw invalidRequest('A conversation needs at least one message.', null);
  }
  const clean = (messages as readonly TemplateMessage[]).map((message, index): TemplateMessage => {
    const role: unknown = message?.role;
    const content: unknown = message?.content;
    if (role === 'tool') throw invalidRequest('Messages of role "tool" are not supported yet.', index);
    if (role !== 'system' && role !== 'user' && role !== 'assistant') {
      throw invalidRequest(
        `Unknown role ${JSON.stringify(role)}: expected system, user or assistant.`,
        index,
      );
    }
    if (typeof content !== 'string') {
      const found = Array.isArray(content) ? 'a list of parts' : content === null ? 'null' : typeof content;
      throw invalidRequest(`The content of a message must be a string, found ${found}.`, index);
    }
    return { role, content: stripPrivateForms(content) };
  });
  const last = clean.at(-1)!;
  if (last.role !== 'user') {
    throw invalidRequest(`The last message must be the user's, found ${last.role}.`, clean.length - 1);
  }
  return clean;
}

/** Collects turns: neighbouring pieces of the prompt become one user turn. */
class TurnWriter {
  readonly turns: RenderedTurn[] = [];

  prompt(text: string): void {
    const last = this.turns.at(-1);
    if (last?.role === 'user') last.text += text;
    else this.turns.push({ role: 'user', text });
  }

  answer(text: string): void {
    this.turns.push({ role: 'assistant', text });
  }
}

/** Messages of any role in any order, as SmolLM2's own template takes them; nothing is merged or trimmed. */
function renderChatMl(messages: TemplateMessage[], form: Forms, defaultSystemPrompt: string | null) {
  const writer = new TurnWriter();
  const start = form('<|im_start|>');
  const end = `${form('<|im_end|>')}\n`;
  if (defaultSystemPrompt !== null && messages[0]!.role !== 'system') {
    writer.prompt(`${start}system\n${defaultSystemPrompt}${end}`);
  }
  for (const { role, content } of messages) {
    writer.prompt(`${start}${role}\n`);
    if (role === 'assistant') writer.answer(content);
    else writer.prompt(content);
    writer.prompt(end);
  }
  writer.prompt(`${start}assistant\n`);
  return writer.turns;
}

interface MistralConversation {
  /** Texts of the system messages, or the default one. */
  system: string[];
  /** The others; neighbours of one role are one, their non-empty texts joined by an empty line. */
  turns: TemplateMessage[];
}

/** What all versions of Mistral's templates have in common. System messages come first. */
function readMistral(messages: TemplateMessage[], defaultSystemPrompt: string | null): MistralConversation {
  const systemCount = messages.findIndex(({ role }) => role !== 'system');
  const late = messages.findIndex(({ role }, index) => role === 'system' && index > systemCount);
  if (late >= 0) throw invalidRequest('System messages must come before all others.', late);
  const system = messages.slice(0, systemCount).map(({ content }) => content);
  if (system.length === 0 && defaultSystemPrompt !== null) system.push(defaultSystemPrompt);

  const groups: { role: TemplateMessage['role']; texts: string[] }[] = [];
  for (const { role, content } of messages.slice(systemCount)) {
    if (groups.at(-1)?.role !== role) groups.push({ role, texts: [] });
    if (content !== '') groups.at(-1)!.texts.push(content);
  }
  return { system, turns: groups.map(({ role, texts }) => ({ role, content: texts.join('\n\n') })) };
}

/**
 * User messages and answers, as mistral-common writes them in every version.
 *
 * Trailing spaces of an answer are dropped, as the reference does. Where a model did generate some, the text of the
 * turn differs from what the KV cache holds, and the end of the answer is computed again.
 *
 * Differs from the reference on purpose: an empty answer is rendered (it refuses it), because an answer stopped
 * before its first token must not end the conversation.
 */
function writeMistralTurns(
  writer: TurnWriter,
  form: Forms,
  turns: readonly TemplateMessage[],
): RenderedTurn[] {
  for (const { role, content } of turns) {
    if (role === 'user') {
      writer.prompt(`${form('[INST]')}${content}${form('[/INST]')}`);
    } else {
      writer.answer(content.replace(/ +$/, ''));
      writer.prompt(form('</s>'));
    }
  }
  return writer.turns;
}

/**
 * As mistral-common renders v3 without tools. There is no place for a system prompt: it stands before the text of the
 * last user message, so with one, a longer conversation does not begin with the tokens of the shorter one.
 */
function renderMistralV3({ system, turns }: MistralConversation, form: Forms): RenderedTurn[] {
  const writer = new TurnWriter();
  writer.prompt(form('<s>'));
  const last = turns.at(-1)!;
  const texts = [...system.filter((text) => text !== ''), last.content];
  return writeMistralTurns(writer, form, [
    ...(turns[0]!.role === 'user' ? [] : [{ role: 'user' as const, content: '' }]),
    ...turns.slice(0, -1),
    { role: 'user', content: texts.join('\n\n') },
  ]);
}

/** As mistral-common renders v7, v11 and v13 without tools: every system message keeps a block of its own. */
function renderMistral({ system, turns }: MistralConversation, form: Forms): RenderedTurn[] {
  const writer = new TurnWriter();
  writer.prompt(form('<s>'));
  for (const text of system) writer.prompt(`${form('[SYSTEM_PROMPT]')}${text}${form('[/SYSTEM_PROMPT]')}`);
  return writeMistralTurns(writer, form, turns);
}

/**
 * The prompt for an answer to `messages`, as turns user, assistant, user, … user. Text of messages passes untouched
 * but for U+0001, and control tokens' surfaces in it stay text.
 * @throws TramontaneError `request-invalid` (`data.field` names the message) for a conversation that the template
 * cannot express; `template-unsupported` where the vocabulary lacks a control token of the template.
 */
export function renderConversation(
  template: ChatTemplate,
  messages: readonly TemplateMessage[],
  controlTokens: readonly ControlForm[],
): RenderedTurn[] {
  const forms = new Map(controlTokens.map(({ surface, privateForm }) => [surface, privateForm]));
  const form: Forms = (surface) => {
    const found = forms.get(surface);
    if (found === undefined) throw missingControlToken(template.id, surface);
    return found;
  };
  const clean = checkMessages(messages);
  switch (template.id) {
    case 'chatml':
      return renderChatMl(clean, form, template.defaultSystemPrompt);
    case 'mistral-v3':
      return renderMistralV3(readMistral(clean, template.defaultSystemPrompt), form);
    case 'mistral-v7':
    case 'mistral-v11':
    case 'mistral-v13':
      return renderMistral(readMistral(clean, template.defaultSystemPrompt), form);
    default:
      template.id satisfies never;
      throw new TramontaneError('template-unsupported', `Unknown chat template "${template.id}".`);
  }
}

function missingControlToken(id: TemplateId, surface: string): TramontaneError {
  return new TramontaneError(
    'template-unsupported',
    `The chat template ${id} needs the control token ${surface}, which this model's vocabulary does not have.`,
    { data: { field: 'control_tokens', template: id, controlToken: surface } },
  );
}

/** @throws TramontaneError `template-unsupported` where the vocabulary lacks a control token that `id` writes. */
export function checkControlTokens(id: TemplateId, controlTokens: readonly { surface: string }[]): void {
  const surfaces = new Set(controlTokens.map((token) => token.surface));
  const missing = REQUIRED_SURFACES[id].find((surface) => !surfaces.has(surface));
  if (missing !== undefined) throw missingControlToken(id, missing);
}
