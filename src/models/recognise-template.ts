/**
 * From the Jinja text that a model's files carry to one of our templates. Jinja is never run and nothing is guessed:
 * a text that is not known to mean one of our templates is refused and shown.
 */

import { TramontaneError } from '../base/errors.ts';
import { clip } from '../base/shown.ts';
import { type ChatTemplate, checkControlTokens, type TemplateId } from './chat-template.ts';

/**
 * ChatML as SmolLM2 and many others write it, in the normal form of {@link normalise}: one loop over the messages,
 * optionally a default system prompt before it.
 */
const CHATML = new RegExp(
  [
    '^{%for message in messages%}',
    "(?:{%if loop\\.first and messages\\[0\\]\\['role'\\]!='system'%}",
    "{{'<\\|im_start\\|>system\\n([^']*)<\\|im_end\\|>\\n'}}{%endif%})?",
    "{{'<\\|im_start\\|>'\\+message\\['role'\\]\\+'\\n'\\+message\\['content'\\]\\+'<\\|im_end\\|>\\n'}}",
    '{%endfor%}',
    "{%if add_generation_prompt%}{{'<\\|im_start\\|>assistant\\n'}}{%endif%}$",
  ].join(''),
);

/** Stands for an apostrophe inside a string literal of the normal form. */
const APOSTROPHE = '\u0000';

/** A string literal that does not end goes on to the end of the text, or finding that out at each quote would take long. */
const JINJA_TOKEN = /'(?:[^'\\]|\\.)*(?:'|$)|"(?:[^"\\]|\\.)*(?:"|$)|\{%|%\}|\{\{|\}\}|\w+|\s+|./gs;

/**
 * Jinja text with everything removed that has no meaning: whitespace control and spaces outside string literals
 * (between two words one stays), the kind of quotes, literals broken in two, attributes written with a dot.
 */
function normalise(jinja: string): string {
  const pieces: string[] = [];
  let endsInWord = false;
  for (const [token] of jinja
    .replace(/\{([%{])[-+]/g, '{$1')
    .replace(/[-+]([%}])\}/g, '$1}')
    .matchAll(JINJA_TOKEN)) {
    const first = token[0]!;
    if (token.trim() === '') continue;
    if (token.length > 1 && (first === "'" || first === '"')) {
      const text = token.slice(1, -1).replaceAll('\\n', '\n').replaceAll("\\'", "'");
      pieces.push(`'${text.replaceAll("'", APOSTROPHE)}'`);
      endsInWord = false;
    } else {
      const isWord = /\w/.test(first);
      pieces.push(endsInWord && isWord ? ` ${token}` : token);
      endsInWord = isWord;
    }
  }
  return pieces
    .join('')
    .replaceAll("'+'", '')
    .replace(/\bmessage\.(role|content)\b/g, "message['$1']");
}

/** Text of a tool dialect later than v11: Magistral's and Devstral's v13 drops call ids, later ones have thoughts. */
function isLaterMistral(jinja: string): boolean {
  return jinja.includes('[THINK]') || (jinja.includes('[ARGS]') && !jinja.includes('[CALL_ID]'));
}

/** v3 and the SentencePiece builds of v7 put a space beside control tokens. */
const SPACED_CONTROL =
  /['"]\s*\[\/?(?:INST|SYSTEM_PROMPT)\]\s+['"]|['"]\s+\[\/?(?:INST|SYSTEM_PROMPT)\]\s*['"]/;

/** Templates in use are of a few thousand characters; of tens of thousands where they carry a system prompt. */
const MAX_LENGTH = 1 << 18;

function recogniseMistral(jinja: string, surfaces: ReadonlySet<string>): TemplateId | null {
  const frame = ['[INST]', '[/INST]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]'];
  if (!frame.every((surface) => jinja.includes(surface) && surfaces.has(surface))) return null;
  if (isLaterMistral(jinja) || SPACED_CONTROL.test(jinja)) return null;
  // For chat the two are alike; they write tools differently, and the vocabulary tells which tokens exist for that.
  return surfaces.has('[CALL_ID]') && surfaces.has('[ARGS]') ? 'mistral-v11' : 'mistral-v7';
}

/**
 * The template that a model's Jinja text (`tokenizer.chat_template`) stands for. Mistral's own texts carry a system
 * prompt for conversations without one; as in mistral-common it is not part of the template here, but a matter of
 * whoever composes the conversation.
 * @throws TramontaneError `template-unsupported`, with the text in `data.chatTemplate`
 */
export function recogniseTemplate(
  chatTemplate: string | null,
  facts: { controlTokens: readonly { surface: string }[] },
): ChatTemplate {
  const field = 'tokenizer.chat_template';
  if (chatTemplate === null) {
    throw new TramontaneError('template-unsupported', 'The model file carries no chat template.', {
      data: { field, chatTemplate: null },
      nextStep: 'Choose an instruction-tuned build of this model.',
    });
  }
  if (chatTemplate.length > MAX_LENGTH) {
    throw new TramontaneError(
      'template-unsupported',
      `The model's chat template has ${chatTemplate.length} characters, supported are up to ${MAX_LENGTH}.`,
      { data: { field, chatTemplate: clip(chatTemplate, 1000) } },
    );
  }
  const chatMl = CHATML.exec(normalise(chatTemplate));
  if (chatMl) {
    checkControlTokens('chatml', facts.controlTokens);
    return { id: 'chatml', defaultSystemPrompt: chatMl[1]?.replaceAll(APOSTROPHE, "'") ?? null };
  }
  const mistral = recogniseMistral(chatTemplate, new Set(facts.controlTokens.map((token) => token.surface)));
  if (mistral !== null) {
    checkControlTokens(mistral, facts.controlTokens);
    return { id: mistral, defaultSystemPrompt: null };
  }
  throw new TramontaneError(
    'template-unsupported',
    `The model's chat template is none that is known here (ChatML, Mistral v7, Mistral v11): ${chatTemplate}`,
    { data: { field, chatTemplate }, nextStep: 'Choose a build of this model with one of these templates.' },
  );
}
