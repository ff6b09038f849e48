import { expect, test } from 'vitest';
import { readFixture } from '../../tests/tools/tokenizer-fixtures.ts';
import { isTramontaneError } from '../base/errors.ts';
import { recogniseTemplate } from './recognise-template.ts';

const tokens = (...surfaces: string[]) => ({ controlTokens: surfaces.map((surface) => ({ surface })) });
const chatMlTokens = tokens('<|endoftext|>', '<|im_start|>', '<|im_end|>');
const v7 = ['<s>', '</s>', '[INST]', '[/INST]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]', '[TOOL_CALLS]'];
const v7Tokens = tokens(...v7);
const v11Tokens = tokens(...v7, '[ARGS]', '[CALL_ID]');
const { smollm2Jinja } = readFixture<{ smollm2Jinja: string }>('template-goldens.json');

/** A text of our own with the frame that Mistral Small's have: macros, a default system prompt, quotes of both kinds. */
const mistralJinja = `
{%- set default_system_message = "You are a model. It's today." %}
{{- bos_token }}
{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}
{%- else %}{%- set system_message = default_system_message %}{%- endif %}
{{- "[SYSTEM_PROMPT]" + system_message + "[/SYSTEM_PROMPT]" }}
{%- for message in loop_messages %}
  {%- if message["role"] == "user" %}{{- "[INST]" + message["content"] + "[/INST]" }}
  {%- else %}{{- message["content"] + eos_token }}{%- endif %}
{%- endfor %}`;

const plainChatMl =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

test('SmolLM2’s text is ChatML with its default system prompt', () => {
  expect(recogniseTemplate(smollm2Jinja, chatMlTokens)).toEqual({
    id: 'chatml',
    defaultSystemPrompt: 'You are a helpful AI assistant named SmolLM, trained by Hugging Face',
  });
});

test('layout and quotes make no difference', () => {
  const spread = smollm2Jinja
    .replaceAll('{%', '\n  {%- ')
    .replaceAll('%}', ' -%}')
    .replaceAll("message['content']", 'message.content')
    .replaceAll("'<|im_end|>' + '\\n'", '"<|im_end|>\\n"')
    .replace('You are', "It\\'s");
  expect(recogniseTemplate(spread, chatMlTokens)).toEqual({
    id: 'chatml',
    defaultSystemPrompt: "It's a helpful AI assistant named SmolLM, trained by Hugging Face",
  });
});

test('ChatML without a default system prompt', () => {
  expect(recogniseTemplate(plainChatMl, chatMlTokens)).toEqual({ id: 'chatml', defaultSystemPrompt: null });
});

test('Mistral v7 and v11 are told apart by the vocabulary', () => {
  expect(recogniseTemplate(mistralJinja, v7Tokens)).toEqual({ id: 'mistral-v7', defaultSystemPrompt: null });
  expect(recogniseTemplate(mistralJinja, v11Tokens)).toEqual({
    id: 'mistral-v11',
    defaultSystemPrompt: null,
  });
});

test.each<[string, string | null, { controlTokens: { surface: string }[] }]>([
  ['no text', null, chatMlTokens],
  ['empty text', '', chatMlTokens],
  ['ChatML that does more', smollm2Jinja.replace('{% endfor %}', '<think>{% endfor %}'), chatMlTokens],
  [
    'ChatML that trims',
    smollm2Jinja.replace("message['content']", "message['content'] | trim"),
    chatMlTokens,
  ],
  ['ChatML without the tokens', smollm2Jinja, v7Tokens],
  ['Mistral without the tokens', mistralJinja, chatMlTokens],
  ['Mistral v3', mistralJinja.replaceAll(/\[\/?SYSTEM_PROMPT\]/g, ''), v7Tokens],
  ['Mistral with spaces', mistralJinja.replace('"[INST]"', '"[INST] "'), v7Tokens],
  ['Mistral with spaces before', mistralJinja.replace('"[/INST]"', "' [/INST]'"), v7Tokens],
  ['Magistral', `${mistralJinja}{{ '[THINK]' }}`, v11Tokens],
  ['Mistral v13', `${mistralJinja}{{ '[TOOL_CALLS]' + name + '[ARGS]' }}`, v11Tokens],
  ['Llama 3', "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>' }}", v11Tokens],
])('%s is refused and shown', (_, text, facts) => {
  try {
    recogniseTemplate(text, facts);
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    expect(error.code).toBe('template-unsupported');
    if (text !== null && text !== smollm2Jinja) expect(error.data.chatTemplate).toBe(text);
    return;
  }
  expect.unreachable('nothing was thrown');
});

test.each([
  ['escapes in a literal without an end', `'${"\\\\'".repeat(120_000)}`],
  ['a long literal', `'${'a'.repeat(250_000)}'`],
  ['single characters', '+'.repeat(250_000)],
  ['words', 'a '.repeat(125_000)],
  ['quotes before spaces', `'${' '.repeat(100)}`.repeat(2000)],
])('%s: long texts are refused in time that grows with their length', (_, text) => {
  expect(() => recogniseTemplate(text, v11Tokens)).toThrow(
    expect.objectContaining({ code: 'template-unsupported' }),
  );
});

test('a text beyond all lengths is not looked at', () => {
  expect(() => recogniseTemplate('x'.repeat(4 << 20), v11Tokens)).toThrow(
    expect.objectContaining({ message: expect.stringContaining('4194304 characters') }),
  );
});
