/**
 * From what a model's files say of their chat template to one of ours. Nothing is guessed: a Jinja text is run on a few
 * short conversations, and must write them exactly as our template does. Any other is refused and shown.
 */

import { privateForm } from '../base/control-text.ts';
import { TramontaneError } from '../base/errors.ts';
import { clip } from '../base/shown.ts';
import {
  type ChatTemplate,
  checkControlTokens,
  renderConversation,
  requiredSurfaces,
  type TemplateId,
  type TemplateMessage,
} from './chat-template.ts';
import { JinjaError, JinjaRefusal } from './jinja/jinja-error.ts';
import { parseJinja, type Statement } from './jinja/jinja-parser.ts';
import { runJinja } from './jinja/run-jinja.ts';

/** What a model's vocabulary tells of its templates. */
export interface TemplateFacts {
  controlTokens: readonly { id: number; surface: string }[];
  bosId: number | null;
  eosId: number;
  /** True where the tokenizer puts a space before text after a control token: Jinja texts then write it. */
  addsSpacePrefix: boolean;
}

const FIELD = 'tokenizer.chat_template';
const KNOWN = 'ChatML, Mistral v3, v7, v11, v13';

/** Templates in use are of a few thousand characters; of tens of thousands where they carry a system prompt. */
export const MAX_TEMPLATE_LENGTH = 1 << 18;

const user = (content: string): TemplateMessage => ({ role: 'user', content });
const assistant = (content: string): TemplateMessage => ({ role: 'assistant', content });
const system = (content: string): TemplateMessage => ({ role: 'system', content });

/** Conversations that all known templates can express, with spaces at the ends that some would cut off. */
const PROBES: readonly (readonly TemplateMessage[])[] = [
  [user('first')],
  [user('\tone <two>\n '), assistant('\nthree & "four"'), user(' five\n')],
  [system('Rules. \n'), user("It's six")],
  [system(' S'), user('A\n\nB'), assistant("c'd"), user('E'), assistant('f'), user(' G ')],
];

/** Stands for the default system prompt of a template while it is looked for. */
const DEFAULT_MARK = '\u0003';

/** A text's control tokens and the space after them, as Jinja texts write them. */
type Frame = (
  id: TemplateId,
  messages: readonly TemplateMessage[],
  defaultSystemPrompt: string | null,
) => string;

const PRIVATE_FORM = new RegExp(privateForm(0).replace('0', '(\\d+)'));

/** @param space what stands between a control token and the text after it */
function frame(space: string): Frame {
  return (id, messages, defaultSystemPrompt) => {
    const surfaces = requiredSurfaces(id);
    const controls = surfaces.map((surface, i) => ({ surface, privateForm: privateForm(i) }));
    const turns = renderConversation({ id, defaultSystemPrompt }, messages, controls);
    // Every second part is the number of a control token.
    const [start, ...parts] = turns
      .map((turn) => turn.text)
      .join('')
      .split(PRIVATE_FORM);
    const written = parts.map((part, i) => (i % 2 === 0 ? surfaces[Number(part)]! : part && space + part));
    return [start, ...written].join('');
  };
}

/** The first text that was published with Mistral 7B v0.3 has the spaces of v1: one before `[/INST]`, none after. */
const earlyV3: Frame = (id, messages, defaultSystemPrompt) =>
  frame('')(id, messages, defaultSystemPrompt)
    .replaceAll('[INST]', '[INST] ')
    .replaceAll('[/INST]', ' [/INST]');

interface Candidate {
  id: TemplateId;
  frame: Frame;
  /** True where the text may refuse system messages, which our template has a way to write. */
  mayRefuseSystem: boolean;
}

function listCandidates(facts: TemplateFacts): Candidate[] {
  const usual = frame(facts.addsSpacePrefix ? ' ' : '');
  const surfaces = new Set(facts.controlTokens.map((token) => token.surface));
  return [
    { id: 'chatml', frame: usual, mayRefuseSystem: false },
    { id: 'mistral-v7', frame: usual, mayRefuseSystem: false },
    { id: 'mistral-v3', frame: usual, mayRefuseSystem: true },
    // Only a vocabulary of v3 tells that it is not v1, which writes `[INST]` in plain text.
    ...(facts.addsSpacePrefix && surfaces.has('[INST]') && surfaces.has('[TOOL_CALLS]')
      ? [{ id: 'mistral-v3' as const, frame: earlyV3, mayRefuseSystem: true }]
      : []),
  ];
}

/** What the template writes for each probe; null where it refuses one. */
type Written = readonly (string | null)[];

/** Any day will do: a default system prompt that has one is not kept. */
const TODAY: Readonly<Record<string, string>> = {
  ...{ Y: '2025', y: '25', m: '06', d: '15', B: 'June', b: 'Jun', A: 'Sunday', a: 'Sun', j: '166' },
  ...{ H: '12', I: '12', M: '00', S: '00', p: 'PM', '%': '%' },
};

function runProbes(
  statements: readonly Statement[],
  facts: TemplateFacts,
): { written: Written; usesDate: boolean } {
  const surfaceOf = (id: number | null) => facts.controlTokens.find((token) => token.id === id)?.surface;
  let usesDate = false;
  const strftimeNow = ([format]: readonly unknown[]) => {
    usesDate = true;
    if (typeof format !== 'string') throw new JinjaError('a date needs a format');
    return format.replace(/%(.)/g, (_, letter: string) => TODAY[letter] ?? '');
  };
  const written = PROBES.map((messages) => {
    try {
      return runJinja(statements, {
        messages,
        add_generation_prompt: true,
        bos_token: surfaceOf(facts.bosId),
        eos_token: surfaceOf(facts.eosId),
        tools: null,
        documents: null,
        strftime_now: strftimeNow,
      });
    } catch (error) {
      if (error instanceof JinjaRefusal) return null;
      throw error;
    }
  });
  return { written, usesDate };
}

/**
 * Whether a template writes what a candidate does. Conversations without a system message may have a default one.
 * @returns the default system prompt, null for none; undefined where the two differ
 */
function compare(
  written: Written,
  { id, frame: expected, mayRefuseSystem }: Candidate,
): string | null | undefined {
  let found: string | null | undefined;
  for (const [i, messages] of PROBES.entries()) {
    const text = written[i]!;
    const hasSystem = messages[0]!.role === 'system';
    if (text === null) {
      if (!(hasSystem && mayRefuseSystem)) return undefined;
      continue;
    }
    const isPlain = text === expected(id, messages, null);
    if (hasSystem) {
      if (!isPlain) return undefined;
      continue;
    }
    const prompt = isPlain ? null : findDefault(text, expected(id, messages, DEFAULT_MARK));
    if (prompt === undefined || (found !== undefined && found !== prompt)) return undefined;
    found = prompt;
  }
  return found;
}

/** Some texts put no space before a default prompt, where they do before a given one; that prompt is not kept. */
function findDefault(text: string, expected: string): string | undefined {
  const [before, after] = expected.replace(` ${DEFAULT_MARK}`, DEFAULT_MARK).split(DEFAULT_MARK) as [
    string,
    string,
  ];
  if (text.length < before.length + after.length) return undefined;
  if (!text.startsWith(before) || !text.endsWith(after)) return undefined;
  return text.slice(before.length, text.length - after.length);
}

/** Versions that write conversations alike differ in how they write tools. */
function versionOf(jinja: string, facts: TemplateFacts): TemplateId {
  // v13 drops call ids.
  if (jinja.includes('[ARGS]') && !jinja.includes('[CALL_ID]')) return 'mistral-v13';
  const surfaces = new Set(facts.controlTokens.map((token) => token.surface));
  return surfaces.has('[CALL_ID]') && surfaces.has('[ARGS]') ? 'mistral-v11' : 'mistral-v7';
}

function recognise(jinja: string, facts: TemplateFacts): ChatTemplate | null {
  // Models that think write their thoughts between these, which our templates know nothing of.
  if (jinja.includes('[THINK]')) return null;
  const { written, usesDate } = runProbes(parseJinja(jinja), facts);
  for (const candidate of listCandidates(facts)) {
    const defaultSystemPrompt = compare(written, candidate);
    if (defaultSystemPrompt === undefined) continue;
    if (candidate.id === 'chatml') {
      // A date would be today's for ever.
      return usesDate && defaultSystemPrompt !== null ? null : { id: 'chatml', defaultSystemPrompt };
    }
    const id = candidate.id === 'mistral-v7' ? versionOf(jinja, facts) : candidate.id;
    return { id, defaultSystemPrompt: null };
  }
  return null;
}

/**
 * The template that a model's Jinja text (`tokenizer.chat_template`) stands for. Mistral's own texts carry a system
 * prompt for conversations without one; as in mistral-common it is not part of the template here, but a matter of
 * whoever composes the conversation.
 * @throws TramontaneError `template-unsupported`, with the beginning of the text in its message and, up to 4,000
 * characters, in `data.chatTemplate`
 */
export function recogniseTemplate(chatTemplate: string | null, facts: TemplateFacts): ChatTemplate {
  if (chatTemplate === null) {
    throw new TramontaneError('template-unsupported', 'The model file carries no chat template.', {
      data: { field: FIELD, chatTemplate: null },
      nextStep: 'Choose an instruction-tuned build of this model.',
    });
  }
  if (chatTemplate.length > MAX_TEMPLATE_LENGTH) {
    throw unknownTemplate(
      `has ${chatTemplate.length} characters, supported are up to ${MAX_TEMPLATE_LENGTH}`,
      chatTemplate,
    );
  }
  let template: ChatTemplate | null;
  try {
    template = recognise(chatTemplate, facts);
  } catch (error) {
    if (!(error instanceof JinjaError)) throw error;
    throw unknownTemplate(`cannot be run here: ${error.message}`, chatTemplate);
  }
  if (template === null) throw unknownTemplate(`is none that is known here (${KNOWN})`, chatTemplate);
  checkControlTokens(template.id, facts.controlTokens);
  return template;
}

/** Shows the text's beginning, and carries more of it in its data. */
export function unknownTemplate(what: string, chatTemplate: string, field = FIELD): TramontaneError {
  return new TramontaneError(
    'template-unsupported',
    `The model's chat template ${what}. It begins: ${clip(chatTemplate.trimStart(), 300)}`,
    {
      data: { field, chatTemplate: clip(chatTemplate, 4000) },
      nextStep: 'Choose a build of this model with one of the known templates.',
    },
  );
}
