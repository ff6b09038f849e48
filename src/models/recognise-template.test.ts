import { describe, expect, test } from 'vitest';
import { readFixture } from '../../tests/tools/tokenizer-fixtures.ts';
import { isTramontaneError } from '../base/errors.ts';
import { recogniseTemplate, type TemplateFacts } from './recognise-template.ts';

const vocabulary = (addsSpacePrefix: boolean, surfaces: string[]): TemplateFacts => ({
  controlTokens: surfaces.map((surface, id) => ({ id, surface })),
  bosId: 1,
  eosId: 2,
  addsSpacePrefix,
});
const v3Surfaces = ['<unk>', '<s>', '</s>', '[INST]', '[/INST]', '[TOOL_CALLS]', '[AVAILABLE_TOOLS]'];
const v7Surfaces = [...v3Surfaces, '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]'];
const chatMlTokens = vocabulary(false, ['<|endoftext|>', '<|im_start|>', '<|im_end|>']);
const v1Spm = vocabulary(true, ['<unk>', '<s>', '</s>']);
const v3Spm = vocabulary(true, v3Surfaces);
const v7Spm = vocabulary(true, v7Surfaces);
const v3Tokens = vocabulary(false, v3Surfaces);
const v7Tokens = vocabulary(false, v7Surfaces);
const v11Tokens = vocabulary(false, [...v7Surfaces, '[ARGS]', '[CALL_ID]']);
const { smollm2Jinja } = readFixture<{ smollm2Jinja: string }>('template-goldens.json');

// Texts of our own, which behave as the published ones do.

const plainChatMl =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Mistral Small's: a default system prompt with a date, contents in parts, tools, checks of the order. */
const smallJinja = `
{%- set today = strftime_now("%d.%m.%Y") %}
{%- set fallback = "You are a model.\\nIt's " + today + "; say \\"no\\"." %}
{{- bos_token }}
{%- if messages[0]["role"] == "system" %}
  {%- set prompt = messages[0]["content"] if messages[0]["content"] is string else messages[0]["content"][0]["text"] %}
  {%- set rest = messages[1:] %}
{%- else %}
  {%- set prompt = fallback %}
  {%- set rest = messages %}
{%- endif %}
{{- "[SYSTEM_PROMPT]" + prompt + "[/SYSTEM_PROMPT]" }}
{%- set asked = rest | selectattr("role", "equalto", "user") | list %}
{%- for message in rest if message.role != "tool" and not message.get("tool_calls") %}
  {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}{{ raise_exception("Take turns!") }}{%- endif %}
{%- endfor %}
{%- for message in rest %}
  {%- if message["role"] == "user" %}
    {%- if tools is defined and tools is not none and message == asked[-1] %}
      {{- "[AVAILABLE_TOOLS] " + tools | tojson + "[/AVAILABLE_TOOLS]" }}
    {%- endif %}
    {%- if message.content is string %}
      {{- "[INST]" + message.content + "[/INST]" }}
    {%- else %}
      {{- "[INST]" }}{%- for part in message.content %}{{- part.text }}{%- endfor %}{{- "[/INST]" }}
    {%- endif %}
  {%- elif message.tool_calls is defined %}
    {{- "[TOOL_CALLS] [" }}
    {%- for call in message.tool_calls %}{{- (call.function | tojson)[:-1] + ', "id": "' + call.id[-9:] + '"}' }}{%- endfor %}
    {{- "]" + eos_token }}
  {%- elif message["role"] == "assistant" %}
    {{- message["content"] + eos_token }}
  {%- else %}
    {{- raise_exception("No such role") }}
  {%- endif %}
{%- endfor %}
`;

/** As mistral-common's generator builds them: macros, namespaces, neighbours joined; no default system prompt. */
const generatedJinja = `
{#- Begin. #}
{{- bos_token }}
{%- macro content_of(content, what) -%}
  {%- if content is string -%}{{- content -}}
  {%- elif content -%}{%- for block in content -%}{{- block['text'] -}}{%- endfor -%}
  {%- else -%}{{- raise_exception(what ~ ' is empty') -}}{%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(joined=[], group=[], role=none) %}
{%- for message in messages + [{'role': '__end__'}] %}
  {%- if message['role'] != ns.role or message['role'] == 'system' %}
    {%- if ns.role is not none %}
      {%- set ns.joined = ns.joined + [{'role': ns.role, 'content': ns.group | map(attribute='content') | join('\\n\\n')}] %}
    {%- endif %}
    {%- set ns.group = [message] %}{%- set ns.role = message['role'] %}
  {%- else %}
    {%- set ns.group = ns.group + [message] %}
  {%- endif %}
{%- endfor %}
{%- for message in ns.joined %}
  {%- if message['role'] == 'user' %}
    {{- '[INST]' -}}{{- content_of(content=message['content'], what='A question') -}}{{- '[/INST]' }}
  {%- elif message['role'] == 'assistant' %}
    {{- content_of(message['content'], 'An answer') }}
    {%- for tool in message['tool_calls'] or [] %}{{- '[TOOL_CALLS]' ~ tool.name ~ '[CALL_ID]' ~ tool.id ~ '[ARGS]' ~ tool.arguments }}{%- endfor %}
    {{- eos_token }}
  {%- elif message['role'] == 'system' %}
    {{- '[SYSTEM_PROMPT]' -}}{{- content_of(message['content'], 'A system prompt') -}}{{- '[/SYSTEM_PROMPT]' -}}
  {%- endif %}
{%- endfor %}
`;
/** Ministral 3 drops call ids. */
const ministralJinja = generatedJinja.replace("'[CALL_ID]' ~ tool.id ~ ", '');

/** Mistral 7B v0.3's: SentencePiece's spaces, the system prompt before the last question. */
const v3SpmJinja = `
{%- if messages[0]['role'] == 'system' %}
  {%- set prompt = messages[0]['content'] %}{%- set rest = messages[1:] %}
{%- else %}
  {%- set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in rest %}
  {%- if message['role'] == 'user' %}
    {%- if loop.last and prompt is defined %}
      {{- '[INST] ' + prompt + '\\n\\n' + message['content'] + '[/INST]' }}
    {%- else %}
      {{- '[INST] ' + message['content'] + '[/INST]' }}
    {%- endif %}
  {%- elif message['role'] == 'assistant' %}
    {{- ' ' + message['content'] + eos_token }}
  {%- else %}
    {{- raise_exception('Only two may speak') }}
  {%- endif %}
{%- endfor %}
`;
/** Ministral 8B's and Nemo's: the same over Tekken, without spaces. */
const v3TekkenJinja = v3SpmJinja.replaceAll("'[INST] '", "'[INST]'").replace("' ' + ", '');

/** The first of Mistral 7B v0.3: the spaces of v1, no system messages. */
const earlyV3Jinja =
  "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Take turns') }}{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}";

describe('recognised', () => {
  test.each<[string, string, TemplateFacts, string]>([
    ['Mistral Small 3.1', smallJinja, v7Tokens, 'mistral-v7'],
    ['Mistral Small 3.2: the vocabulary tells', smallJinja, v11Tokens, 'mistral-v11'],
    ['Mistral Small, generated', generatedJinja, v11Tokens, 'mistral-v11'],
    ['Ministral 3', ministralJinja, v11Tokens, 'mistral-v13'],
    ['Ministral 8B', v3TekkenJinja, v3Tokens, 'mistral-v3'],
    ['Mistral 7B v0.3', v3SpmJinja, v3Spm, 'mistral-v3'],
    ['Mistral 7B v0.3, the first text', earlyV3Jinja, v3Spm, 'mistral-v3'],
    [
      'Mistral v7 over SentencePiece',
      generatedJinja
        .replaceAll("'[INST]'", "'[INST] '")
        .replaceAll("'[SYSTEM_PROMPT]'", "'[SYSTEM_PROMPT] '")
        .replace("{{- content_of(message['content'], 'An answer') }}", "{{- ' ' ~ message['content'] }}"),
      v7Spm,
      'mistral-v7',
    ],
    ['ChatML', plainChatMl, chatMlTokens, 'chatml'],
  ])('%s', (_, text, facts, id) => {
    expect(recogniseTemplate(text, facts)).toEqual({ id, defaultSystemPrompt: null });
  });

  test('SmolLM2’s text is ChatML with its default system prompt', () => {
    expect(recogniseTemplate(smollm2Jinja, chatMlTokens)).toEqual({
      id: 'chatml',
      defaultSystemPrompt: 'You are a helpful AI assistant named SmolLM, trained by Hugging Face',
    });
  });

  test('layout, order and quotes make no difference', () => {
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
    const turned = `{%- for m in messages -%}
      {%- if m.role == 'assistant' -%}{{ m.content ~ eos_token }}
      {%- elif m.role == 'system' -%}{{ bos_token if loop.first }}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]
      {%- elif m.role == 'user' -%}{{ bos_token if loop.first }}[INST]{{ m.content }}[/INST]
      {%- endif -%}
    {%- endfor -%}`;
    expect(recogniseTemplate(turned, v7Tokens).id).toBe('mistral-v7');
  });
});

describe('refused and shown', () => {
  test.each<[string, string | null, TemplateFacts]>([
    ['no text', null, chatMlTokens],
    ['empty text', '', chatMlTokens],
    ['text that is no Jinja', '{% for', chatMlTokens],
    ['Jinja that is not known here', '{% include "x" %}', chatMlTokens],
    ['ChatML that does more', smollm2Jinja.replace('{% endfor %}', '<think>{% endfor %}'), chatMlTokens],
    [
      'ChatML that trims',
      smollm2Jinja.replace("message['content']", "message['content'] | trim"),
      chatMlTokens,
    ],
    [
      'ChatML without a generation prompt',
      plainChatMl.replace('add_generation_prompt', 'false'),
      chatMlTokens,
    ],
    [
      'ChatML with a date in its system prompt',
      `{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nIt is ' + strftime_now('%Y') + '<|im_end|>\\n' }}{% endif %}${plainChatMl}`,
      chatMlTokens,
    ],
    [
      'ChatML that refuses system messages',
      `{% if messages[0].role == 'system' %}{{ raise_exception('No') }}{% endif %}${plainChatMl}`,
      chatMlTokens,
    ],
    ['ChatML without the tokens', smollm2Jinja, v7Tokens],
    [
      'ChatML over SentencePiece',
      plainChatMl,
      vocabulary(true, ['<|endoftext|>', '<|im_start|>', '<|im_end|>']),
    ],
    ['Mistral without the tokens', smallJinja, chatMlTokens],
    ['Mistral v7 over v3’s vocabulary', generatedJinja, v3Tokens],
    ['Mistral v1, which has the same text as the first v0.3', earlyV3Jinja, v1Spm],
    ['the first v0.3 over Tekken', earlyV3Jinja, v3Tokens],
    ['v3 for SentencePiece over Tekken', v3SpmJinja, v3Tokens],
    ['v3 for Tekken over SentencePiece', v3TekkenJinja, v3Spm],
    [
      'v3 with the system prompt before the first question',
      v3SpmJinja.replace('loop.last', 'loop.first'),
      v3Spm,
    ],
    ['v3 that joins the system prompt by one line break', v3TekkenJinja.replace('\\n\\n', '\\n'), v3Tokens],
    ['Mistral with spaces', smallJinja.replaceAll('"[INST]"', '"[INST] "'), v7Tokens],
    ['Mistral with spaces before', smallJinja.replaceAll('"[/INST]"', '" [/INST]"'), v7Tokens],
    [
      'Mistral that trims',
      smallJinja.replace('+ message.content +', '+ message.content.strip() +'),
      v7Tokens,
    ],
    ['Mistral without BOS', smallJinja.replace('{{- bos_token }}', ''), v7Tokens],
    ['Mistral without EOS', smallJinja.replace('["content"] + eos_token', '["content"]'), v7Tokens],
    ['Mistral that adds to questions', smallJinja.replace('"[INST]" +', '"[INST]Please: " +'), v7Tokens],
    ['Mistral that drops earlier turns', smallJinja.replaceAll('in rest', 'in rest[-1:]'), v7Tokens],
    [
      'model settings, as v15 writes them',
      generatedJinja.replace('{{- bos_token }}', "{{- bos_token ~ '[MODEL_SETTINGS]{}[/MODEL_SETTINGS]' }}"),
      v11Tokens,
    ],
    ['a model that thinks', `${smallJinja}{% if false %}[THINK]{% endif %}`, v11Tokens],
    ['a comment with all the markers', '{# [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] #}', v7Tokens],
    ['Llama 3', "{{ '<|start_header_id|>' + messages[0].role + '<|end_header_id|>' }}", v11Tokens],
    [
      'a template without end',
      '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}',
      v7Tokens,
    ],
  ])('%s', (_, text, facts) => {
    try {
      recogniseTemplate(text, facts);
    } catch (error) {
      if (!isTramontaneError(error)) throw error;
      expect(error.code).toBe('template-unsupported');
      // A known text over a vocabulary without its tokens is told so instead.
      if (error.data.controlToken === undefined) expect(error.data.chatTemplate).toBe(text);
      return;
    }
    expect.unreachable('nothing was thrown');
  });

  test('a long text is cut, in the message more than in the data', () => {
    const text = `{{ 'It begins.' }}${'x'.repeat(100_000)}`;
    expect(() => recogniseTemplate(text, v7Tokens)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/It begins: \{\{ 'It begins\.' \}\}x{200,}…$/),
        data: { field: 'tokenizer.chat_template', chatTemplate: `${text.slice(0, 4000)}…` },
      }),
    );
  });

  test.each([
    ['escapes in a literal without an end', `'${"\\\\'".repeat(120_000)}`],
    ['a long literal', `{{ '${'a'.repeat(250_000)}`],
    ['single characters', `{{ ${'+'.repeat(250_000)}`],
    ['words', `{{ ${'a '.repeat(125_000)}`],
    ['quotes before spaces', `{{ '${' '.repeat(100)}`.repeat(2000)],
    ['tags', '{{1}}'.repeat(50_000)],
    ['spaces before tags', `${' '.repeat(200_000)}{{`],
    ['line breaks before tags', `${' \n'.repeat(100_000)}{%`],
    ['comments', '{#'.repeat(125_000)],
    ['openings', '{'.repeat(250_000)],
  ])('%s: long texts are refused in time that grows with their length', (_, text) => {
    const start = performance.now();
    expect(() => recogniseTemplate(text, v11Tokens)).toThrow(
      expect.objectContaining({ code: 'template-unsupported' }),
    );
    // A second at most; what grows with the square of the length takes minutes.
    expect(performance.now() - start).toBeLessThan(60_000);
  });

  test('a text beyond all lengths is not looked at', () => {
    expect(() => recogniseTemplate('x'.repeat(4 << 20), v11Tokens)).toThrow(
      expect.objectContaining({ message: expect.stringContaining('4194304 characters') }),
    );
  });
});
