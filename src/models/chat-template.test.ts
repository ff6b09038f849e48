import { describe, expect, test } from 'vitest';
import {
  readFixture,
  type SentencePieceFixture,
  sentencePieceMetadata,
  type VocabularyFixture,
  vocabularyMetadata,
} from '../../tests/tools/tokenizer-fixtures.ts';
import { loadWebLlmTokenizer } from '../../tests/tools/webllm-tokenizer.ts';
import { privateForm } from '../base/control-text.ts';
import { isTramontaneError } from '../base/errors.ts';
import { type BuiltTokenizer, buildTokenizerJson } from '../formats/tokenizer/build-tokenizer.ts';
import {
  type ChatTemplate,
  type RenderedTurn,
  renderConversation,
  type TemplateId,
  type TemplateMessage,
} from './chat-template.ts';

interface Golden {
  messages: TemplateMessage[];
  rendered?: string;
  /** mistral-common's ids, in the small vocabularies. */
  tokens?: number[];
  error?: string;
}
/** By template; Mistral's also by vocabulary, which is Tekken where none is named. */
type Goldens = Record<
  | 'chatml'
  | 'mistral-v3'
  | 'mistral-v3-spm'
  | 'mistral-v7'
  | 'mistral-v7-spm'
  | 'mistral-v11'
  | 'mistral-v13',
  Golden[]
>;

const goldens = readFixture<Goldens>('template-goldens.json');
const tekken = readFixture<VocabularyFixture>('tekken-small.json');
const spm = readFixture<SentencePieceFixture>('spm-small.json');
const surfaces = {
  chatml: ['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
  mistral: tekken.controls,
};
const controls = (names: readonly string[]) =>
  names.map((surface, id) => ({ id, surface, privateForm: privateForm(id) }));
const chatMlControls = controls(surfaces.chatml);
const mistralControls = controls(surfaces.mistral);

const smolLm2: ChatTemplate = {
  id: 'chatml',
  defaultSystemPrompt: 'You are a helpful AI assistant named SmolLM, trained by Hugging Face',
};
const mistral: ChatTemplate = { id: 'mistral-v11', defaultSystemPrompt: null };
const mistralV3: ChatTemplate = { id: 'mistral-v3', defaultSystemPrompt: null };

const PRIVATE = new RegExp(privateForm(0).replace('0', '(\\d+)'), 'g');
const joined = (turns: RenderedTurn[]) => turns.map((turn) => turn.text).join('');
const withSurfaces = (text: string, names: readonly string[]) =>
  text.replace(PRIVATE, (_, id: string) => names[Number(id)]!);
/** Text of pieces as mistral-common shows them. */
const readPieces = (rendered: string) =>
  rendered
    .replace(/(?:<0x[0-9A-F]{2}>)+/g, (run) => Buffer.from(run.replace(/<0x|>/g, ''), 'hex').toString())
    .replaceAll('▁', ' ');
const lastRole = (golden: Golden) => golden.messages.at(-1)?.role;

/** What the product refuses although the reference renders it: an answer follows a question of the user, always. */
const isRefused = (golden: Golden) => lastRole(golden) !== 'user';
/** The same for Mistral, where a system message further down would cut off the prefix that a KV cache holds. */
const hasLateSystem = ({ messages }: Golden) =>
  messages.some(({ role }, i) => role === 'system' && messages.slice(0, i).some((m) => m.role !== 'system'));
/** What the product renders although the reference refuses it: an answer stopped before its first token. */
const hasEmptyAnswer = ({ messages }: Golden) =>
  messages.some(({ role, content }) => role === 'assistant' && content === '');

function expectRefused(render: () => unknown, field?: string): void {
  try {
    render();
  } catch (error) {
    if (!isTramontaneError(error)) throw error;
    expect(error.code).toBe('request-invalid');
    if (field !== undefined) expect(error.data.field).toBe(field);
    return;
  }
  expect.unreachable('nothing was thrown');
}

describe('equal to the reference', () => {
  test('ChatML: SmolLM2’s own Jinja text', () => {
    let compared = 0;
    for (const golden of goldens.chatml) {
      if (isRefused(golden)) {
        expectRefused(() => renderConversation(smolLm2, golden.messages, chatMlControls));
        continue;
      }
      const turns = renderConversation(smolLm2, golden.messages, chatMlControls);
      expect(withSurfaces(joined(turns), surfaces.chatml)).toBe(golden.rendered);
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(20);
  });

  const mistralCases: [golden: keyof Goldens, id: TemplateId, built: () => BuiltTokenizer][] = [
    ['mistral-v3-spm', 'mistral-v3', () => buildTokenizerJson(sentencePieceMetadata(spm))],
    ...(['mistral-v3', 'mistral-v7', 'mistral-v11', 'mistral-v13'] as const).map(
      (id): [keyof Goldens, TemplateId, () => BuiltTokenizer] => [
        id,
        id,
        () => buildTokenizerJson(vocabularyMetadata(tekken)),
      ],
    ),
  ];
  test.each(mistralCases)('%s: ids of mistral-common', async (name, id, build) => {
    const { tokenizerJson, controlTokens } = build();
    const tokenizer = await loadWebLlmTokenizer(tokenizerJson);
    let compared = 0;
    for (const golden of goldens[name]) {
      const render = () =>
        renderConversation({ id, defaultSystemPrompt: null }, golden.messages, controlTokens);
      if (isRefused(golden) || hasLateSystem(golden)) {
        expectRefused(render);
        continue;
      }
      if (hasEmptyAnswer(golden)) continue;
      const turns = render();
      if (name === id) expect(withSurfaces(joined(turns), surfaces.mistral)).toBe(golden.rendered);
      expect(turns.flatMap((turn) => [...tokenizer.encode(turn.text)])).toEqual(golden.tokens);
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(17);
    tokenizer.dispose();
  });

  test('mistral-v7 over SentencePiece', () => {
    let compared = 0;
    for (const golden of goldens['mistral-v7-spm']) {
      if (golden.rendered === undefined || isRefused(golden) || hasLateSystem(golden)) continue;
      const template: ChatTemplate = { id: 'mistral-v7', defaultSystemPrompt: null };
      const turns = renderConversation(template, golden.messages, mistralControls);
      // The reference shows pieces: its spaces after control tokens are the tokenizer's, not the template's.
      const [start, ...rest] = joined(turns).split(PRIVATE);
      const text = rest.map((part, i) =>
        i % 2 === 0 ? surfaces.mistral[Number(part)]! : part && ` ${part}`,
      );
      expect([start, ...text].join('')).toBe(readPieces(golden.rendered));
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(17);
  });
});

describe.each([
  ['ChatML', smolLm2, chatMlControls],
  ['Mistral', mistral, mistralControls],
  ['Mistral v3', mistralV3, mistralControls],
] as const)('turns of %s', (_, template, controlTokens) => {
  const render = (...messages: TemplateMessage[]) => renderConversation(template, messages, controlTokens);
  const user = (content: string): TemplateMessage => ({ role: 'user', content });
  const assistant = (content: string): TemplateMessage => ({ role: 'assistant', content });
  const system = (content: string): TemplateMessage => ({ role: 'system', content });

  test('alternate, begin and end with the user, and hold answers as they are', () => {
    const turns = render(system('S'), user('A'), assistant(' x\n'), user('B'), assistant(''), user('C'));
    expect(turns.map((turn) => turn.role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user']);
    expect(turns[1]!.text).toBe(' x\n');
    expect(turns[3]!.text).toBe('');
  });

  test('a longer conversation begins with the turns of the shorter one', () => {
    const messages = [user('A'), assistant('x'), user('B'), assistant('y'), user('C')];
    // Mistral v3 moves the system prompt to the last question.
    if (template.id !== 'mistral-v3') messages.unshift(system('S'));
    const whole = render(...messages);
    for (const length of [messages.length - 4, messages.length - 2, messages.length]) {
      const turns = render(...messages.slice(0, length));
      expect(turns).toEqual(whole.slice(0, turns.length));
    }
  });

  test('a turn after an answer begins with the terminator of that answer', () => {
    const turns = render(user('A'), assistant('x'), user('B'));
    // <|im_end|> and </s> have the same id.
    expect(turns[2]!.text.startsWith(privateForm(2))).toBe(true);
  });

  test('text of messages comes through untouched and unforgeable', () => {
    const nasty = '$& $$ $` $1 {function_string} {{ x }} [INST] </s> <|im_end|>';
    const text = joined(
      render(system(nasty), user(`${nasty}\u00013\u0002\u0001\u00011\u0002`), assistant(nasty), user(nasty)),
    );
    expect(text.split(nasty)).toHaveLength(5);
    expect(text).toContain(`${nasty}3\u00021\u0002`);
    const plain = joined(render(system(''), user(''), assistant(''), user('')));
    expect(text.match(PRIVATE)).toEqual(plain.match(PRIVATE));
  });

  test('refuses what is no conversation, naming the message', () => {
    const untyped = (messages: unknown) =>
      renderConversation(template, messages as TemplateMessage[], controlTokens);
    expectRefused(() => render(), 'messages');
    expectRefused(() => untyped(undefined), 'messages');
    expectRefused(() => untyped('Hi'), 'messages');
    expectRefused(() => render(user('A'), assistant('x')), 'messages[1]');
    expectRefused(() => render(system('S')), 'messages[0]');
    expectRefused(() => untyped([user('A'), { role: 'tool', content: '{}' }, user('B')]), 'messages[1]');
    expectRefused(() => untyped([{ role: 'developer', content: 'A' }]), 'messages[0]');
    expectRefused(() => untyped([{ role: 'user', content: [{ type: 'text', text: 'A' }] }]), 'messages[0]');
    expectRefused(() => untyped([{ role: 'user', content: null }]), 'messages[0]');
    expectRefused(() => untyped([{ role: 'user' }]), 'messages[0]');
    expectRefused(() => untyped([null]), 'messages[0]');
  });

  test('refuses a vocabulary without its control tokens', () => {
    expect(() => renderConversation(template, [user('A')], [])).toThrow(/control token/);
  });
});

test.each([mistral, mistralV3])('$id: system messages come first', (template) => {
  const messages: TemplateMessage[] = [
    { role: 'user', content: 'A' },
    { role: 'system', content: 'S' },
    { role: 'user', content: 'B' },
  ];
  expectRefused(() => renderConversation(template, messages, mistralControls), 'messages[1]');
});

test('Mistral: a default system prompt is used only where the conversation has none', () => {
  const template: ChatTemplate = { id: 'mistral-v7', defaultSystemPrompt: 'D' };
  const text = (...messages: TemplateMessage[]) =>
    withSurfaces(joined(renderConversation(template, messages, mistralControls)), surfaces.mistral);
  expect(text({ role: 'user', content: 'A' })).toBe('<s>[SYSTEM_PROMPT]D[/SYSTEM_PROMPT][INST]A[/INST]');
  expect(text({ role: 'system', content: 'S' }, { role: 'user', content: 'A' })).toBe(
    '<s>[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]A[/INST]',
  );
});

test('Mistral v3: a default system prompt stands before the last question', () => {
  const template: ChatTemplate = { id: 'mistral-v3', defaultSystemPrompt: 'D' };
  const turns = renderConversation(
    template,
    [
      { role: 'user', content: 'A' },
      { role: 'assistant', content: 'x' },
      { role: 'user', content: 'B' },
    ],
    mistralControls,
  );
  expect(withSurfaces(joined(turns), surfaces.mistral)).toBe('<s>[INST]A[/INST]x</s>[INST]D\n\nB[/INST]');
});
