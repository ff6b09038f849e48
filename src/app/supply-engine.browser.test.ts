import { afterEach, expect, test, vi } from 'vitest';
import '../element/define.ts';
import { TramontaneError } from '../base/errors.ts';
import { TramontaneErrorOccurredEvent } from '../element/events.ts';
import { createFakeEngine } from '../engine/fake-engine.ts';
import { supplyEngine } from './supply-engine.ts';

afterEach(() => {
  vi.restoreAllMocks();
  document.body.replaceChildren();
});

async function mount() {
  const chat = document.createElement('tramontane-chat');
  document.body.append(chat);
  const create = vi.fn(async () => createFakeEngine());
  vi.spyOn(globalThis, 'fetch').mockResolvedValue(new Response('{"version":1,"models":[]}'));
  await supplyEngine(chat, create);
  const crash = () =>
    chat.dispatchEvent(new TramontaneErrorOccurredEvent(new TramontaneError('worker-crashed', 'It died.')));
  return { chat, create, crash };
}

test('a worker that died after a while is replaced', async () => {
  const { chat, create, crash } = await mount();
  const first = chat.engine;
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 60_000);
  crash();
  await expect.poll(() => chat.engine !== first).toBe(true);
  expect(create).toHaveBeenCalledTimes(2);
});

test('one that dies at once is not: that would never end', async () => {
  const { create, crash } = await mount();
  crash();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(create).toHaveBeenCalledTimes(1);
});

test('a list of models that cannot be read is shown as what it is', async () => {
  const chat = document.createElement('tramontane-chat');
  document.body.append(chat);
  vi.spyOn(globalThis, 'fetch').mockResolvedValue(new Response('gone', { status: 404 }));
  await supplyEngine(chat, async () => createFakeEngine());
  expect(chat.modelsError).toMatchObject({ code: 'download-failed' });
  await chat.updateComplete;
  expect(chat.shadowRoot?.querySelector('[role=alert]')?.textContent).toMatch(/could not be read: HTTP 404/);
});
