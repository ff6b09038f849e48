import { describe, expect, test } from 'vitest';
import { recogniseMlcTemplate } from './mlc-template.ts';
import type { TemplateFacts } from './recognise-template.ts';

type Vocabulary = Pick<TemplateFacts, 'controlTokens'>;

const vocabulary = (...surfaces: string[]): Vocabulary => ({
  controlTokens: surfaces.map((surface, id) => ({ id, surface })),
});
const v1 = vocabulary('<unk>', '<s>', '</s>');
const v3 = vocabulary('<unk>', '<s>', '</s>', '[INST]', '[/INST]', '[TOOL_CALLS]');
const v13 = vocabulary('<s>', '</s>', '[INST]', '[/INST]', '[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]');
const chatMl = vocabulary('<|endoftext|>', '<|im_start|>', '<|im_end|>');

/** The pieces that MLC's templates of these names have. */
const chatMlPieces = {
  system_template: '<|im_start|>system\n{system_message}<|im_end|>\n',
  roles: { user: '<|im_start|>user', assistant: '<|im_start|>assistant' },
  seps: ['<|im_end|>\n'],
  role_content_sep: '\n',
  role_empty_sep: '\n',
};
const mistralPieces = {
  system_template: '[INST] {system_message}',
  system_message: 'Always assist with care.',
  roles: { user: '[INST]', assistant: '[/INST]', tool: '[INST]' },
  seps: [' '],
  role_content_sep: ' ',
  role_empty_sep: '',
};
const ministralPieces = {
  system_template: '[SYSTEM_PROMPT]{system_message}[/SYSTEM_PROMPT]{function_string}',
  system_message: 'Today is {today}.',
  role_templates: { user: '[INST]{user_message}[/INST]', assistant: '{assistant_message}</s>' },
  roles: { user: '', assistant: '', tool: '' },
  seps: [''],
  role_content_sep: '',
  role_empty_sep: '',
};

test.each<[string, unknown, Vocabulary, string, string | null]>([
  ['the name for Mistral v3', 'mistral_default', v3, 'mistral-v3', null],
  ['the name in an object', { name: 'ministral3' }, v13, 'mistral-v13', null],
  ['the pieces for Mistral v3', { name: 'mistral_default', ...mistralPieces }, v3, 'mistral-v3', null],
  [
    'separators of questions and answers, and plain role templates',
    {
      name: 'mistral_default',
      ...mistralPieces,
      seps: [' ', '</s>'],
      role_templates: { user: '{user_message}', assistant: '{assistant_message}' },
    },
    v3,
    'mistral-v3',
    null,
  ],
  ['the pieces for Ministral 3', { name: 'ministral3', ...ministralPieces }, v13, 'mistral-v13', null],
  ['ChatML', { name: 'chatml', ...chatMlPieces, system_message: '' }, chatMl, 'chatml', null],
  [
    'ChatML, with a system prompt',
    { name: 'chatml', ...chatMlPieces, system_message: 'You are SmolLM.' },
    chatMl,
    'chatml',
    'You are SmolLM.',
  ],
  ['ChatML under another name', { name: 'open_hermes_mistral', ...chatMlPieces }, chatMl, 'chatml', null],
])('%s', (_, convTemplate, facts, id, defaultSystemPrompt) => {
  expect(recogniseMlcTemplate(convTemplate, facts)).toEqual({ id, defaultSystemPrompt });
});

describe('what is refused', () => {
  test.each<[string, unknown, Vocabulary]>([
    ['an unknown name', 'llama-3', v13],
    ['the name of something inherited', 'constructor', v13],
    ['thoughts', { name: 'ministral3_reasoning', ...ministralPieces }, v13],
    ['no name', {}, v13],
    ['no name, but pieces', mistralPieces, v3],
    ['too few pieces', { name: 'chatml', roles: chatMlPieces.roles }, chatMl],
    ['a vocabulary without the tokens', 'mistral_default', v1],
    ['a vocabulary of another family', 'chatml', v3],
    ['a vocabulary of a later version', { name: 'mistral_default', ...mistralPieces }, v13],
    ['pieces of another family', { name: 'chatml', ...mistralPieces }, chatMl],
    ['other roles', { name: 'chatml', ...chatMlPieces, roles: { user: 'U', assistant: 'A' } }, chatMl],
    ['another separator', { name: 'chatml', ...chatMlPieces, seps: ['<|im_end|>'] }, chatMl],
    [
      'another system block',
      { name: 'chatml', ...chatMlPieces, system_template: '{system_message}\n' },
      chatMl,
    ],
    [
      'other role templates',
      { name: 'mistral_default', ...mistralPieces, role_templates: { user: 'Q: {user_message}' } },
      v3,
    ],
  ])('%s', (_, convTemplate, facts) => {
    expect(() => recogniseMlcTemplate(convTemplate, facts)).toThrow(
      expect.objectContaining({ code: 'template-unsupported' }),
    );
  });

  test('with what it says', () => {
    const convTemplate = { name: 'alpaca', roles: { user: '### Instruction', assistant: '### Response' } };
    const pieces = { ...convTemplate, seps: ['\n\n'], role_content_sep: ':\n' };
    expect(() => recogniseMlcTemplate(pieces, v3)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('"### Instruction"'),
        data: { field: 'conv_template', chatTemplate: JSON.stringify(pieces) },
      }),
    );
    expect(() => recogniseMlcTemplate({ ...pieces, system_message: 'x'.repeat(1 << 20) }, v3)).toThrow(
      expect.objectContaining({
        data: { field: 'conv_template', chatTemplate: expect.stringMatching(/^.{4000}…$/s) },
      }),
    );
  });

  test.each<[string, unknown, string]>([
    ['no object', null, 'conv_template'],
    ['a list', [], 'conv_template'],
    ['a name that is no text', { name: 7 }, 'conv_template.name'],
    ['roles that are no object', { ...chatMlPieces, roles: 'user' }, 'conv_template.roles'],
    ['separators that are no texts', { ...chatMlPieces, seps: [null] }, 'conv_template.seps[0]'],
    ['a role without text', { ...chatMlPieces, roles: { user: '' } }, 'conv_template.roles.assistant'],
    [
      'an endless system prompt',
      { ...chatMlPieces, system_message: 'x'.repeat(300_000) },
      'conv_template.system_message',
    ],
  ])('%s', (_, convTemplate, field) => {
    expect(() => recogniseMlcTemplate(convTemplate, chatMl)).toThrow(
      expect.objectContaining({ code: 'config-invalid', data: expect.objectContaining({ field }) }),
    );
  });
});
