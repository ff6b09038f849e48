import { afterEach, describe, expect, test } from 'vitest';
import { page, userEvent } from 'vitest/browser';
import { delay } from '../base/abort.ts';
import { TramontaneError } from '../base/errors.ts';
import type { ChatRequest, Engine, ModelCard } from '../engine/api.ts';
import { createFakeEngine, type FakeEngineOptions } from '../engine/fake-engine.ts';
import {
  type ConversationRecord,
  type ConversationStore,
  MemoryConversationStore,
} from '../storage/conversations.ts';
import './define.ts';
import type { TramontaneChat } from './tramontane-chat.ts';

const card: ModelCard = {
  id: 'small',
  url: 'https://example.org/small/',
  name: 'Small model',
  description: 'For tests.',
  byteLength: 98_000_000,
  parameterCount: 135_000_000,
  quantization: 'Q4_1',
  contextLength: 8192,
  maxContextLength: 8192,
  kvBytesPerToken: 23_040,
  layerCount: 30,
  licence: 'Apache-2.0',
  sourceUrl: 'https://example.org/',
};

const fast: Partial<FakeEngineOptions> = { rate: 2000, loadMs: 20, prefillMs: 5 };

afterEach(() => {
  document.body.replaceChildren();
});

/** A point that an answer does not go beyond until it is opened. */
interface Gate {
  /** The answer's text up to there, once it has come so far. */
  reached: Promise<string>;
  open(): void;
}

interface Mounted {
  chat: TramontaneChat;
  engine: Engine;
  /** Has the next answer wait once it has so many chunks. */
  holdAnswer(afterChunks: number): Gate;
  requests: ChatRequest[];
  events: Event[];
}

async function mount(
  options: Partial<FakeEngineOptions> = {},
  setUp: (chat: TramontaneChat) => void = () => {},
): Promise<Mounted> {
  const engine = createFakeEngine({ ...fast, ...options });
  const requests: ChatRequest[] = [];
  const streamChat = engine.streamChat.bind(engine);
  let pass: (chunks: number, text: string) => Promise<void> = async () => {};
  engine.streamChat = async function* (request, call) {
    requests.push(request);
    let chunks = 0;
    let text = '';
    for await (const chunk of streamChat(request, call)) {
      yield chunk;
      text += chunk.choices[0]?.delta.content ?? '';
      await pass(++chunks, text);
    }
  };
  const holdAnswer = (afterChunks: number): Gate => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const reached = new Promise<string>((resolve) => {
      pass = async (chunks, text) => {
        if (chunks !== afterChunks) return;
        resolve(text);
        await opened;
      };
    });
    return { reached, open };
  };
  const chat = document.createElement('tramontane-chat');
  const events: Event[] = [];
  for (const name of [
    'model-loaded',
    'message-sent',
    'answer-finished',
    'conversation-cleared',
    'conversation-restored',
    'settings-changed',
    'error-occurred',
  ]) {
    document.body.addEventListener(`tramontane-${name}`, (event) => events.push(event));
  }
  chat.engine = engine;
  chat.models = [card];
  setUp(chat);
  document.body.append(chat);
  await chat.updateComplete;
  return { chat, engine, holdAnswer, requests, events };
}

async function mountLoaded(
  options: Partial<FakeEngineOptions> = {},
  setUp: (chat: TramontaneChat) => void = () => {},
): Promise<Mounted> {
  const mounted = await mount(options, setUp);
  await mounted.chat.loadModel();
  await mounted.chat.updateComplete;
  return mounted;
}

const shown = (chat: TramontaneChat) => chat.shadowRoot!;
const announced = (chat: TramontaneChat) => shown(chat).querySelector('.frame > [role=status]')?.textContent;
const textbox = () => page.getByRole('textbox', { name: 'Message' });

describe('a model', () => {
  test('is offered with its size and whether it fits; loading it makes the chat ready', async () => {
    const { chat, events } = await mount();
    await expect.element(page.getByRole('heading', { name: 'Small model' })).toBeVisible();
    await expect.element(page.getByText('98 MB')).toBeVisible();
    await expect.element(page.getByText('Fits this device.')).toBeVisible();
    await page.getByRole('button', { name: 'Download and load' }).click();
    await expect.element(page.getByText('What would you like to know?')).toBeVisible();
    expect(chat.isReady).toBe(true);
    expect(events.map(({ type }) => type)).toEqual(['tramontane-model-loaded']);
    await expect.poll(() => announced(chat)).toBe('The model is ready.');
  });

  test('is exchanged for another from the toolbar, and the conversation stays', async () => {
    const other = { ...card, id: 'other', name: 'Other model' };
    const { chat, engine } = await mountLoaded({}, (element) => {
      element.models = [card, other];
      element.offers = [{ name: 'Large model', byteLength: 14.3e9, href: 'import.html' }];
    });
    await chat.send('echo a');
    await page.getByRole('button', { name: 'Model: Small model. Change' }).click();
    await expect.element(page.getByRole('link', { name: 'Import Large model' })).toBeVisible();
    await page.getByRole('button', { name: 'Load Other model' }).click();
    await expect.poll(() => chat.isReady && engine.getLoadedModel()?.id).toBe('other');
    expect(chat.messages).toHaveLength(2);
    await expect.element(page.getByRole('link', { name: 'Import Large model' })).not.toBeInTheDocument();
    await page.getByRole('button', { name: 'Model: Other model. Change' }).click();
    await expect.element(page.getByRole('button', { name: 'Load Small model' })).toBeVisible();
  });

  test('is not offered for exchange where there is no other', async () => {
    const { chat } = await mountLoaded();
    expect(shown(chat).querySelector('.status button')).toBeNull();
  });

  test('that is being loaded shows phase, bytes and time left, and can be cancelled', async () => {
    // Half of it is the download: a minute and more is not told in seconds.
    const { chat } = await mount({ loadMs: 110_000 });
    await page.getByRole('button', { name: 'Download and load' }).click();
    const bar = page.getByRole('progressbar', { name: /Downloading: Small model/ });
    await expect
      .element(bar)
      .toHaveAttribute('aria-valuetext', expect.stringMatching(/% ?, .* of 98 MB · .*\/s · \d+ s left/));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect.element(page.getByRole('button', { name: 'Download and load' })).toBeEnabled();
    await expect.poll(() => announced(chat)).toBe('Loading was cancelled.');
  });

  test('that fails to load says why and what to do, and can be tried again', async () => {
    const { events } = await mount({ fail: 'download-failed', failAt: 'load' });
    await page.getByRole('button', { name: 'Download and load' }).click();
    await expect.element(page.getByRole('alert')).toHaveTextContent(/connection was lost.*try again/);
    expect(events.map(({ type }) => type)).toEqual(['tramontane-error-occurred']);
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect.element(page.getByText('What would you like to know?')).toBeVisible();
  });

  test('on a device without a GPU is slow, and the card says so', async () => {
    await mount({ adapter: 'software' });
    await expect.element(page.getByText(/No GPU was found/)).toBeVisible();
    await expect.element(page.getByRole('button', { name: 'Download and load' })).toBeEnabled();
  });

  test('without WebGPU is not offered; the next step is', async () => {
    await mount({ adapter: 'none' });
    await expect
      .element(page.getByRole('heading', { name: 'This browser cannot reach the GPU' }))
      .toBeVisible();
    await expect.element(page.getByRole('button', { name: /load/i })).not.toBeInTheDocument();
  });

  test('loads by itself where its weights are stored, once', async () => {
    const { chat } = await mount({ stored: true }, (element) => {
      element.autoload = 'stored';
    });
    // `stored` makes the fake load without a download; what it lists is what was loaded before.
    expect(chat.isReady).toBe(false);
    await chat.loadModel();
    const engine = chat.engine!;
    const again = document.createElement('tramontane-chat');
    again.autoload = 'stored';
    again.models = [card];
    await engine.unloadModel();
    again.engine = engine;
    document.body.append(again);
    await expect.poll(() => again.isReady).toBe(true);
  });

  test('the others are a line each, and what is not here is a link to the page that brings it', async () => {
    const { chat } = await mount({}, (element) => {
      element.models = [card, { ...card, id: 'other', name: 'Other model' }];
      element.offers = [{ name: 'Large model', byteLength: 14e9, href: './import.html?model=large' }];
    });
    await expect.element(page.getByRole('button', { name: 'Download and load' })).toBeVisible();
    await expect
      .element(page.getByRole('link', { name: 'Import Large model' }))
      .toHaveAttribute('href', './import.html?model=large');
    await page.getByRole('button', { name: 'Load Other model' }).click();
    await expect.poll(() => chat.isReady).toBe(true);
    expect(chat.engine?.getLoadedModel()?.id).toBe('other');
  });

  test('is loaded with the context that the person chose, and again when they choose another', async () => {
    const { chat } = await mountLoaded({}, (element) => {
      element.models = [{ ...card, contextLength: 4096 }];
    });
    await page.getByRole('button', { name: 'Settings' }).click();
    const slider = page.getByRole('slider', { name: 'Context' });
    await expect.element(slider).toHaveAttribute('aria-valuetext', expect.stringMatching(/^4,096 tokens/));
    (slider.element() as HTMLElement).focus();
    await userEvent.keyboard('{ArrowLeft}');
    expect(chat.settings).toEqual({ contextLength: 3072 });
    await page.getByRole('button', { name: 'Load again with 3,072 tokens' }).click();
    await expect.poll(() => chat.engine?.getLoadedModel()?.contextLength).toBe(3072);
    await expect.element(page.getByRole('button', { name: /^Load again/ })).not.toBeInTheDocument();
  });

  test('that is not in the list is a typed error', async () => {
    const { chat } = await mount();
    await expect(chat.loadModel('none')).rejects.toMatchObject({ code: 'model-unknown' });
  });
});

describe('an answer', () => {
  test('streams, ends with its speed, and is announced once, when it is whole', async () => {
    const { chat, holdAnswer, events } = await mountLoaded();
    const gate = holdAnswer(3);
    await textbox().fill('Tell me about the wind');
    await userEvent.keyboard('{Enter}');
    await expect.element(page.getByRole('button', { name: 'Stop' })).toBeVisible();
    await expect.poll(() => announced(chat)).toBe('Answering.');
    gate.open();
    await expect.element(page.getByText(/tokens\/s/)).toBeVisible();
    await expect.element(page.getByText(/first after \d+ ms/)).toBeVisible();
    await expect.poll(() => announced(chat)).toMatch(/^The answer: The tramontane is a cold, dry wind/);
    expect(events.map(({ type }) => type).slice(1)).toEqual([
      'tramontane-message-sent',
      'tramontane-answer-finished',
    ]);
    expect(events.every((event) => event.bubbles && event.composed)).toBe(true);
    await expect.element(page.getByText(/Context \d+ of 8,192/)).toBeVisible();
  });

  test('tells how far a long prompt is read, and its speed while it is written, quietly', async () => {
    // Held after the second chunk of the prompt.
    let release = (): void => {};
    let waits = Number.NEGATIVE_INFINITY;
    const hold = async (milliseconds: number, signal?: AbortSignal) => {
      waits += 1;
      if (waits === 3) {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      }
      await delay(milliseconds, signal);
    };
    const clock = { now: () => performance.now(), delay: hold };
    const { chat } = await mountLoaded({ prefillMs: 5, rate: 4, clock });
    waits = 0;
    const sent = chat.send('wind '.repeat(700));
    await expect.element(page.getByText(/^Reading 512 of 7\d\d tokens/)).toBeVisible();
    expect(announced(chat)).toBe('Answering.');
    release();
    const speed = page.getByText(/^[\d.]+ tokens\/s$/);
    await expect.element(speed).toBeVisible();
    expect(chat.isAnswering).toBe(true);
    expect(page.getByText(/^Reading/).elements()).toEqual([]);
    const rate = Number.parseFloat(speed.element().textContent);
    expect(rate).toBeGreaterThan(0);
    expect(rate).toBeLessThan(8);
    expect(announced(chat)).toBe('Answering.');
    chat.stop();
    await sent;
  });

  test('gets the text as typed, and the whole conversation', async () => {
    const { chat, requests } = await mountLoaded({}, (element) => {
      element.systemPrompt = 'Be brief.';
      element.temperature = 0;
      element.maxTokens = 50;
      element.seed = 3;
    });
    const text = "echo $& $' $` $$ {function_string} [INST] </s> <b>x</b>\n  second line ";
    await chat.send(text);
    await chat.send('echo more');
    expect(chat.messages.map(({ content }) => content)).toEqual([
      text,
      text.slice('echo '.length),
      'echo more',
      'more',
    ]);
    expect(requests[1]).toEqual({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: text },
        { role: 'assistant', content: text.slice('echo '.length) },
        { role: 'user', content: 'echo more' },
      ],
      temperature: 0,
      max_completion_tokens: 50,
      seed: 3,
    });
    const question = shown(chat).querySelector('tramontane-message')!.shadowRoot!.querySelector('.question')!;
    expect(question.textContent).toBe(`You: ${text}`);
  });

  test('stops with Escape and keeps what was there', async () => {
    const { chat } = await mountLoaded({ rate: 40 });
    await textbox().fill('long 2000');
    await userEvent.keyboard('{Enter}');
    await expect.poll(() => chat.messages.at(-1)?.content.length ?? 0).toBeGreaterThan(20);
    await userEvent.keyboard('{Escape}');
    await expect.element(page.getByText('Stopped.', { exact: true })).toBeVisible();
    expect(chat.messages.at(-1)?.end?.reason).toBe('abort');
    expect(chat.messages.at(-1)?.content.length).toBeGreaterThan(20);
    await expect.poll(() => shown(chat).activeElement?.localName).toBe('tramontane-composer');
  });

  test('stopped before its first word can be asked for again, and does not reach the engine', async () => {
    const { chat, requests } = await mountLoaded({ prefillMs: 3000 });
    const sent = chat.send('echo a');
    chat.stop();
    await sent;
    await expect.element(page.getByText('Stopped before the first word.')).toBeVisible();
    const again = chat.regenerate();
    chat.stop();
    await again;
    expect(requests[1]?.messages).toEqual([{ role: 'user', content: 'echo a' }]);
  });

  test('can be made anew: only the last one is replaced', async () => {
    const { chat, requests } = await mountLoaded();
    await chat.send('echo a');
    await chat.send('any');
    const before = chat.messages.at(-1)?.id;
    await chat.updateComplete;
    await page.getByRole('button', { name: 'Regenerate' }).click();
    await expect.poll(() => chat.isReady && chat.messages.length).toBe(4);
    expect(chat.messages.at(-1)?.id).not.toBe(before);
    expect(requests[2]?.messages).toEqual(requests[1]?.messages);
  });

  test('that reaches the limit of tokens says so', async () => {
    const { chat } = await mountLoaded({}, (element) => {
      element.maxTokens = 2;
    });
    await chat.send('echo one two three four five');
    await expect.element(page.getByText(/the limit of tokens was reached/)).toBeVisible();
  });

  test('that fails keeps its beginning and can be tried again', async () => {
    const { chat, events } = await mountLoaded({ fail: 'context-exceeded' });
    await chat.send('Tell me about the wind');
    await expect.element(page.getByText(/^The conversation has 9,120 tokens/)).toBeVisible();
    expect(chat.messages.at(-1)?.content).toMatch(/^The \*\*tramontane/);
    expect(events.some(({ type }) => type === 'tramontane-error-occurred')).toBe(true);
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(() => chat.messages.at(-1)?.end?.reason).toBe('stop');
    expect(chat.messages).toHaveLength(2);
  });

  test.each(['device-lost', 'worker-crashed'] as const)(
    '%s: the conversation stays, the model can be loaded again, then the answer',
    async (fail) => {
      const { chat } = await mountLoaded({ fail });
      await chat.send('Tell me about the wind');
      expect(chat.isReady).toBe(false);
      await page.getByRole('button', { name: 'Reload model' }).click();
      await page.getByRole('button', { name: 'Try again' }).click();
      await expect.poll(() => chat.messages.at(-1)?.end?.reason).toBe('stop');
      expect(chat.messages).toHaveLength(2);
    },
  );

  test('before a model is there is refused with a typed error', async () => {
    const { chat } = await mount();
    await expect(chat.send('hello')).rejects.toMatchObject({ code: 'model-not-loaded' });
    expect(chat.messages).toHaveLength(0);
  });

  test('is followed once there is one: the welcome, however tall, shows its beginning', async () => {
    const { chat } = await mount({}, (element) => {
      element.style.height = '320px';
      element.models = Array.from({ length: 8 }, (_, i) => ({ ...card, id: `model-${i}` }));
    });
    const scroller = shown(chat).querySelector<HTMLElement>('.scroller')!;
    expect(scroller.scrollHeight).toBeGreaterThan(scroller.clientHeight + 100);
    // The observer reports with the frame, and once more after a change of size.
    chat.style.height = '330px';
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    expect(scroller.scrollTop).toBe(0);
  });

  test('is followed to its end until the person scrolls up; then it is left alone', async () => {
    const { chat, holdAnswer } = await mountLoaded();
    const gate = holdAnswer(600);
    const sent = chat.send('long 4000');
    const scroller = shown(chat).querySelector<HTMLElement>('.scroller')!;
    const distance = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    const text = await gate.reached;
    await expect.poll(() => chat.messages.at(-1)?.content).toBe(text);
    // What is shown is laid out in the frames after.
    for (let frame = 0; frame < 10; frame++) await new Promise(requestAnimationFrame);
    expect(scroller.scrollTop).toBeGreaterThan(200);
    expect(distance()).toBeLessThan(60);
    scroller.scrollTop -= 150;
    await expect.element(page.getByRole('button', { name: 'Latest' })).toBeVisible();
    const top = scroller.scrollTop;
    const height = scroller.scrollHeight;
    gate.open();
    await expect.poll(() => scroller.scrollHeight).toBeGreaterThan(height + 100);
    expect(Math.abs(scroller.scrollTop - top)).toBeLessThan(2);
    await page.getByRole('button', { name: 'Latest' }).click();
    await expect.poll(distance).toBeLessThan(60);
    chat.stop();
    await sent;
  });
});

describe('the conversation', () => {
  const keep = (store: ConversationStore) => (chat: TramontaneChat) => {
    chat.store = store;
    chat.conversationKey = `test-${Math.random()}`;
  };

  test('survives the element, settings included', async () => {
    const store = new MemoryConversationStore();
    const { chat } = await mountLoaded({}, (element) => {
      element.store = store;
      element.conversationKey = 'kept';
    });
    await chat.send('echo kept');
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByRole('spinbutton', { name: 'Temperature' }).fill('0.3');
    await userEvent.keyboard('{Tab}{Escape}');
    expect(chat.settings).toEqual({ temperature: 0.3 });
    chat.remove();
    await expect.poll(async () => (await store.load('kept'))?.settings).toEqual({ temperature: 0.3 });
    const { chat: second } = await mount({}, (element) => {
      element.store = store;
      element.conversationKey = 'kept';
    });
    await expect.poll(() => second.messages.map(({ content }) => content)).toEqual(['echo kept', 'kept']);
    expect(second.settings).toEqual({ temperature: 0.3 });
    await expect.element(page.getByText(/to go on with this conversation/)).toBeVisible();
  });

  test('is saved while an answer is being written; what a closed page left is marked', async () => {
    const store = new MemoryConversationStore();
    const { chat, holdAnswer } = await mountLoaded({}, (element) => {
      element.store = store;
      element.conversationKey = 'half';
    });
    const gate = holdAnswer(30);
    void chat.send('long 400');
    await expect
      .poll(async () => (await store.load('half'))?.messages[1]?.content.length ?? 0)
      .toBeGreaterThan(20);
    const record = (await store.load('half'))!;
    expect(record.messages[1]?.end).toBeNull();
    chat.stop();
    gate.open();
    const other = new MemoryConversationStore();
    await other.save('half', record);
    chat.remove();
    await mount({}, (element) => {
      element.store = other;
      element.conversationKey = 'half';
    });
    await expect.element(page.getByText(/^Interrupted/)).toBeVisible();
  });

  test('a new chat empties it, on disk too', async () => {
    const store = new MemoryConversationStore();
    const { chat, events } = await mountLoaded({}, (element) => {
      element.store = store;
      element.conversationKey = 'cleared';
    });
    await chat.send('echo a');
    await page.getByRole('button', { name: 'New chat' }).click();
    await expect.poll(() => chat.messages.length).toBe(0);
    await expect.poll(() => store.load('cleared')).toBeNull();
    expect(events.at(-1)?.type).toBe('tramontane-conversation-cleared');
  });

  test('a new chat can be undone by keyboard until something is sent, an answer cut short included', async () => {
    const store = new MemoryConversationStore();
    const { chat, events, holdAnswer } = await mountLoaded({}, (element) => {
      element.store = store;
      element.conversationKey = 'undone';
    });
    const undo = page.getByRole('button', { name: 'Undo' });
    expect(undo.elements()).toEqual([]);
    const gate = holdAnswer(30);
    void chat.send('Tell me about the wind');
    const written = await gate.reached;
    await page.getByRole('button', { name: 'New chat' }).click();
    expect(chat.messages).toEqual([]);
    await expect.poll(() => store.load('undone')).toBeNull();
    expect(announced(chat)).toMatch(/Undo brings it back/);
    gate.open();
    // A second one takes nothing away.
    await chat.newChat();
    // The field has the focus; Undo is the control before it.
    await userEvent.keyboard('{Shift>}{Tab}{/Shift}');
    await userEvent.keyboard('{Enter}');
    expect(chat.messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
    expect(chat.messages[1]!.content).toBe(written);
    expect(chat.messages[1]!.end?.reason).toBe('abort');
    expect(events.at(-1)?.type).toBe('tramontane-conversation-restored');
    await expect.poll(async () => (await store.load('undone'))?.messages.length).toBe(2);
    expect(undo.elements()).toEqual([]);

    await chat.newChat();
    await expect.element(undo).toBeVisible();
    await chat.send('echo a');
    expect(undo.elements()).toEqual([]);
    chat.undoNewChat();
    expect(chat.messages.map(({ content }) => content)).toEqual(['echo a', 'a']);
  });

  test('that cannot be saved goes on, and says so', async () => {
    const store: ConversationStore = {
      load: async () => null,
      save: async () => {
        throw new TramontaneError('storage-quota', 'There is no space left to save the conversation.', {
          nextStep: 'Free some.',
        });
      },
      remove: async () => {},
    };
    const { chat } = await mountLoaded({}, keep(store));
    await chat.send('echo still here');
    await expect.element(page.getByText(/no space left/)).toBeVisible();
    expect(chat.messages.at(-1)?.content).toBe('still here');
    await chat.send('echo and here');
    expect(chat.messages).toHaveLength(4);
  });

  test('that cannot be read is begun anew, and says so', async () => {
    const saved: ConversationRecord[] = [];
    const store: ConversationStore = {
      load: async () => {
        throw new TramontaneError('format-invalid', 'The saved conversation cannot be read.', {
          nextStep: 'It was kept aside.',
        });
      },
      save: async (_key, record) => void saved.push(record),
      remove: async () => {},
    };
    const { chat } = await mountLoaded({}, keep(store));
    await expect.element(page.getByText(/kept aside/)).toBeVisible();
    await chat.send('echo new');
    await expect.poll(() => saved.at(-1)?.messages.length).toBe(2);
  });

  test('that another page holds is shown, but not overwritten', async () => {
    const store = new MemoryConversationStore();
    const set = (element: TramontaneChat) => {
      element.store = store;
      element.conversationKey = 'shared';
    };
    const { chat: first } = await mountLoaded({}, set);
    await first.send('echo first');
    await expect.poll(async () => (await store.load('shared'))?.messages.length).toBe(2);
    const { chat: second } = await mountLoaded({}, set);
    await expect.element(page.getByText(/open in another tab/)).toBeVisible();
    await second.send('echo second');
    expect((await store.load('shared'))?.messages).toHaveLength(2);
  });
});

describe('by keyboard and by name', () => {
  test('Shift+Enter breaks the line, Enter sends, blank text is not sent', async () => {
    const { chat } = await mountLoaded();
    await textbox().click();
    await userEvent.keyboard('{Enter}');
    expect(chat.messages).toHaveLength(0);
    await userEvent.keyboard('echo a{Shift>}{Enter}{/Shift}b{Enter}');
    await expect.poll(() => chat.messages[0]?.content).toBe('echo a\nb');
    await expect.element(textbox()).toHaveValue('');
  });

  test('Tab goes through conversation, composer and toolbar in their order', async () => {
    const { chat } = await mountLoaded();
    await chat.send('echo a');
    await chat.updateComplete;
    const stops: string[] = [];
    const before = document.createElement('button');
    document.body.prepend(before);
    before.focus();
    for (let index = 0; index < 7; index += 1) {
      await userEvent.keyboard('{Tab}');
      let active: Element | null = document.activeElement;
      while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
      if (!active || active === document.body) break;
      stops.push(active.getAttribute('aria-label') ?? active.textContent!.trim());
    }
    expect(stops.slice(0, 6)).toEqual([
      'New chat',
      'Settings',
      'Conversation',
      'Copy',
      'Regenerate',
      'Message',
    ]);
  });

  test('regions, states and controls have names', async () => {
    const { chat } = await mountLoaded();
    await chat.send('echo a');
    await expect.element(page.getByRole('log', { name: 'Conversation' })).toHaveAttribute('aria-live', 'off');
    await expect.element(page.getByRole('button', { name: 'Send' })).toBeDisabled();
    const roots: ShadowRoot[] = [shown(chat)];
    for (const root of roots) {
      for (const node of root.querySelectorAll('*')) if (node.shadowRoot) roots.push(node.shadowRoot);
      for (const control of root.querySelectorAll<HTMLElement>('button, input, textarea, select, a')) {
        const labels = (control as HTMLInputElement).labels;
        const name =
          control.getAttribute('aria-label') ?? labels?.[0]?.textContent ?? control.textContent ?? '';
        expect(name.trim(), control.outerHTML).not.toBe('');
      }
      for (const icon of root.querySelectorAll('svg')) expect(icon.getAttribute('aria-hidden')).toBe('true');
    }
  });

  test('settings refuse what is out of range, in words, and keep what was set', async () => {
    const { chat } = await mountLoaded();
    await page.getByRole('button', { name: 'Settings' }).click();
    const field = page.getByRole('spinbutton', { name: 'Top-p' });
    await field.fill('0');
    await userEvent.keyboard('{Tab}');
    await expect.element(field).toHaveAttribute('aria-invalid', 'true');
    await expect.element(page.getByText('A number. Above 0 to 1.')).toBeVisible();
    expect(chat.settings).toEqual({});
    await field.fill('0.9');
    await userEvent.keyboard('{Tab}');
    expect(chat.settings).toEqual({ topP: 0.9 });
  });

  test('advanced settings are a disclosure away, reach the engine, are kept, and are given up again', async () => {
    const store = new MemoryConversationStore();
    const { chat, requests } = await mountLoaded({}, (element) => {
      element.store = store;
      element.conversationKey = 'advanced';
    });
    await page.getByRole('button', { name: 'Settings' }).click();
    const field = (name: string) => page.getByRole('spinbutton', { name });
    expect(field('Top-k').elements()).toEqual([]);
    await page.getByText('Advanced').click();
    await expect.element(field('Repetition penalty')).toHaveAttribute('placeholder', '1');
    const values = { 'Top-k': 40, 'Min-p': 0.05, 'Repetition penalty': 1.1, 'Presence penalty': -0.5 };
    for (const [name, value] of Object.entries({ ...values, 'Frequency penalty': 2 })) {
      await field(name).fill(String(value));
      await userEvent.keyboard('{Tab}');
    }
    await field('Top-k').fill('1.5');
    await userEvent.keyboard('{Tab}');
    await expect.element(page.getByText('A whole number. From 0 to 1000.')).toBeVisible();
    const settings = {
      topK: 40,
      minP: 0.05,
      repetitionPenalty: 1.1,
      presencePenalty: -0.5,
      frequencyPenalty: 2,
    };
    expect(chat.settings).toEqual(settings);
    await expect.poll(async () => (await store.load('advanced'))?.settings).toEqual(settings);
    await chat.send('echo a');
    expect(requests[0]).toMatchObject({
      top_k: 40,
      min_p: 0.05,
      repetition_penalty: 1.1,
      presence_penalty: -0.5,
      frequency_penalty: 2,
    });
    await page.getByRole('button', { name: 'Use defaults' }).click();
    await chat.send('echo b');
    expect(Object.keys(requests[1]!)).toEqual(['messages']);
  });

  test('what a prebuilt model does not know is not offered and not sent', async () => {
    const { chat, engine, requests } = await mount();
    const loadModel = engine.loadModel.bind(engine);
    engine.loadModel = async (...input) => ({ ...(await loadModel(...input)), library: 'prebuilt' });
    await chat.loadModel();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByText('Advanced').click();
    await expect.element(page.getByRole('spinbutton', { name: 'Top-k' })).toBeDisabled();
    await expect.element(page.getByRole('spinbutton', { name: 'Min-p' })).toBeDisabled();
    await page.getByRole('spinbutton', { name: 'Presence penalty' }).fill('1');
    await userEvent.keyboard('{Tab}');
    chat
      .shadowRoot!.querySelector('tramontane-settings-panel')!
      .dispatchEvent(
        Object.assign(new Event('settings'), { settings: { ...chat.settings, topK: 5, minP: 0.1 } }),
      );
    await chat.send('echo a');
    expect(requests[0]).toMatchObject({ presence_penalty: 1 });
    expect(requests[0]).not.toHaveProperty('top_k');
    expect(requests[0]).not.toHaveProperty('min_p');
  });
});
